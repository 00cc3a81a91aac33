// SPDX-License-Identifier: GPL-2.0

//! Waiting for something that may never happen.
//!
//! C header: [`include/linux/completion.h`](srctree/include/linux/completion.h)

use crate::{
    bindings,
    error::to_result,
    prelude::*,
    time::{
        msecs_to_jiffies,
        Msecs, //
    },
    types::Opaque, //
};

/// Something that happens again and again, and that one task at a time waits for.
///
/// The order that misses nothing: [`Event::arm`], look whether it is still to be waited for, then
/// [`Event::wait`].
#[pin_data]
pub struct Event {
    #[pin]
    inner: Opaque<bindings::completion>,
}

// SAFETY: A completion may be used from any thread.
unsafe impl Send for Event {}
// SAFETY: A completion is made to be shared.
unsafe impl Sync for Event {}

impl Event {
    /// Creates an event that has not happened.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            inner <- Opaque::ffi_init(|slot: *mut bindings::completion| {
                // SAFETY: `slot` is valid for writes.
                unsafe { bindings::init_completion(slot) };
            }),
        })
    }

    /// Forgets that it has happened.
    pub fn arm(&self) {
        // SAFETY: The completion is initialised.
        unsafe { bindings::next_reinit_completion(self.inner.get()) };
    }

    /// Makes it happen. May be called from any context.
    pub fn signal(&self) {
        // SAFETY: The completion is initialised.
        unsafe { bindings::complete_all(self.inner.get()) };
    }

    /// Waits until it happens, for `timeout` milliseconds at most.
    ///
    /// Returns whether it has happened since it was armed. Signals to the task do not end the
    /// wait. Must be called from a context that may sleep.
    pub fn wait(&self, timeout: Msecs) -> bool {
        // SAFETY: The completion is initialised.
        let left = unsafe {
            bindings::wait_for_completion_timeout(self.inner.get(), msecs_to_jiffies(timeout))
        };
        left != 0
    }

    /// Waits until it happens, without a limit.
    ///
    /// Returns [`ERESTARTSYS`] if the task has a signal to see to: the system call is begun again
    /// after it, or fails with `EINTR`. Must be called from a context that may sleep.
    pub fn wait_interruptible(&self) -> Result {
        // SAFETY: The completion is initialised.
        to_result(unsafe { bindings::wait_for_completion_interruptible(self.inner.get()) })
    }

    /// Waits until it happens, without a limit, and without counting as busy or hung.
    ///
    /// Must be called from a context that may sleep.
    pub fn wait_idle(&self) {
        // SAFETY: The completion is initialised.
        unsafe { bindings::wait_for_completion_state(self.inner.get(), bindings::TASK_IDLE) };
    }
}

#[cfg(CONFIG_RUST_KERNEL_NEXT_KUNIT_TEST)]
#[kunit_tests(rust_kernel_event)]
mod tests {
    use super::*;
    use crate::sync::Arc;

    #[test]
    fn happens_once_for_each_time_it_is_armed() -> Result {
        let event = Arc::pin_init(Event::new(), GFP_KERNEL)?;
        assert!(!event.wait(1));
        event.signal();
        event.signal();
        assert!(event.wait(1));
        event.arm();
        assert!(!event.wait(1));
        event.signal();
        assert!(event.wait(3_600_000));
        event.wait_interruptible()
    }
}
