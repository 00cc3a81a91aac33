// SPDX-License-Identifier: GPL-2.0

//! Virtqueue operations that fail on purpose, in builds with tests.
//!
//! Controlled through the kernel's fault injection (`fail_virtqueue` in debugfs). In other builds
//! nothing of it is left.

#[cfg(CONFIG_RUST_KERNEL_NEXT_KUNIT_TEST)]
use crate::bindings;

/// Makes the controls appear, with the registration of the driver.
pub(super) fn begin() {
    #[cfg(CONFIG_RUST_KERNEL_NEXT_KUNIT_TEST)]
    // SAFETY: Called before the driver is registered, once for each `end()`.
    unsafe {
        bindings::next_fail_virtqueue_begin()
    };
}

/// Removes the controls.
pub(super) fn end() {
    #[cfg(CONFIG_RUST_KERNEL_NEXT_KUNIT_TEST)]
    // SAFETY: Called after the driver was unregistered, so that nothing asks any more.
    unsafe {
        bindings::next_fail_virtqueue_end()
    };
}

/// Returns whether the operation that is about to be done is to fail.
pub(super) fn should_fail() -> bool {
    #[cfg(CONFIG_RUST_KERNEL_NEXT_KUNIT_TEST)]
    {
        // SAFETY: May be called from any context.
        unsafe { bindings::next_fail_virtqueue() }
    }
    #[cfg(not(CONFIG_RUST_KERNEL_NEXT_KUNIT_TEST))]
    {
        false
    }
}
