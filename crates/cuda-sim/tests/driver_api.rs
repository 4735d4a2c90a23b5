//! The driver API through an unmodified cudarc: everything that needs no kernel.

mod support;

use cudarc::driver::{
    CudaContext, CudaSlice, DevicePtr, DevicePtrMut, DriverError,
    result::{self, mem_pool},
    sys::{self, CUdevice_attribute as Attribute, CUresult, CUstreamCaptureMode as Mode},
};
use support::{context, reports_with, simulator};

fn error<T>(result: Result<T, DriverError>) -> CUresult {
    match result {
        Ok(_) => CUresult::CUDA_SUCCESS,
        Err(DriverError(error)) => error,
    }
}

#[test]
fn the_primary_context_is_counted() {
    simulator();
    let first = CudaContext::new(0).unwrap();
    let second = CudaContext::new(0).unwrap();
    assert_eq!(first.cu_ctx(), second.cu_ctx());
    assert_eq!(CudaContext::device_count(), Ok(1));
    assert_eq!(error(CudaContext::new(1)), CUresult::CUDA_ERROR_INVALID_DEVICE);
    drop(first);
    second.synchronize().unwrap();
    let handle = second.cu_ctx();
    drop(second);
    // Released to the last: the same handle comes back, alive.
    let again = CudaContext::new(0).unwrap();
    assert_eq!(again.cu_ctx(), handle);
    again.synchronize().unwrap();
}

#[test]
fn the_device_describes_itself() {
    let context = context();
    assert_eq!(context.name().unwrap(), "Simulated H100");
    assert_eq!(context.compute_capability().unwrap(), (9, 0));
    assert_eq!(context.total_mem().unwrap(), 80 << 30);
    let attribute = |which| context.attribute(which).unwrap();
    assert_eq!(attribute(Attribute::CU_DEVICE_ATTRIBUTE_WARP_SIZE), 32);
    assert_eq!(attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT), 132);
    let optin = Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN;
    assert_eq!(attribute(optin), 227 << 10);
    assert_eq!(attribute(Attribute::CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED), 1);
    assert!(context.uuid().is_ok());
}

#[test]
fn context_settings_are_kept() {
    let context = context();
    context.set_blocking_synchronize().unwrap();
    let stack = sys::CUlimit::CU_LIMIT_STACK_SIZE;
    context.set_limit(stack, 4096).unwrap();
    assert_eq!(context.get_limit(stack), Ok(4096));
    let config = sys::CUfunc_cache::CU_FUNC_CACHE_PREFER_L1;
    context.set_cache_config(config).unwrap();
    assert_eq!(context.get_cache_config(), Ok(config));
    let (least, greatest) = result::stream::get_priority_range().unwrap();
    assert!(greatest < least);
}

#[test]
fn copies_arrive() {
    let context = context();
    let stream = context.default_stream();
    let data: Vec<f64> = (0..1000).map(f64::from).collect();
    let a = stream.clone_htod(&data).unwrap();
    let mut b: CudaSlice<f64> = stream.alloc_zeros(1000).unwrap();
    stream.memcpy_dtod(&a.slice(10..20), &mut b.slice_mut(500..510)).unwrap();
    let back = stream.clone_dtoh(&b).unwrap();
    assert_eq!(back[500..510], data[10..20]);
    assert!(back[..500].iter().chain(&back[510..]).all(|&x| x == 0.0));
    assert_eq!(stream.clone_dtoh(&a.try_clone().unwrap()).unwrap(), data);
    // Nothing is fine, too.
    let empty = stream.null::<f32>().unwrap();
    assert_eq!(stream.clone_dtoh(&empty).unwrap(), Vec::<f32>::new());
}

#[test]
fn contexts_share_data_by_peer_copies() {
    let (one, other) = (context(), context());
    let a = one.default_stream().clone_htod(&[1u32, 2, 3]).unwrap();
    let b = other.default_stream().clone_dtod(&a).unwrap();
    assert_eq!(other.default_stream().clone_dtoh(&b).unwrap(), [1, 2, 3]);
}

#[test]
fn memsets_of_all_widths_and_rows() {
    let context = context();
    let stream = context.default_stream();
    let mut data: CudaSlice<u8> = stream.alloc_zeros(64).unwrap();
    let (address, _guard) = data.device_ptr_mut(&stream);
    // SAFETY: all within the 64 bytes.
    unsafe {
        sys::cuMemsetD8_v2(address, 0x11, 4).result().unwrap();
        sys::cuMemsetD16_v2(address + 4, 0x2233, 2).result().unwrap();
        sys::cuMemsetD32_v2(address + 8, 0x4455_6677, 1).result().unwrap();
        // Two rows of three, sixteen bytes apart.
        sys::cuMemsetD2D8_v2(address + 16, 16, 0x88, 3, 2).result().unwrap();
        let misaligned = sys::cuMemsetD32_v2(address + 2, 0, 1);
        assert_eq!(misaligned, CUresult::CUDA_ERROR_INVALID_VALUE);
    }
    drop(_guard);
    let bytes = stream.clone_dtoh(&data).unwrap();
    let mut expected = [0; 64];
    expected[..4].fill(0x11);
    expected[4..8].copy_from_slice(&[0x33, 0x22, 0x33, 0x22]);
    expected[8..12].copy_from_slice(&[0x77, 0x66, 0x55, 0x44]);
    expected[16..19].fill(0x88);
    expected[32..35].fill(0x88);
    assert_eq!(bytes, expected);
}

#[test]
fn a_two_dimensional_copy_takes_a_window() {
    let context = context();
    let stream = context.default_stream();
    let matrix: Vec<u8> = (0..48).collect();
    let source = stream.clone_htod(&matrix).unwrap();
    let mut window = [0u8; 6];
    let copy = sys::CUDA_MEMCPY2D {
        srcMemoryType: sys::CUmemorytype::CU_MEMORYTYPE_DEVICE,
        srcHost: std::ptr::null(),
        srcDevice: source.device_ptr(&stream).0,
        srcArray: std::ptr::null_mut(),
        srcPitch: 8,
        srcXInBytes: 5,
        srcY: 1,
        dstMemoryType: sys::CUmemorytype::CU_MEMORYTYPE_HOST,
        dstHost: window.as_mut_ptr().cast(),
        dstDevice: 0,
        dstArray: std::ptr::null_mut(),
        dstPitch: 3,
        dstXInBytes: 0,
        dstY: 0,
        WidthInBytes: 3,
        Height: 2,
    };
    // SAFETY: the window fits source and destination.
    unsafe { sys::cuMemcpy2D_v2(&copy) }.result().unwrap();
    assert_eq!(window, [13, 14, 15, 21, 22, 23]);
}

#[test]
fn copies_out_of_bounds_are_refused_and_explained() {
    let context = context();
    let stream = context.default_stream();
    let data = stream.clone_htod(&[0u8; 77]).unwrap();
    let (address, _guard) = data.device_ptr(&stream);
    let mut out = [0u8; 78];
    // SAFETY: the simulator checks the range.
    let outcome = unsafe { result::memcpy_dtoh_sync(&mut out, address) };
    assert_eq!(error(outcome), CUresult::CUDA_ERROR_INVALID_VALUE);
    let place = format!("{address:#x}");
    assert_eq!(reports_with(&["invalid copy", "78 bytes", "77 bytes", &place]).len(), 1);
    // It is not a kernel's error: the context goes on.
    context.synchronize().unwrap();
}

#[test]
fn memory_is_accounted_and_misuse_is_named() {
    let context = context();
    // SAFETY: freed once; the second attempt is the test.
    unsafe {
        let address = result::malloc_sync(1234).unwrap();
        let range = |address| {
            let (mut start, mut bytes) = (0, 0);
            sys::cuMemGetAddressRange_v2(&mut start, &mut bytes, address)
                .result()
                .map(|()| (start, bytes))
        };
        assert_eq!(range(address + 1000), Ok((address, 1234)));
        result::free_sync(address).unwrap();
        assert_eq!(error(result::free_sync(address)), CUresult::CUDA_ERROR_INVALID_VALUE);
        assert_eq!(reports_with(&["already freed", &format!("{address:#x}")]).len(), 1);
        assert_eq!(error(range(address)), CUresult::CUDA_ERROR_NOT_FOUND);
        assert_eq!(error(result::malloc_sync(0)), CUresult::CUDA_ERROR_INVALID_VALUE);
        let too_much = result::malloc_sync(81 << 30);
        assert_eq!(error(too_much), CUresult::CUDA_ERROR_OUT_OF_MEMORY);
    }
    drop(context);
}

#[test]
fn pools_keep_account() {
    let context = context();
    let stream = context.new_stream().unwrap();
    // SAFETY: a plain structure, zero is valid for all of it.
    let mut properties: sys::CUmemPoolProps = unsafe { std::mem::zeroed() };
    properties.allocType = sys::CUmemAllocationType::CU_MEM_ALLOCATION_TYPE_PINNED;
    properties.location.type_ = sys::CUmemLocationType::CU_MEM_LOCATION_TYPE_DEVICE;
    // SAFETY: the values have the types that the attributes have.
    unsafe {
        let pool = mem_pool::create(&properties).unwrap();
        let used = |which| {
            let mut bytes = 0u64;
            mem_pool::get_attribute(pool, which, (&raw mut bytes).cast()).unwrap();
            bytes
        };
        use sys::CUmemPool_attribute as Pool;
        let address = mem_pool::alloc_async(pool, 1000, stream.cu_stream()).unwrap();
        assert_eq!(used(Pool::CU_MEMPOOL_ATTR_USED_MEM_CURRENT), 1000);
        result::free_async(address, stream.cu_stream()).unwrap();
        assert_eq!(used(Pool::CU_MEMPOOL_ATTR_USED_MEM_CURRENT), 0);
        assert_eq!(used(Pool::CU_MEMPOOL_ATTR_USED_MEM_HIGH), 1000);
        let mut threshold = u64::MAX;
        let which = Pool::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
        mem_pool::set_attribute(pool, which, (&raw mut threshold).cast()).unwrap();
        assert_eq!(used(which), u64::MAX);
        result::device::set_mem_pool(0, pool).unwrap();
        assert_eq!(result::device::get_mem_pool(0), Ok(pool));
        mem_pool::trim_to(pool, 0).unwrap();
        mem_pool::destroy(pool).unwrap();
        let default = result::device::get_default_mem_pool(0);
        assert_eq!(result::device::get_mem_pool(0), default);
        assert_eq!(error(mem_pool::trim_to(pool, 0)), CUresult::CUDA_ERROR_INVALID_VALUE);
    }
}

#[test]
fn pinned_and_registered_memory() {
    let context = context();
    let stream = context.new_stream().unwrap();
    // SAFETY: written before it is read.
    let mut pinned = unsafe { context.alloc_pinned::<u32>(100) }.unwrap();
    pinned.as_mut_slice().unwrap().fill(7);
    let on_device = stream.clone_htod(&pinned).unwrap();
    pinned.as_mut_slice().unwrap().fill(0);
    stream.memcpy_dtoh(&on_device, &mut pinned).unwrap();
    assert!(pinned.as_slice().unwrap().iter().all(|&x| x == 7));

    let mut own = vec![0u8; 8192];
    let start = own.as_mut_ptr().cast();
    let register = |bytes| {
        // SAFETY: within the vector, which lives until the end.
        unsafe { sys::cuMemHostRegister_v2(start, bytes, 0) }
    };
    assert_eq!(register(8192), CUresult::CUDA_SUCCESS);
    assert_eq!(register(1), CUresult::CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
    // SAFETY: only the start is looked up.
    let unregister = || unsafe { sys::cuMemHostUnregister(start) };
    assert_eq!(unregister(), CUresult::CUDA_SUCCESS);
    assert_eq!(unregister(), CUresult::CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
}

#[test]
fn managed_memory_is_shared_with_the_host() {
    let context = context();
    let stream = context.new_stream().unwrap();
    // SAFETY: written before it is read.
    let mut unified = unsafe { context.alloc_unified::<u32>(16, true) }.unwrap();
    unified.as_mut_slice().unwrap().fill(3);
    unified.prefetch().unwrap();
    let mut copy: CudaSlice<u32> = stream.alloc_zeros(16).unwrap();
    stream.memcpy_dtod(&unified, &mut copy).unwrap();
    assert_eq!(stream.clone_dtoh(&copy).unwrap(), [3; 16]);
    stream.memset_zeros(&mut unified).unwrap();
    assert_eq!(unified.as_slice().unwrap(), [0; 16]);
}

#[test]
fn streams_and_events() {
    let context = context();
    let stream = context.new_stream_with_priority(-1).unwrap();
    let other = stream.fork().unwrap();
    let flags = Some(sys::CUevent_flags::CU_EVENT_DEFAULT);
    let start = stream.record_event(flags).unwrap();
    let data = stream.clone_htod(&vec![1u8; 1 << 20]).unwrap();
    let end = stream.record_event(flags).unwrap();
    other.wait(&end).unwrap();
    assert!(end.is_complete());
    assert!(start.elapsed_ms(&end).unwrap() > 0.0);
    // Events that keep no time, or were never recorded, have none to tell.
    let untimed = stream.record_event(None).unwrap();
    assert_eq!(error(start.elapsed_ms(&untimed)), CUresult::CUDA_ERROR_INVALID_HANDLE);
    let unrecorded = context.new_event(flags).unwrap();
    assert_eq!(error(start.elapsed_ms(&unrecorded)), CUresult::CUDA_ERROR_INVALID_HANDLE);
    assert_eq!(other.clone_dtoh(&data).unwrap(), vec![1u8; 1 << 20]);
}

#[test]
fn host_functions_run_in_turn() {
    unsafe extern "C" fn increment(counter: *mut std::ffi::c_void) {
        // SAFETY: the test passes a counter that it keeps.
        unsafe { *counter.cast::<u32>() += 1 };
    }
    let context = context();
    let stream = context.new_stream().unwrap();
    let mut counter = 0u32;
    // SAFETY: the counter outlives the calls.
    unsafe {
        let argument = (&raw mut counter).cast();
        result::stream::launch_host_function(stream.cu_stream(), increment, argument).unwrap();
    }
    stream.synchronize().unwrap();
    assert_eq!(counter, 1);
}

#[test]
fn a_captured_graph_replays() {
    let context = context();
    // SAFETY: everything happens in one stream.
    unsafe { context.disable_event_tracking() };
    let stream = context.new_stream().unwrap();
    let mut data = stream.clone_htod(&[1u32; 4]).unwrap();
    let mut copy: CudaSlice<u32> = stream.alloc_zeros(4).unwrap();
    stream.begin_capture(Mode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).unwrap();
    let active = sys::CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_ACTIVE;
    assert_eq!(stream.capture_status(), Ok(active));
    stream.memcpy_dtod(&data, &mut copy).unwrap();
    stream.memset_zeros(&mut data).unwrap();
    let graph = stream.end_capture(sys::CUgraphInstantiate_flags(0)).unwrap().unwrap();
    // Captured is not done.
    assert_eq!(stream.clone_dtoh(&data).unwrap(), [1; 4]);
    graph.upload().unwrap();
    graph.launch().unwrap();
    assert_eq!(stream.clone_dtoh(&data).unwrap(), [0; 4]);
    assert_eq!(stream.clone_dtoh(&copy).unwrap(), [1; 4]);
    stream.memcpy_htod(&[5, 6, 7, 8], &mut data).unwrap();
    graph.launch().unwrap();
    assert_eq!(stream.clone_dtoh(&copy).unwrap(), [5, 6, 7, 8]);
}

#[test]
fn a_graph_allocates_and_frees() {
    let context = context();
    // SAFETY: everything happens in one stream.
    unsafe { context.disable_event_tracking() };
    let stream = context.new_stream().unwrap();
    let mut out: CudaSlice<u32> = stream.alloc_zeros(2).unwrap();
    stream.begin_capture(Mode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).unwrap();
    let temporary: CudaSlice<u32> = stream.alloc_zeros(2).unwrap();
    stream.memcpy_dtod(&temporary, &mut out).unwrap();
    drop(temporary);
    let graph = stream.end_capture(sys::CUgraphInstantiate_flags(0)).unwrap().unwrap();
    for _ in 0..2 {
        stream.memcpy_htod(&[3, 4], &mut out).unwrap();
        graph.launch().unwrap();
        assert_eq!(stream.clone_dtoh(&out).unwrap(), [0, 0]);
    }

    // Without a free node, a second launch finds the memory still there, unless told to free it.
    for (flags, expected) in [(0, CUresult::CUDA_ERROR_INVALID_VALUE), (1, CUresult::CUDA_SUCCESS)]
    {
        stream.begin_capture(Mode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).unwrap();
        let kept: CudaSlice<u32> = stream.alloc_zeros(2).unwrap();
        let address = kept.leak();
        let graph = stream.end_capture(sys::CUgraphInstantiate_flags(flags)).unwrap().unwrap();
        graph.launch().unwrap();
        assert_eq!(error(graph.launch()), expected);
        // SAFETY: the graph's memory, alive since its launch.
        unsafe { result::free_async(address, stream.cu_stream()) }.unwrap();
    }
}

#[test]
fn captures_fork_and_join() {
    let context = context();
    // SAFETY: the test orders its streams by events of its own.
    unsafe { context.disable_event_tracking() };
    let (stream, side) = (context.new_stream().unwrap(), context.new_stream().unwrap());
    let mut a: CudaSlice<u32> = stream.alloc_zeros(1).unwrap();
    let mut b: CudaSlice<u32> = stream.alloc_zeros(1).unwrap();
    let source = stream.clone_htod(&[9u32]).unwrap();
    let no_flags = sys::CUgraphInstantiate_flags(0);
    for joins in [true, false] {
        stream.begin_capture(Mode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).unwrap();
        stream.memcpy_dtod(&source, &mut a).unwrap();
        side.join(&stream).unwrap();
        side.memcpy_dtod(&a, &mut b).unwrap();
        if joins {
            stream.join(&side).unwrap();
        }
        let graph = stream.end_capture(no_flags);
        if joins {
            graph.unwrap().unwrap().launch().unwrap();
            assert_eq!(stream.clone_dtoh(&b).unwrap(), [9]);
        } else {
            let unjoined = CUresult::CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
            assert_eq!(error(graph), unjoined);
        }
        // Either way the side stream is itself again.
        side.synchronize().unwrap();
    }
}

#[test]
fn captures_refuse_what_a_graph_cannot_hold() {
    let context = context();
    // SAFETY: everything happens in one stream.
    unsafe { context.disable_event_tracking() };
    let stream = context.new_stream().unwrap();
    let outside = stream.record_event(None).unwrap();
    let no_flags = sys::CUgraphInstantiate_flags(0);
    let begin = || stream.begin_capture(Mode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).unwrap();
    let invalidated = || {
        let error = error(stream.end_capture(no_flags));
        assert_eq!(error, CUresult::CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    };

    begin();
    let unsupported = CUresult::CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    assert_eq!(error(stream.synchronize()), unsupported);
    invalidated();

    begin();
    let isolation = CUresult::CUDA_ERROR_STREAM_CAPTURE_ISOLATION;
    assert_eq!(error(stream.wait(&outside)), isolation);
    invalidated();

    begin();
    // SAFETY: nothing is allocated.
    assert_eq!(error(unsafe { result::malloc_sync(4) }), unsupported);
    invalidated();

    begin();
    let inside = stream.record_event(None).unwrap();
    assert_eq!(error(inside.synchronize()), CUresult::CUDA_ERROR_CAPTURED_EVENT);
    invalidated();

    // And not in a capture at all:
    assert_eq!(error(stream.end_capture(no_flags)), CUresult::CUDA_ERROR_ILLEGAL_STATE);
}

#[test]
fn stale_and_foreign_handles_are_refused() {
    let context = context();
    let stream = context.new_stream().unwrap();
    let event = stream.record_event(None).unwrap();
    // SAFETY: handles are only looked up.
    unsafe {
        let as_event = stream.cu_stream().cast::<sys::CUevent_st>();
        assert_eq!(error(result::event::query(as_event)), CUresult::CUDA_ERROR_INVALID_HANDLE);
        let as_stream = event.cu_event().cast::<sys::CUstream_st>();
        let outcome = result::stream::synchronize(as_stream);
        assert_eq!(error(outcome), CUresult::CUDA_ERROR_INVALID_HANDLE);
        let kind = result::stream::StreamKind::NonBlocking;
        let raw = result::stream::create(kind).unwrap();
        result::stream::destroy(raw).unwrap();
        let outcome = result::stream::synchronize(raw);
        assert_eq!(error(outcome), CUresult::CUDA_ERROR_INVALID_HANDLE);
    }
}

#[test]
fn errors_have_names() {
    simulator();
    let error = DriverError(CUresult::CUDA_ERROR_ILLEGAL_ADDRESS);
    assert_eq!(error.error_name().unwrap(), c"CUDA_ERROR_ILLEGAL_ADDRESS");
    assert_eq!(error.error_string().unwrap(), c"an illegal memory access was encountered");
}

#[test]
fn what_is_not_implemented_says_so() {
    let context = context();
    context.bind_to_thread().unwrap();
    let mut array = std::ptr::null_mut();
    // SAFETY: the call is refused before it looks at its arguments.
    let outcome = unsafe { sys::cuArrayCreate_v2(&mut array, std::ptr::null()) };
    assert_eq!(outcome, CUresult::CUDA_ERROR_NOT_SUPPORTED);
}

#[test]
fn ptx_that_is_wrong_is_refused_with_its_line() {
    let context = context();
    let ptx = ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry k()\n{\n\
               \tfrobnicate.u32 %r1, %r2;\n\tret;\n}\n";
    let module = context.load_module(cudarc::nvrtc::Ptx::from_src(ptx));
    assert_eq!(error(module), CUresult::CUDA_ERROR_INVALID_PTX);
    assert_eq!(reports_with(&["module load", "line 6", "frobnicate"]).len(), 1);
    let later = ".version 9.0\n.target sm_120\n.address_size 64\n";
    let module = context.load_module(cudarc::nvrtc::Ptx::from_src(later));
    assert_eq!(error(module), CUresult::CUDA_ERROR_INVALID_PTX);
    assert_eq!(reports_with(&["module load", "sm_120"]).len(), 1);
    let elf = cudarc::nvrtc::Ptx::from_binary(b"\x7fELF\x02\x01\0".to_vec());
    let module = context.load_module(elf);
    assert_eq!(error(module), CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU);
    let file = cudarc::nvrtc::Ptx::from_file("/nonexistent.ptx");
    assert_eq!(error(context.load_module(file)), CUresult::CUDA_ERROR_FILE_NOT_FOUND);
}

#[test]
fn the_error_log_says_what_is_wrong() {
    let context = context();
    context.bind_to_thread().unwrap();
    let ptx =
        c".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry k()\n{\n\tfrob;\n}\n";
    let mut log = [0u8; 256];
    let mut options = [
        sys::CUjit_option::CU_JIT_ERROR_LOG_BUFFER,
        sys::CUjit_option::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES,
    ];
    let mut values = [log.as_mut_ptr().cast(), std::ptr::without_provenance_mut(log.len())];
    let mut module = std::ptr::null_mut();
    // SAFETY: two options and two values; the log is as long as said.
    let outcome = unsafe {
        let (options, values) = (options.as_mut_ptr(), values.as_mut_ptr());
        sys::cuModuleLoadDataEx(&mut module, ptx.as_ptr().cast(), 2, options, values)
    };
    assert_eq!(outcome, CUresult::CUDA_ERROR_INVALID_PTX);
    let used = values[1] as usize;
    let text = std::ffi::CStr::from_bytes_until_nul(&log).unwrap().to_str().unwrap();
    assert_eq!(used, text.len() + 1);
    assert!(text.contains("line 6") && text.contains("frob"), "{text}");
}
