// SPDX-License-Identifier: GPL-2.0

//! A virtio device that a test plays, for builds with tests only.
//!
//! It is a device on the virtio bus, with configuration operations and rings of its own, to which
//! a driver binds as to any other. What the other side does, in which order, and from which
//! context it calls back, is up to the test: there is no host.
//!
//! The device obeys the specification on its own account: it touches memory only while it has the
//! buffer, and nothing after a reset. A test can make it break any rule; then it goes on to write
//! to the ring, but no longer to the memory behind it, as nobody knows whose that is. So a report
//! of KASAN is always the driver's fault.

mod config;
mod context;
mod hardware;
mod memory;
mod observer;
mod operations;
mod queues;
mod ring;
mod setup;
mod traffic;

pub use self::context::Context;
pub use self::observer::{
    actions,
    Observer, //
};
pub use self::ring::{
    Chain,
    Descriptor, //
};
pub use self::setup::{
    Defects,
    Setup,
    CONFIG_BYTES,
    MAX_QUEUES, //
};

use self::{
    hardware::Hardware,
    observer::act,
    operations::OPERATIONS, //
};
use super::{
    lifecycle::Lifecycle,
    Device,
    Driver,
    Feature, //
};
use crate::{
    bindings,
    container_of,
    device,
    error::to_result,
    new_spinlock_irq,
    prelude::*,
    sync::{
        atomic::Atomic,
        Arc,
        Event,
        SpinLockIrq, //
    },
    time::{
        ClockSource,
        Monotonic,
        Msecs,
        NSEC_PER_MSEC, //
    },
    types::Opaque, //
};

#[pin_data]
struct Mock {
    #[pin]
    vdev: Opaque<bindings::virtio_device>,
    #[pin]
    hardware: SpinLockIrq<Hardware>,
    notified: [Atomic<u32>; MAX_QUEUES],
    #[pin]
    activity: Event,
}

// SAFETY: All that changes is behind a lock, but for the C device, which has locks of its own.
unsafe impl Send for Mock {}
// SAFETY: As above.
unsafe impl Sync for Mock {}

/// A mock device on the virtio bus. It leaves the bus when this is dropped.
pub struct MockDevice {
    mock: Arc<Mock>,
    /// Whether it is on the bus.
    registered: bool,
}

impl Mock {
    /// # Safety
    ///
    /// The device must be that of a `Mock` which lives on while the reference is used.
    unsafe fn of<'a>(vdev: *mut bindings::virtio_device) -> &'a Self {
        // SAFETY: By the safety requirement; `Opaque` is `repr(transparent)`.
        unsafe { &*container_of!(Opaque::cast_from(vdev), Self, vdev) }
    }

    extern "C" fn release(dev: *mut bindings::device) {
        // SAFETY: The kernel calls this with the device that is part of a `struct virtio_device`.
        let vdev = unsafe { container_of!(dev, bindings::virtio_device, dev) };
        // SAFETY: That one is part of a `Mock`.
        let this = unsafe { Self::of(vdev) };
        // SAFETY: The pointer comes from `Arc::into_raw()` in `MockDevice::new()`, and this is
        // called once.
        drop(unsafe { Arc::from_raw(this) });
    }
}

impl MockDevice {
    /// Puts a device on the bus. If there is a driver for it, it has tried to bind on return.
    pub fn new(setup: Setup) -> Result<Self> {
        Self::with_defects(setup, Defects::default())
    }

    /// The same for a device that has defects from the start.
    pub fn with_defects(setup: Setup, defects: Defects) -> Result<Self> {
        let id = setup.id;
        let hardware = Hardware {
            setup,
            status: 0,
            rings: [const { None }; MAX_QUEUES],
            generation: 0,
            is_reset: true,
            callbacks: 0,
            defects,
            eager: 0,
            reads: 0,
            observer: None,
        };
        let mock = Arc::pin_init(
            pin_init!(Mock {
                vdev <- Opaque::ffi_init(|slot: *mut bindings::virtio_device| {
                    // SAFETY: `slot` is valid for writes, and zeroes are what the bus expects.
                    unsafe {
                        slot.write_bytes(0, 1);
                        (*slot).id.device = id;
                        (*slot).id.vendor = bindings::VIRTIO_DEV_ANY_ID;
                        (*slot).config = &raw const OPERATIONS;
                        (*slot).dev.release = Some(Mock::release);
                    };
                }),
                hardware <- new_spinlock_irq!(hardware),
                notified: [const { Atomic::new(0) }; MAX_QUEUES],
                activity <- Event::new(),
            }),
            GFP_KERNEL,
        )?;
        // For `release()`.
        let raw = Arc::into_raw(mock.clone());
        // SAFETY: The device is initialised as far as the bus wants it to be.
        let result = to_result(unsafe { bindings::register_virtio_device((*raw).vdev.get()) });
        if let Err(error) = result {
            // SAFETY: The bus has initialised the device, and wants it to be put in this case.
            unsafe { bindings::put_device(&raw mut (*(*raw).vdev.get()).dev) };
            return Err(error);
        }
        Ok(Self {
            mock,
            registered: true,
        })
    }

    fn vdev(&self) -> *mut bindings::virtio_device {
        self.mock.vdev.get()
    }

    fn dev(&self) -> *mut bindings::device {
        // SAFETY: The device is valid.
        unsafe { &raw mut (*self.vdev()).dev }
    }

    /// Returns whether a driver is bound to it.
    pub fn is_bound(&self) -> bool {
        // SAFETY: The device is valid. Nobody else binds or unbinds it.
        self.registered && !unsafe { (*self.dev()).driver }.is_null()
    }

    /// Returns the status field.
    pub fn status(&self) -> u8 {
        self.mock.hardware.lock().status
    }

    /// Returns whether a feature was negotiated.
    pub fn has_feature(&self, feature: Feature) -> bool {
        // SAFETY: The device is valid.
        unsafe { bindings::next_virtio_test_bit(self.vdev(), feature.bit()) }
    }

    /// Changes what is wrong with it.
    pub fn set_defects(&self, change: impl FnOnce(&mut Defects)) {
        change(&mut self.mock.hardware.lock().defects);
    }

    /// Changes what it is like. Features and sizes count at the next set-up.
    pub fn set_up(&self, change: impl FnOnce(&mut Setup)) {
        change(&mut self.mock.hardware.lock().setup);
    }

    /// Has somebody look at all buffers from now on.
    pub fn set_observer(&self, observer: Arc<dyn Observer>) {
        let old = self.mock.hardware.lock().observer.replace(observer);
        drop(old);
    }

    /// Waits until something is so, for `timeout` milliseconds at most ([`ETIMEDOUT`]).
    pub fn wait_until(&self, timeout: Msecs, mut done: impl FnMut() -> Result<bool>) -> Result {
        const SLICE_MS: Msecs = 2;
        let deadline =
            Monotonic::ktime_get().saturating_add(i64::from(timeout).saturating_mul(NSEC_PER_MSEC));
        loop {
            self.mock.activity.arm();
            if done()? {
                return Ok(());
            }
            if Monotonic::ktime_get() >= deadline {
                return Err(ETIMEDOUT);
            }
            self.mock.activity.wait(SLICE_MS);
        }
    }

    /// Unbinds the driver.
    pub fn unbind(&self) {
        // SAFETY: The device is on the bus, or was never bound.
        unsafe { bindings::device_release_driver(self.dev()) };
    }

    /// Looks for a driver again. Returns whether one is bound.
    pub fn bind(&self) -> bool {
        if self.registered {
            // SAFETY: The device is on the bus.
            let _ = unsafe { bindings::device_attach(self.dev()) };
        }
        self.is_bound()
    }

    /// Suspends the device, as its transport does. The driver must be bound.
    #[cfg(CONFIG_PM_SLEEP)]
    pub fn freeze(&self) -> Result {
        // SAFETY: The device is valid.
        to_result(unsafe { bindings::virtio_device_freeze(self.vdev()) })
    }

    /// Resumes the device.
    #[cfg(CONFIG_PM_SLEEP)]
    pub fn restore(&self) -> Result {
        // SAFETY: The device is valid.
        to_result(unsafe { bindings::virtio_device_restore(self.vdev()) })
    }

    /// The machine goes down. The driver must be bound.
    pub fn shut_down(&self) {
        if self.is_bound() {
            // SAFETY: The device is valid, and on the virtio bus.
            unsafe { bindings::next_mock_shutdown(self.vdev()) };
        }
    }

    /// Takes the device off the bus.
    pub fn unplug(&mut self) {
        if core::mem::replace(&mut self.registered, false) {
            // SAFETY: The device is on the bus, and this is done once.
            unsafe { bindings::unregister_virtio_device(self.vdev()) };
        }
    }

    /// Waits until the driver has done what it was told to, as far as it does not have to wait.
    pub fn settle(&self) {
        if self.is_bound() {
            // SAFETY: The driver is bound, and nobody else unbinds it.
            unsafe { Lifecycle::settle(self.vdev()) };
        }
    }

    /// Calls `f` with the device and the data of its driver.
    ///
    /// Returns [`None`] if it is not bound to a driver of type `T`, or was suspended.
    pub fn with_data<T: Driver, R>(
        &self,
        f: impl FnOnce(&Device<device::Bound>, Pin<&T::Data<'_>>) -> R,
    ) -> Option<R> {
        const DRIVER_OK: u8 = bindings::VIRTIO_CONFIG_S_DRIVER_OK as u8;
        if !self.is_bound() || self.status() & DRIVER_OK == 0 {
            return None;
        }
        // SAFETY: The device is bound to a driver of the virtio bus.
        let table = unsafe {
            let driver = (*self.dev()).driver;
            (*container_of!(driver, bindings::virtio_driver, driver)).id_table
        };
        if table != T::ID_TABLE.as_ptr() {
            return None;
        }
        // SAFETY: The device is bound; nobody else unbinds it.
        let dev = unsafe { &*self.vdev().cast::<Device<device::BoundInternal>>() };
        // SAFETY: It is bound to the driver with the table of `T`, which has set its data.
        let data = unsafe { dev.as_ref().drvdata_borrow::<T::Data<'_>>() };
        Some(f(dev, data))
    }
}

impl Drop for MockDevice {
    fn drop(&mut self) {
        self.unplug();
    }
}
