// SPDX-License-Identifier: GPL-2.0

//! Power management.
//!
//! C header: [`include/linux/pm_wakeup.h`](srctree/include/linux/pm_wakeup.h)

use crate::{
    bindings, device, new_spinlock_irq,
    prelude::*,
    sync::{
        aref::ARef,
        SpinLockIrq, //
    },
};

/// Returns the C device. Upstream this is `Device::as_raw()`, which only its own crate may call.
fn as_raw(dev: &device::Device) -> *mut bindings::device {
    // CAST: `Device` is a transparent wrapper of `struct device`, which may be changed behind it.
    core::ptr::from_ref(dev).cast_mut().cast()
}

/// Keeps the machine from going to sleep while there is something to do for a device.
///
/// There may be several kinds of things to do, each a bit of a mask. Whoever hears of one calls
/// [`StayAwake::begin`]; whoever does it calls [`StayAwake::take`] before it looks what there is
/// to do and [`StayAwake::end`] after all was done, so that what is heard of in between counts.
///
/// When it is dropped nothing is left to do.
#[pin_data(PinnedDrop)]
pub struct StayAwake {
    dev: ARef<device::Device>,
    #[pin]
    state: SpinLockIrq<State>,
}

struct State {
    /// What was begun and not taken.
    pending: u32,
    awake: bool,
}

impl StayAwake {
    /// Creates it with nothing to do, and declares that the device can wake the machine up. The
    /// owner of the machine decides whether it may (`power/wakeup` in sysfs).
    pub fn new(dev: ARef<device::Device>) -> impl PinInit<Self> {
        // SAFETY: The device is valid.
        unsafe { bindings::next_device_set_wakeup_capable(as_raw(&dev), true) };
        pin_init!(Self {
            dev,
            state <- new_spinlock_irq!(State {
                pending: 0,
                awake: false,
            }),
        })
    }

    /// There is something to do. May be called from any context.
    pub fn begin(&self, what: u32) {
        let mut state = self.state.lock();
        state.pending |= what;
        if !core::mem::replace(&mut state.awake, true) {
            // SAFETY: The device is valid. The function may be called from any context.
            unsafe { bindings::next_pm_stay_awake(as_raw(&self.dev)) };
        }
    }

    /// It is about to be done.
    pub fn take(&self, what: u32) {
        self.state.lock().pending &= !what;
    }

    /// All that was taken is done, or cannot be done for now.
    pub fn end(&self) {
        let mut state = self.state.lock();
        if state.pending == 0 && core::mem::replace(&mut state.awake, false) {
            // SAFETY: The device is valid. The function may be called from any context.
            unsafe { bindings::next_pm_relax(as_raw(&self.dev)) };
        }
    }
}

#[pinned_drop]
impl PinnedDrop for StayAwake {
    fn drop(self: Pin<&mut Self>) {
        self.take(u32::MAX);
        self.end();
    }
}
