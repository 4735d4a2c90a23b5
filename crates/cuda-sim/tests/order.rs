//! Work waits in its stream until something waits for it, and a host that does not is caught.

mod support;

use cudarc::driver::{CudaSlice, result, sys};
use support::{context, simulator};

/// The reports on page-locked memory around an address. Tests run side by side.
fn races_at(address: usize) -> Vec<String> {
    let reports = simulator().reports().unwrap().into_iter();
    let place = format!("{address:#x}");
    reports.filter(|r| r.contains("race with the host") && r.contains(&place)).collect()
}

/// One number in page-locked memory of its own.
fn page_locked() -> *mut f64 {
    // SAFETY: the memory is kept for the test.
    unsafe { result::malloc_host(size_of::<f64>(), 0) }.unwrap().cast()
}

#[test]
fn a_copy_to_page_locked_memory_is_waited_for() {
    let context = context();
    let stream = context.new_stream().unwrap();
    let number = page_locked();
    let on_device = stream.clone_htod(&[7.0f64]).unwrap();
    let copy = || {
        let (address, _guard) = cudarc::driver::DevicePtr::device_ptr(&on_device, &stream);
        // SAFETY: there is room for one number.
        unsafe { sys::cuMemcpyDtoHAsync_v2(number.cast(), address, 8, stream.cu_stream()) }
            .result()
            .unwrap();
    };

    // SAFETY: the memory is initialized here.
    unsafe { number.write(1.0) };
    copy();
    stream.synchronize().unwrap();
    // SAFETY: as above.
    assert_eq!(unsafe { number.read_volatile() }, 7.0);
    assert_eq!(races_at(number as usize), [""; 0]);

    // An event after the copy does as well.
    // SAFETY: as above.
    unsafe { number.write(1.0) };
    copy();
    stream.record_event(None).unwrap().synchronize().unwrap();
    // SAFETY: as above.
    assert_eq!(unsafe { number.read_volatile() }, 7.0);
    assert_eq!(races_at(number as usize), [""; 0]);

    // An event before it does not: the host reads the old number, and that is reported.
    // SAFETY: as above.
    unsafe { number.write(1.0) };
    let before = stream.record_event(None).unwrap();
    copy();
    before.synchronize().unwrap();
    // SAFETY: as above.
    assert_eq!(unsafe { number.read_volatile() }, 1.0);
    assert_eq!(races_at(number as usize).len(), 1);
    stream.synchronize().unwrap();
    // SAFETY: as above.
    assert_eq!(unsafe { number.read_volatile() }, 7.0);
    assert_eq!(races_at(number as usize).len(), 1);
    // SAFETY: allocated above.
    unsafe { result::free_host(number.cast()) }.unwrap();
}

#[test]
fn what_a_copy_reads_may_not_be_overwritten_before() {
    let context = context();
    let stream = context.new_stream().unwrap();
    let mut on_device: CudaSlice<f64> = stream.alloc_zeros(1).unwrap();
    let number = page_locked();
    // SAFETY: the memory is initialized here.
    unsafe { number.write(1.0) };
    {
        let (address, _guard) =
            cudarc::driver::DevicePtrMut::device_ptr_mut(&mut on_device, &stream);
        // SAFETY: one number is read.
        unsafe { sys::cuMemcpyHtoDAsync_v2(address, number.cast(), 8, stream.cu_stream()) }
            .result()
            .unwrap();
    }
    // Reading is harmless.
    // SAFETY: as above.
    assert_eq!(unsafe { number.read_volatile() }, 1.0);
    // SAFETY: as above.
    unsafe { number.write_volatile(2.0) };
    assert_eq!(stream.clone_dtoh(&on_device).unwrap(), [2.0]);
    assert_eq!(races_at(number as usize).len(), 1);

    // Pageable memory is taken when the copy is ordered.
    let mut values = vec![3.0];
    stream.memcpy_htod(&values, &mut on_device).unwrap();
    values[0] = 4.0;
    assert_eq!(stream.clone_dtoh(&on_device).unwrap(), [3.0]);
    // SAFETY: allocated above.
    unsafe { result::free_host(number.cast()) }.unwrap();
}

#[test]
fn streams_wait_for_each_other_only_where_they_are_told_to() {
    let context = context();
    // SAFETY: the test orders its streams by events of its own.
    unsafe { context.disable_event_tracking() };
    let (one, two) = (context.new_stream().unwrap(), context.new_stream().unwrap());
    let source = one.clone_htod(&[5u32]).unwrap();
    let mut target: CudaSlice<u32> = two.alloc_zeros(1).unwrap();
    let mut middle: CudaSlice<u32> = one.alloc_zeros(1).unwrap();
    one.synchronize().unwrap();

    one.memcpy_dtod(&source, &mut middle).unwrap();
    two.memcpy_dtod(&middle, &mut target).unwrap();
    assert_eq!(two.clone_dtoh(&target).unwrap(), [0], "nothing has told `two` to wait for `one`");

    two.join(&one).unwrap();
    two.memcpy_dtod(&middle, &mut target).unwrap();
    assert_eq!(two.clone_dtoh(&target).unwrap(), [5]);
}

#[test]
fn two_threads_may_wait_for_streams_that_wait_for_each_other() {
    let context = context();
    // SAFETY: the test orders its streams by events of its own.
    unsafe { context.disable_event_tracking() };
    let streams = [context.new_stream().unwrap(), context.new_stream().unwrap()];
    let mut values: Vec<CudaSlice<u32>> =
        streams.iter().map(|stream| stream.clone_htod(&[0]).unwrap()).collect();
    for i in 0..100 {
        let (here, there) = (i % 2, 1 - i % 2);
        streams[here].join(&streams[there]).unwrap();
        streams[here].memcpy_htod(&[i as u32], &mut values[here]).unwrap();
    }
    std::thread::scope(|scope| {
        for stream in &streams {
            scope.spawn(|| {
                context.bind_to_thread().unwrap();
                stream.synchronize().unwrap();
            });
        }
    });
    assert_eq!(streams[0].clone_dtoh(&values[0]).unwrap(), [98]);
    assert_eq!(streams[1].clone_dtoh(&values[1]).unwrap(), [99]);
}
