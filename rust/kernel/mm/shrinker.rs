// SPDX-License-Identifier: GPL-2.0

//! Shrinkers: giving memory back when the machine runs short of it.
//!
//! C header: [`include/linux/shrinker.h`](srctree/include/linux/shrinker.h)

use crate::{
    bindings,
    prelude::*,
    sync::Arc, //
};
use core::ptr::NonNull;

/// Something that holds memory and can give some of it back.
///
/// Both functions are called from reclaim, that is from any task that allocates, also from one
/// that holds locks of the implementor: they must not wait for a lock that is ever held over an
/// allocation that may reclaim.
pub trait Shrinker: Send + Sync {
    /// Returns how many objects could be given back, a guess.
    fn count(&self) -> usize;

    /// Gives `objects` objects back, or as many more as it must, and returns how many it were.
    ///
    /// Returns [`None`] if nothing more can be had for now.
    fn scan(&self, objects: usize) -> Option<usize>;
}

/// The registration of a [`Shrinker`].
///
/// Dropping it waits until no call of the shrinker is going on.
///
/// # Invariants
///
/// `shrinker` is registered, and its `private_data` points to `data`.
pub struct ShrinkerRegistration<T: Shrinker> {
    shrinker: NonNull<bindings::shrinker>,
    data: Arc<T>,
}

// SAFETY: The registration can be dropped from any thread, and so can an `Arc` of a type that is
// `Send` and `Sync`.
unsafe impl<T: Shrinker> Send for ShrinkerRegistration<T> {}

// SAFETY: A shared reference gives access to nothing but the data, which is `Sync`.
unsafe impl<T: Shrinker> Sync for ShrinkerRegistration<T> {}

impl<T: Shrinker> ShrinkerRegistration<T> {
    /// Registers a shrinker, under a name that shows in debugfs.
    pub fn new(name: &'static CStr, data: Arc<T>) -> Result<Self> {
        // SAFETY: Both strings end with a NUL, and the format takes one string.
        let shrinker =
            unsafe { bindings::shrinker_alloc(0, c"%s".as_char_ptr(), name.as_char_ptr()) };
        let shrinker = NonNull::new(shrinker).ok_or(ENOMEM)?;
        let raw = shrinker.as_ptr();
        // SAFETY: `shrinker` was just allocated and is not registered, so it is not in use.
        unsafe {
            (*raw).count_objects = Some(Self::count_callback);
            (*raw).scan_objects = Some(Self::scan_callback);
            (*raw).private_data = core::ptr::from_ref(&*data).cast_mut().cast();
        }
        // SAFETY: `shrinker` is set up. `data` lives until it is freed in `drop()`.
        unsafe { bindings::shrinker_register(raw) };
        // INVARIANT: It was just registered, with a pointer to `data`.
        Ok(Self { shrinker, data })
    }

    /// Returns the data of the shrinker.
    pub fn data(&self) -> &Arc<T> {
        &self.data
    }

    /// # Safety
    ///
    /// `shrinker` must be one that was registered by [`ShrinkerRegistration::new`].
    unsafe fn data_of<'a>(shrinker: *mut bindings::shrinker) -> &'a T {
        // SAFETY: By the safety requirement `private_data` points to the `T` in an `Arc` that is
        // kept until the shrinker is freed, which waits for calls like this one.
        unsafe { &*(*shrinker).private_data.cast::<T>() }
    }

    /// # Safety
    ///
    /// To be called by the kernel alone, for a shrinker that was registered with it.
    unsafe extern "C" fn count_callback(
        shrinker: *mut bindings::shrinker,
        _control: *mut bindings::shrink_control,
    ) -> kernel::ffi::c_ulong {
        // SAFETY: By the safety requirement.
        let count = unsafe { Self::data_of(shrinker) }.count();
        // The top values are signals (`SHRINK_STOP`, `SHRINK_EMPTY`).
        count.min(kernel::ffi::c_ulong::MAX >> 1)
    }

    /// # Safety
    ///
    /// To be called by the kernel alone, for a shrinker that was registered with it.
    unsafe extern "C" fn scan_callback(
        shrinker: *mut bindings::shrinker,
        control: *mut bindings::shrink_control,
    ) -> kernel::ffi::c_ulong {
        // SAFETY: The kernel passes a valid control structure.
        let objects = unsafe { (*control).nr_to_scan };
        // SAFETY: By the safety requirement.
        match unsafe { Self::data_of(shrinker) }.scan(objects) {
            Some(freed) => {
                // Without this the kernel would go on to ask for what it was already given.
                //
                // SAFETY: The kernel passes a valid control structure, for this call alone.
                unsafe { (*control).nr_scanned = freed.max(objects) };
                freed.min(kernel::ffi::c_ulong::MAX >> 1)
            }
            // CAST: `SHRINK_STOP` is all ones.
            None => bindings::SHRINK_STOP as kernel::ffi::c_ulong,
        }
    }
}

impl<T: Shrinker> Drop for ShrinkerRegistration<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants it is registered. This waits for calls that are going on.
        unsafe { bindings::shrinker_free(self.shrinker.as_ptr()) };
    }
}
