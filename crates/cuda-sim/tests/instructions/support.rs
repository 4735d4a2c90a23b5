//! Runs a few lines of PTX over columns of values.

use cuda_sim::counters::LaunchCounters;
use cuda_sim::device::Device;
use cuda_sim::exec::{Fault, LaunchConfig, launch};
use cuda_sim::memory::DeviceMemory;
use cuda_sim::ptx::Module;
use std::fmt::Debug;

/// A value of a register.
pub trait Value: Copy + Debug + 'static {
    /// Type of the register.
    const REGISTER: &'static str;
    /// Values that reach the corner cases.
    fn samples() -> Vec<Self>;
    fn bytes(self) -> Vec<u8>;
    fn read(bytes: &[u8]) -> Self;
    /// Equality of bits, where every NaN counts as the same.
    fn same(self, other: Self) -> bool;
}

macro_rules! integer {
    ($($t:ident $register:literal),*) => {$(
        impl Value for $t {
            const REGISTER: &'static str = $register;
            fn samples() -> Vec<Self> {
                let mut all = vec![0, 1, 2, 3, 7, $t::MAX, $t::MIN, $t::MAX - 1, $t::MIN + 1, !0];
                // A few bits and a pseudo-random pattern.
                all.extend((0..$t::BITS).step_by(7).map(|bit| (1 as $t) << bit));
                let mut state = 0x9E37_79B9_7F4A_7C15u64;
                for _ in 0..6 {
                    state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    all.push((state >> (64 - $t::BITS)) as $t);
                }
                all
            }
            fn bytes(self) -> Vec<u8> {
                self.to_le_bytes().to_vec()
            }
            fn read(bytes: &[u8]) -> Self {
                $t::from_le_bytes(bytes.try_into().unwrap())
            }
            fn same(self, other: Self) -> bool {
                self == other
            }
        }
    )*};
}

integer!(u16 "b16", i16 "b16", u32 "b32", i32 "b32", u64 "b64", i64 "b64");

macro_rules! float {
    ($($t:ident $register:literal $bits:ident),*) => {$(
        impl Value for $t {
            const REGISTER: &'static str = $register;
            fn samples() -> Vec<Self> {
                let tiny = $t::from_bits(1);
                let subnormal = $t::MIN_POSITIVE / 3.0;
                let mut all = vec![
                    0.0, -0.0, 1.0, -1.0, 1.5, -2.75, 3.3, 0.1, $t::MAX, $t::MIN,
                    $t::MIN_POSITIVE, tiny, -tiny, subnormal, -subnormal, $t::INFINITY,
                    $t::NEG_INFINITY, $t::NAN, $t::EPSILON, 1e10, -7e-12,
                ];
                let mut state = 0x9E37_79B9_7F4A_7C15u64;
                for _ in 0..6 {
                    state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    let x = $t::from_bits((state >> (64 - $bits::BITS)) as $bits);
                    all.push(if x.is_nan() { 5.5 } else { x });
                }
                all
            }
            fn bytes(self) -> Vec<u8> {
                self.to_le_bytes().to_vec()
            }
            fn read(bytes: &[u8]) -> Self {
                $t::from_le_bytes(bytes.try_into().unwrap())
            }
            fn same(self, other: Self) -> bool {
                self.to_bits() == other.to_bits() || self.is_nan() && other.is_nan()
            }
        }
    )*};
}

float!(f32 "f32" u32, f64 "f64" u64);

/// A device with one loaded module.
pub struct Machine {
    pub memory: DeviceMemory,
    module: cuda_sim::ptx::LoadedModule,
    device: Device,
}

/// What a PTX text begins with.
pub const HEADER: &str = ".version 8.0\n.target sm_80\n.address_size 64\n";

impl Machine {
    pub fn new(ptx: &str) -> Self {
        let memory = DeviceMemory::new(1 << 30);
        let module = Module::parse(ptx).unwrap_or_else(|error| panic!("{error}\n{ptx}"));
        let module = module.load(&memory).unwrap();
        Self { memory, module, device: Device::a100() }
    }

    /// The same machine with another limit on the instructions of a warp.
    pub fn with_watchdog(mut self, instructions: u64) -> Self {
        self.device.watchdog_instructions = instructions;
        self
    }

    /// The same machine as another device.
    pub fn with_device(self, device: Device) -> Self {
        Self { device, ..self }
    }

    /// An allocation that holds `values`.
    pub fn upload<T: Value>(&self, values: &[T]) -> u64 {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.bytes()).collect();
        let address = self.memory.allocate(bytes.len().max(1) as u64).unwrap();
        self.memory.write(address, &bytes).unwrap();
        address
    }

    pub fn download<T: Value>(&self, address: u64, count: usize) -> Vec<T> {
        let mut bytes = vec![0; count * size_of::<T>()];
        self.memory.read(address, &mut bytes).unwrap();
        bytes.chunks(size_of::<T>()).map(T::read).collect()
    }

    /// Launches a kernel whose parameters are all 64 bits wide.
    pub fn launch(
        &self,
        kernel: &str,
        blocks: u32,
        threads: u32,
        params: &[u64],
    ) -> Result<LaunchCounters, Box<Fault>> {
        let config =
            LaunchConfig { grid: [blocks, 1, 1], block: [threads, 1, 1], dynamic_shared: 0 };
        let params: Vec<u8> = params.iter().flat_map(|param| param.to_le_bytes()).collect();
        let kernel = self.module.kernel(kernel).unwrap();
        launch(&self.module, kernel, config, &params, &self.memory, &self.device)
    }
}

/// The kernel `k(out, …)` around a body, which finds its thread number in `%tid_` (32 bits) and
/// `%i` (64 bits), and has registers `%t<8>` (32), `%w<8>` (64), `%h<8>` (16), `%f<8>`, `%g<8>`
/// (f64) and `%p<8>`.
pub fn kernel(declarations: &str, params: usize, body: &str) -> String {
    let list: Vec<String> = (0..params).map(|i| format!(".param .u64 k_{i}")).collect();
    let loads: String = (0..params).map(|i| format!("ld.param.u64 %arg{i}, [k_{i}];\n")).collect();
    format!(
        "{HEADER}{declarations}\n.visible .entry k({})\n{{\n.reg .b64 %arg<8>, %w<8>, %i;\n\
         .reg .b32 %t<8>, %tid_, %cta_, %n_;\n.reg .b16 %h<8>;\n.reg .f32 %f<8>;\n\
         .reg .f64 %g<8>;\n.reg .pred %p<8>;\n{loads}mov.u32 %tid_, %tid.x;\n\
         mov.u32 %cta_, %ctaid.x;\nmov.u32 %n_, %ntid.x;\n\
         mad.lo.s32 %t0, %cta_, %n_, %tid_;\ncvt.u64.u32 %i, %t0;\n{body}\nret;\n}}\n",
        list.join(", ")
    )
}

/// One column of operands.
pub struct Column {
    register: &'static str,
    bytes: usize,
    data: Vec<u8>,
}

/// Makes a column.
pub fn column<T: Value>(values: &[T]) -> Column {
    Column {
        register: T::REGISTER,
        bytes: size_of::<T>(),
        data: values.iter().flat_map(|value| value.bytes()).collect(),
    }
}

/// Runs `text` once for every row; it finds the columns in `%a`, `%b`, `%c` and leaves its result
/// in `%d`.
pub fn map<D: Value>(text: &str, columns: &[Column]) -> Vec<D> {
    let rows = columns[0].data.len() / columns[0].bytes;
    let names = ["%a", "%b", "%c"];
    let mut body = format!(".reg .{} %d;\n", D::REGISTER);
    for (i, column) in columns.iter().enumerate() {
        let Column { register, bytes, .. } = column;
        body += &format!(
            ".reg .{register} {name};\nmad.lo.u64 %w0, %i, {bytes}, %arg{arg};\n\
             ld.global.{register} {name}, [%w0];\n",
            name = names[i],
            arg = i + 1
        );
    }
    body += &format!(
        "{text}\nmad.lo.u64 %w0, %i, {}, %arg0;\nst.global.{} [%w0], %d;",
        size_of::<D>(),
        D::REGISTER
    );
    let machine = Machine::new(&kernel("", columns.len() + 1, &body));
    // Whole blocks, so that partial warps are only used where a test asks for them.
    let threads = 64;
    let blocks = rows.div_ceil(threads);
    let out = machine.memory.allocate((blocks * threads * size_of::<D>()) as u64).unwrap();
    let mut params = vec![out];
    for column in columns {
        let address = machine.memory.allocate((blocks * threads * column.bytes) as u64).unwrap();
        machine.memory.fill(address, &[0], (blocks * threads * column.bytes) as u64).unwrap();
        machine.memory.write(address, &column.data).unwrap();
        params.push(address);
    }
    machine.launch("k", blocks as u32, threads as u32, &params).unwrap_or_else(|f| panic!("{f}"));
    machine.download(out, rows)
}

/// Checks an instruction of one source on all samples.
#[track_caller]
pub fn check1<A: Value, D: Value>(text: &str, f: impl Fn(A) -> D) {
    let a = A::samples();
    for (a, found) in a.iter().zip(map::<D>(text, &[column(&a)])) {
        let expected = f(*a);
        assert!(found.same(expected), "{text} of {a:?}: {found:?}, expected {expected:?}");
    }
}

/// Checks an instruction of two sources on all pairs of samples.
#[track_caller]
pub fn check2<A: Value, B: Value, D: Value>(text: &str, f: impl Fn(A, B) -> D) {
    check_pairs(text, &A::samples(), &B::samples(), f);
}

/// Checks an instruction of two sources on all pairs of the given values.
#[track_caller]
pub fn check_pairs<A: Value, B: Value, D: Value>(
    text: &str,
    a: &[A],
    b: &[B],
    f: impl Fn(A, B) -> D,
) {
    let pairs: Vec<_> = a.iter().flat_map(|&a| b.iter().map(move |&b| (a, b))).collect();
    let a: Vec<_> = pairs.iter().map(|pair| pair.0).collect();
    let b: Vec<_> = pairs.iter().map(|pair| pair.1).collect();
    for ((a, b), found) in pairs.iter().zip(map::<D>(text, &[column(&a), column(&b)])) {
        let expected = f(*a, *b);
        assert!(found.same(expected), "{text} of {a:?}, {b:?}: {found:?}, expected {expected:?}");
    }
}

/// Checks an instruction of three sources on triples of samples.
#[track_caller]
pub fn check3<A: Value, B: Value, C: Value, D: Value>(text: &str, f: impl Fn(A, B, C) -> D) {
    let mut rows = Vec::new();
    for a in A::samples() {
        for b in B::samples() {
            for c in C::samples() {
                rows.push((a, b, c));
            }
        }
    }
    let a: Vec<_> = rows.iter().map(|row| row.0).collect();
    let b: Vec<_> = rows.iter().map(|row| row.1).collect();
    let c: Vec<_> = rows.iter().map(|row| row.2).collect();
    let found = map::<D>(text, &[column(&a), column(&b), column(&c)]);
    for ((a, b, c), found) in rows.iter().zip(found) {
        let expected = f(*a, *b, *c);
        assert!(
            found.same(expected),
            "{text} of {a:?}, {b:?}, {c:?}: {found:?}, expected {expected:?}"
        );
    }
}
