// SPDX-License-Identifier: GPL-2.0

//! Power management.
//!
//! C header: [`include/linux/pm_wakeup.h`](srctree/include/linux/pm_wakeup.h)

use crate::{
    bindings,
    container_of,
    device,
    error::to_result,
    new_spinlock_irq,
    prelude::*,
    sync::{
        aref::ARef,
        Arc,
        SpinLockIrq, //
    },
    types::Opaque, //
};

/// Something that has to be done before the machine goes to sleep.
pub trait SleepHandler: Send + Sync {
    /// The machine is about to go to sleep; tasks and work go on so far.
    ///
    /// May sleep, for a bounded time: everybody waits for it.
    fn prepare(&self);

    /// The machine is back, or did not go to sleep after all; tasks and work go on again.
    fn finished(&self);
}

/// The registration of a [`SleepHandler`].
///
/// Dropping it waits until no call of the handler is going on: the handler must not wait for
/// whoever does that.
///
/// # Invariants
///
/// `block` is pinned and registered.
#[pin_data(PinnedDrop)]
pub struct SleepNotifier<T: SleepHandler> {
    #[pin]
    block: Opaque<bindings::notifier_block>,
    handler: Arc<T>,
}

// SAFETY: The registration can be dropped from any thread, and so can an `Arc` of a type that is
// `Send` and `Sync`.
unsafe impl<T: SleepHandler> Send for SleepNotifier<T> {}
// SAFETY: A shared reference gives access to nothing.
unsafe impl<T: SleepHandler> Sync for SleepNotifier<T> {}

impl<T: SleepHandler> SleepNotifier<T> {
    /// Registers a handler.
    pub fn new(handler: Arc<T>) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            handler,
            block <- Opaque::try_ffi_init(|slot: *mut bindings::notifier_block| {
                // SAFETY: `slot` is valid for writes.
                unsafe {
                    slot.write(bindings::notifier_block {
                        notifier_call: Some(Self::callback),
                        ..Default::default()
                    })
                };
                // SAFETY: `slot` is initialised and pinned, and unregistered before it goes. The
                // callback finds `handler`, which was initialised before.
                to_result(unsafe { bindings::next_register_pm_notifier(slot) })
            }),
        })
    }

    /// # Safety
    ///
    /// To be called by the kernel alone, with the block of a `SleepNotifier<T>`.
    unsafe extern "C" fn callback(
        block: *mut bindings::notifier_block,
        action: kernel::ffi::c_ulong,
        _data: *mut c_void,
    ) -> c_int {
        // SAFETY: By the safety requirement; `Opaque` is `repr(transparent)`.
        let this = unsafe { container_of!(Opaque::cast_from(block), Self, block) };
        // SAFETY: The structure does not go away meanwhile: `drop()` waits for this call.
        let handler = unsafe { &(*this).handler };
        // SAFETY: A function of a number.
        if unsafe { bindings::next_pm_prepares(action) } {
            handler.prepare();
        }
        // SAFETY: As above.
        if unsafe { bindings::next_pm_is_over(action) } {
            handler.finished();
        }
        // CAST: A small constant.
        bindings::NOTIFY_OK as c_int
    }
}

#[pinned_drop]
impl<T: SleepHandler> PinnedDrop for SleepNotifier<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariants the block is registered. This waits for calls that are
        // going on.
        unsafe { bindings::next_unregister_pm_notifier(self.block.get()) };
    }
}

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
