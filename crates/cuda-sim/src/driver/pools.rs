//! The memory pools of the stream-ordered allocator.
//!
//! A pool only keeps account: memory goes back to the device when it is freed.

use std::{
    collections::BTreeMap,
    ffi::{c_int, c_void},
    sync::{
        Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use super::{
    CuResult,
    contexts::check_device,
    driver, exports,
    handles::{Handle, Table},
    lock,
    queues::finish_all,
    say, write,
};

/// The values of `CUmemPool_attribute` that can be set freely: three reuse policies (`int`) and the
/// release threshold (`cuuint64_t`).
const REUSE_POLICIES: std::ops::RangeInclusive<c_int> = 1..=3;
const RELEASE_THRESHOLD: c_int = 4;

/// A pool: its policies and its bytes in use.
#[derive(Default)]
pub(super) struct Pool {
    policies: Mutex<BTreeMap<c_int, u64>>,
    used: AtomicU64,
    high: AtomicU64,
}

impl Pool {
    pub(super) fn add(&self, bytes: u64) {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.high.fetch_max(used, Ordering::Relaxed);
    }

    pub(super) fn remove(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The pools of a device: its default pool and the one that `cuMemAllocAsync` uses now.
pub(super) struct DevicePools {
    default: Handle,
    current: AtomicUsize,
}

impl DevicePools {
    pub(super) fn new(pools: &Table<Pool>) -> Self {
        let default = pools.insert(Pool::default());
        Self { default, current: AtomicUsize::new(default) }
    }

    pub(super) fn current(&self) -> Handle {
        self.current.load(Ordering::Relaxed)
    }
}

exports! {
    fn cuDeviceGetDefaultMemPool(pool: *mut Handle, device: c_int) {
        check_device(device)?;
        write(pool, driver()?.device_pools.default)
    }
    fn cuDeviceGetMemPool(pool: *mut Handle, device: c_int) {
        check_device(device)?;
        write(pool, driver()?.device_pools.current())
    }
    fn cuDeviceSetMemPool(device: c_int, pool: Handle) {
        check_device(device)?;
        let driver = driver()?;
        driver.pools.get(pool).map_err(|_| CuResult::InvalidValue)?;
        driver.device_pools.current.store(pool, Ordering::Relaxed);
        Ok(())
    }
    fn cuMemPoolCreate(pool: *mut Handle, properties: *const c_int) {
        if properties.is_null() {
            return Err(CuResult::InvalidValue);
        }
        // The structure CUmemPoolProps begins with the allocation type (1: pinned), the handle type
        // for other processes (0: none) and the location (type 1: device; id).
        let [kind, shared, location, device] = properties.cast::<[c_int; 4]>().read();
        if (kind, location) != (1, 1) || check_device(device).is_err() {
            return Err(CuResult::InvalidValue);
        }
        if shared != 0 {
            say("cuMemPoolCreate: pools shared between processes are not supported");
            return Err(CuResult::NotSupported);
        }
        write(pool, driver()?.pools.insert(Pool::default()))
    }
    fn cuMemPoolDestroy(pool: Handle) {
        let driver = driver()?;
        if pool == driver.device_pools.default {
            return Err(CuResult::InvalidValue);
        }
        driver.pools.remove(pool).map_err(|_| CuResult::InvalidValue)?;
        let fallback = driver.device_pools.default;
        let current = &driver.device_pools.current;
        // A device whose current pool is destroyed goes back to its default pool.
        let _ = current.compare_exchange(pool, fallback, Ordering::Relaxed, Ordering::Relaxed);
        Ok(())
    }
    fn cuMemPoolTrimTo(pool: Handle, _keep: usize) {
        driver()?.pools.get(pool).map_err(|_| CuResult::InvalidValue).map(drop)
    }
    fn cuMemPoolGetAttribute(pool: Handle, attribute: c_int, value: *mut c_void) {
        let driver = driver()?;
        let pool = driver.pools.get(pool).map_err(|_| CuResult::InvalidValue)?;
        finish_all(driver, |_| true);
        let policy = lock(&pool.policies).get(&attribute).copied();
        match attribute {
            policy_of if REUSE_POLICIES.contains(&policy_of) => {
                write(value.cast::<c_int>(), policy.unwrap_or(1) as c_int)
            }
            RELEASE_THRESHOLD => write(value.cast::<u64>(), policy.unwrap_or(0)),
            // Reserved and used bytes are the same in the simulation. These attributes are the
            // present number of bytes, and the next two the largest so far.
            5 | 7 => write(value.cast::<u64>(), pool.used.load(Ordering::Relaxed)),
            6 | 8 => write(value.cast::<u64>(), pool.high.load(Ordering::Relaxed)),
            _ => Err(CuResult::InvalidValue),
        }
    }
    fn cuMemPoolSetAttribute(pool: Handle, attribute: c_int, value: *mut c_void) {
        let pool = driver()?.pools.get(pool).map_err(|_| CuResult::InvalidValue)?;
        if value.is_null() {
            return Err(CuResult::InvalidValue);
        }
        match attribute {
            policy if REUSE_POLICIES.contains(&policy) => {
                lock(&pool.policies).insert(policy, value.cast::<c_int>().read() as u64);
            }
            RELEASE_THRESHOLD => {
                lock(&pool.policies).insert(attribute, value.cast::<u64>().read());
            }
            // The high-water marks can only be reset.
            6 | 8 if value.cast::<u64>().read() == 0 => {
                pool.high.store(pool.used.load(Ordering::Relaxed), Ordering::Relaxed);
            }
            _ => return Err(CuResult::InvalidValue),
        }
        Ok(())
    }
}
