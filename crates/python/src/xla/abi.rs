//! The part of XLA's interface for custom calls in C that handlers on the CPU need, version 0.3: the
//! structures of OpenXLA's `xla/ffi/api/c_api.h`, which jaxlib has in `jaxlib/include`. XLA lets
//! handlers of a version live on for a year at least after the next one.

use std::any::type_name;
use std::ffi::{CString, c_char, c_int, c_void};
use std::mem::offset_of;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::{ptr, slice};

use mechanistic::{Error, Result};

const API_MAJOR: c_int = 0;
const API_MINOR: c_int = 3;

const EXTENSION_METADATA: c_int = 1;
const STAGE_EXECUTE: c_int = 3;
const KIND_BUFFER: c_int = 1;
const KIND_STRING: c_int = 4;
const F32: c_int = 11;
const F64: c_int = 12;
const INVALID_ARGUMENT: c_int = 3;
const RESOURCE_EXHAUSTED: c_int = 8;
const INTERNAL: c_int = 13;

/// `XLA_FFI_Extension_Base`.
#[repr(C)]
struct Extension {
    struct_size: usize,
    kind: c_int,
    next: *mut Extension,
}

/// `XLA_FFI_Api_Version`.
#[repr(C)]
struct ApiVersion {
    struct_size: usize,
    extension_start: *mut Extension,
    major: c_int,
    minor: c_int,
}

/// `XLA_FFI_Metadata`, up to what a handler without state tells.
#[repr(C)]
struct Metadata {
    struct_size: usize,
    api_version: ApiVersion,
    traits: u32,
}

/// `XLA_FFI_Metadata_Extension`.
#[repr(C)]
struct MetadataExtension {
    base: Extension,
    metadata: *mut Metadata,
}

/// `XLA_FFI_Error`, which belongs to XLA.
#[repr(C)]
pub struct XlaError {
    _private: [u8; 0],
}

/// `XLA_FFI_Error_Create_Args`.
#[repr(C)]
struct ErrorCreateArgs {
    struct_size: usize,
    extension_start: *mut Extension,
    message: *const c_char,
    code: c_int,
}

/// `XLA_FFI_Api`, up to the only function that is called.
#[repr(C)]
struct Api {
    struct_size: usize,
    extension_start: *mut Extension,
    version: ApiVersion,
    internal: *const c_void,
    create_error: unsafe extern "C" fn(*mut ErrorCreateArgs) -> *mut XlaError,
}

/// `XLA_FFI_Buffer`.
#[repr(C)]
struct Buffer {
    struct_size: usize,
    extension_start: *mut Extension,
    dtype: c_int,
    data: *mut c_void,
    rank: i64,
    dims: *const i64,
}

/// `XLA_FFI_Args`, and `XLA_FFI_Rets`, which is alike.
#[repr(C)]
struct Buffers {
    struct_size: usize,
    extension_start: *mut Extension,
    size: i64,
    kinds: *const c_int,
    items: *const *const Buffer,
}

/// `XLA_FFI_ByteSpan`.
#[repr(C)]
struct ByteSpan {
    start: *const u8,
    len: usize,
}

/// `XLA_FFI_Attrs`.
#[repr(C)]
struct Attributes {
    struct_size: usize,
    extension_start: *mut Extension,
    size: i64,
    kinds: *const c_int,
    names: *const *const ByteSpan,
    items: *const *const c_void,
}

/// `XLA_FFI_CallFrame`, up to the last field that is read.
#[repr(C)]
pub struct CallFrame {
    struct_size: usize,
    extension_start: *mut Extension,
    api: *const Api,
    context: *mut c_void,
    stage: c_int,
    arguments: Buffers,
    results: Buffers,
    attributes: Attributes,
}

/// `XLA_FFI_Handler`.
pub type Handler = unsafe extern "C" fn(*const CallFrame) -> *mut XlaError;

/// A call of a handler, while it lasts.
pub struct Call<'a>(&'a CallFrame);

/// An array of R axes that belongs to XLA, row-major.
pub struct Array<const R: usize> {
    /// Whether its numbers are f64, and not f32.
    pub double: bool,
    pub axes: [usize; R],
    pub address: usize,
}

/// Answers a call of a handler: hands it to `work`, or says what XLA asks about the handler. Returns the
/// error, or null.
///
/// # Safety
/// XLA has made the frame, and keeps it during the call.
pub unsafe fn answer(
    frame: *const CallFrame,
    work: impl FnOnce(&Call) -> Result<()>,
) -> *mut XlaError {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: as this function demands.
        match unsafe { Call::of(frame) }? {
            Some(call) => work(&call),
            None => Ok(()),
        }
    }));
    let panicked = |_| Err(incompatible("the handler panicked".into()));
    match outcome.unwrap_or_else(panicked) {
        Ok(()) => ptr::null_mut(),
        // SAFETY: as this function demands.
        Err(error) => unsafe { of_error((*frame).api, &error) },
    }
}

impl<'a> Call<'a> {
    /// Returns the call of a frame, or nothing after answering a question about the handler.
    ///
    /// # Safety
    /// That of [`answer`].
    unsafe fn of(frame: *const CallFrame) -> Result<Option<Self>> {
        // SAFETY: every structure begins with its size, and no field is read before that is known.
        unsafe {
            check_size::<CallFrame>((*frame).struct_size, size_of::<CallFrame>())?;
            let frame = &*frame;
            if let Some(extension) = frame.extension_start.as_ref()
                && extension.kind == EXTENSION_METADATA
            {
                return tell(frame.extension_start.cast()).map(|()| None);
            }
            check_size::<Api>((*frame.api).struct_size, size_of::<Api>())?;
            let ApiVersion { major, minor, .. } = (*frame.api).version;
            if major != API_MAJOR || minor < API_MINOR {
                let message = format!(
                    "expected version {API_MAJOR}.{API_MINOR} or a later minor one of the interface, \
                     got {major}.{minor}"
                );
                return Err(incompatible(message));
            }
            if frame.stage != STAGE_EXECUTE {
                return Err(incompatible(format!("unexpected stage {}", frame.stage)));
            }
            check_size::<Buffers>(frame.arguments.struct_size, size_of::<Buffers>())?;
            check_size::<Buffers>(frame.results.struct_size, size_of::<Buffers>())?;
            check_size::<Attributes>(frame.attributes.struct_size, size_of::<Attributes>())?;
            Ok(Some(Call(frame)))
        }
    }

    /// Returns an argument by its place.
    pub fn argument<const R: usize>(&self, place: usize, name: &str) -> Result<Array<R>> {
        array(&self.0.arguments, place, name)
    }

    /// Returns a result, to be written, by its place.
    pub fn result<const R: usize>(&self, place: usize, name: &str) -> Result<Array<R>> {
        array(&self.0.results, place, name)
    }

    /// Returns the text of an attribute.
    pub fn text(&self, name: &str) -> Result<&'a str> {
        let attributes = &self.0.attributes;
        // SAFETY: XLA has made these arrays of this length, and keeps them during the call; a string is
        // a span of bytes.
        let found = unsafe {
            (0..attributes.size as usize).find_map(|i| {
                let own = (**attributes.names.add(i)).bytes() == name.as_bytes();
                (own && *attributes.kinds.add(i) == KIND_STRING)
                    .then(|| (*(*attributes.items.add(i)).cast::<ByteSpan>()).bytes())
            })
        };
        found
            .and_then(|text| std::str::from_utf8(text).ok())
            .ok_or_else(|| Error::argument(name, "expected an attribute that is a string"))
    }
}

impl ByteSpan {
    /// # Safety
    /// The bytes are there for the lifetime that the caller chooses.
    unsafe fn bytes<'a>(&self) -> &'a [u8] {
        match self.len {
            0 => &[],
            // SAFETY: as this function demands.
            len => unsafe { slice::from_raw_parts(self.start, len) },
        }
    }
}

/// Makes an error of XLA.
///
/// # Safety
/// The interface is that of XLA. It has been able to make errors since its first version.
unsafe fn of_error(api: *const Api, error: &Error) -> *mut XlaError {
    let code = match error {
        Error::OutOfMemory { .. } => RESOURCE_EXHAUSTED,
        Error::Device { .. } => INTERNAL,
        _ => INVALID_ARGUMENT,
    };
    let message = CString::new(error.to_string().replace('\0', " ")).unwrap_or_default();
    let mut arguments = ErrorCreateArgs {
        struct_size: offset_of!(ErrorCreateArgs, code) + size_of::<c_int>(),
        extension_start: ptr::null_mut(),
        message: message.as_ptr(),
        code,
    };
    // SAFETY: as this function demands; XLA copies the message.
    unsafe { ((*api).create_error)(&mut arguments) }
}

/// Tells XLA for which version the handler is made, and that it has no state and no traits.
///
/// # Safety
/// XLA has made the extension.
unsafe fn tell(extension: *mut MetadataExtension) -> Result<()> {
    // SAFETY: no field is read or written before it is known that it is there.
    unsafe {
        check_size::<MetadataExtension>(
            (*extension).base.struct_size,
            size_of::<MetadataExtension>(),
        )?;
        let metadata = (*extension).metadata;
        let end = offset_of!(Metadata, traits) + size_of::<u32>();
        check_size::<Metadata>((*metadata).struct_size, end)?;
        (*metadata).api_version.major = API_MAJOR;
        (*metadata).api_version.minor = API_MINOR;
        (*metadata).traits = 0;
    }
    Ok(())
}

/// Returns the array at a place, of R axes.
fn array<const R: usize>(of: &Buffers, place: usize, name: &str) -> Result<Array<R>> {
    // SAFETY: XLA has made these arrays of this length, and keeps them during the call; a buffer has as
    // many extents as axes.
    unsafe {
        if place >= of.size as usize || *of.kinds.add(place) != KIND_BUFFER {
            return Err(Error::argument(name, format!("expected an array at place {place}")));
        }
        let buffer = &**of.items.add(place);
        check_size::<Buffer>(buffer.struct_size, size_of::<Buffer>())?;
        if buffer.rank != R as i64 {
            return Err(Error::argument(name, format!("expected {R} axes, got {}", buffer.rank)));
        }
        if ![F32, F64].contains(&buffer.dtype) {
            let message =
                format!("expected float32 or float64, got XLA's type number {}", buffer.dtype);
            return Err(Error::argument(name, message));
        }
        Ok(Array {
            double: buffer.dtype == F64,
            axes: std::array::from_fn(|axis| *buffer.dims.add(axis) as usize),
            address: buffer.data as usize,
        })
    }
}

/// Checks that a structure of XLA has all the fields that are used here.
fn check_size<S>(actual: usize, expected: usize) -> Result<()> {
    if actual >= expected {
        return Ok(());
    }
    let name = type_name::<S>();
    Err(incompatible(format!("expected {name} of at least {expected} bytes, got {actual}")))
}

fn incompatible(message: String) -> Error {
    Error::Device { doing: "answering a call of XLA".into(), message }
}
