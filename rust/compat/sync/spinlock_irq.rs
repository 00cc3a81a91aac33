// SPDX-License-Identifier: GPL-2.0

//! A spin lock that is taken with interrupts off.

use crate::{
    bindings,
    sync::lock::{
        spinlock::SpinLockBackend,
        Backend,
        Guard,
        Lock, //
    },
};
use kernel::ffi::{
    c_char,
    c_ulong, //
};

/// Functions of `rust/compat/spinlock.c`.
mod helpers {
    use super::*;

    #[allow(improper_ctypes)]
    extern "C" {
        #[link_name = "rust_helper_next_spin_lock_irqsave"]
        pub(super) fn spin_lock_irqsave(lock: *mut bindings::spinlock_t) -> c_ulong;
        #[link_name = "rust_helper_next_spin_trylock_irqsave"]
        pub(super) fn spin_trylock_irqsave(
            lock: *mut bindings::spinlock_t,
            flags: *mut c_ulong,
        ) -> bool;
        #[link_name = "rust_helper_next_spin_unlock_irqrestore"]
        pub(super) fn spin_unlock_irqrestore(lock: *mut bindings::spinlock_t, flags: c_ulong);
    }
}

/// Creates a [`SpinLockIrq`] with the given name and a newly-created lock class.
#[macro_export]
macro_rules! new_spinlock_irq {
    ($inner:expr $(, $name:literal)? $(,)?) => {
        $crate::sync::SpinLockIrq::new(
            $inner,
            $crate::optional_name!($($name)?),
            $crate::static_lock_class!(),
        )
    };
}

/// A spin lock that is taken with interrupts off.
///
/// 7.3 counts how often interrupts are off. Here a guard puts back what it found, so guards have to
/// go in the order opposite to that in which they came, as those of all users here do.
pub type SpinLockIrq<T> = Lock<T, SpinLockIrqBackend>;

/// What holds a [`SpinLockIrq`].
pub type SpinLockIrqGuard<'a, T> = Guard<'a, T, SpinLockIrqBackend>;

/// The backend of [`SpinLockIrq`].
pub struct SpinLockIrqBackend;

// SAFETY: The `spinlock_t` ensures mutual exclusion. `relock` is the default implementation, which
// locks as `lock` does.
unsafe impl Backend for SpinLockIrqBackend {
    type State = bindings::spinlock_t;
    type GuardState = c_ulong;

    #[inline]
    unsafe fn init(ptr: *mut Self::State, name: *const c_char, key: *mut bindings::lock_class_key) {
        // SAFETY: The safety requirements are the same.
        unsafe { SpinLockBackend::init(ptr, name, key) }
    }

    #[inline]
    unsafe fn lock(ptr: *mut Self::State) -> Self::GuardState {
        // SAFETY: By the safety requirements the lock is valid and initialised.
        unsafe { helpers::spin_lock_irqsave(ptr) }
    }

    #[inline]
    unsafe fn unlock(ptr: *mut Self::State, guard_state: &Self::GuardState) {
        // SAFETY: By the safety requirements the lock is valid and held by the caller.
        unsafe { helpers::spin_unlock_irqrestore(ptr, *guard_state) }
    }

    #[inline]
    unsafe fn try_lock(ptr: *mut Self::State) -> Option<Self::GuardState> {
        let mut flags = 0;
        // SAFETY: By the safety requirements the lock is valid and initialised.
        unsafe { helpers::spin_trylock_irqsave(ptr, &mut flags) }.then_some(flags)
    }

    #[inline]
    unsafe fn assert_is_held(ptr: *mut Self::State) {
        // SAFETY: The safety requirements are the same.
        unsafe { SpinLockBackend::assert_is_held(ptr) }
    }
}
