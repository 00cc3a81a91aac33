// SPDX-License-Identifier: GPL-2.0

//! Abstractions for the virtio bus.
//!
//! # The life of a device
//!
//! The bus goes through the following, and the types see to it that a driver cannot leave the
//! order:
//!
//! 1. [`Driver::validate`]: features are agreed on. There is no data yet.
//! 2. [`Driver::probe`]: the driver finds its virtqueues ([`Device::find_virtqueues`]), creates
//!    work ([`Device::new_work`]) and its data. Buffers may be added; a notification is kept back.
//! 3. `DRIVER_OK` is set. Notifications that were kept back go out.
//! 4. [`Driver::ready`], then callbacks: [`Driver::config_changed`], [`Driver::vq_callback`].
//! 5. [`Driver::unbind`]: the device is alive for the last time.
//! 6. All work is stopped, the device is reset, and only then buffers that it never returned are
//!    dropped and the virtqueues deleted. The data of the driver goes last.
//!
//! The steps from 6 on are taken as well if 2 fails.
//!
//! A suspend goes through [`Driver::freeze`] and 6, but keeps the driver's data. On the way back
//! the virtqueues are found again, [`Driver::restore`] sets the device up as 2 did, and 3 and 4
//! follow. When the machine goes down, all work is stopped and the device is reset.
//!
//! What touches the device asks for a [`Device<Bound>`](device::Bound), which only callbacks and
//! work have, and for a moment [`DeviceAccess`]: code that runs later cannot have one. What the
//! driver keeps of a virtqueue beyond that, a [`Virtqueue`], does nothing by itself.
//!
//! C headers: [`include/linux/virtio.h`](srctree/include/linux/virtio.h),
//! [`include/linux/virtio_config.h`](srctree/include/linux/virtio_config.h)

mod access;
mod buffer;
mod bus_device;
mod config;
mod fault;
mod feature;
mod lifecycle;
#[cfg(CONFIG_RUST_KERNEL_NEXT_KUNIT_TEST)]
pub mod mock;
mod out_bitmap;
mod report_queue;
mod report_sleep;
mod virtqueue;
mod work;

pub use self::access::DeviceAccess;
pub use self::buffer::{
    Buffer,
    InBuffer,
    OutBuffer,
    Segment, //
};
pub use self::bus_device::{
    Device,
    VirtioNumber, //
};
pub use self::config::ConfigField;
pub use self::feature::{
    Feature,
    Negotiation, //
};
pub use self::out_bitmap::{
    OutBitmap,
    SealedOutBitmap,
    BITS_PER_PIECE, //
};
pub use self::report_queue::ReportQueue;
pub use self::report_sleep::ReportSleep;
pub use self::virtqueue::{
    Queue,
    QueueGuard,
    QueueInfo,
    Refused,
    Virtqueue,
    Virtqueues, //
};
pub use self::work::{
    DeviceWork,
    DeviceWorkItem, //
};
pub use crate::workqueue::{
    Stop,
    Then, //
};

use self::lifecycle::Lifecycle;
use crate::{
    bindings,
    device,
    device_id::RawDeviceId,
    driver,
    error::{
        from_result,
        to_result, //
    },
    prelude::*,
    sync::atomic::Full,
    types::Opaque,
    ThisModule, //
};
use core::mem::offset_of;

/// An adapter for the registration of virtio drivers.
pub struct Adapter<T: Driver>(T);

// SAFETY:
// - `bindings::virtio_driver` is a C type declared as `repr(C)`.
// - `T::Data` is the type of the driver's device private data.
// - `struct virtio_driver` embeds a `struct device_driver`.
// - `DEVICE_DRIVER_OFFSET` is the correct byte offset to the embedded `struct device_driver`.
unsafe impl<T: Driver> driver::DriverLayout for Adapter<T> {
    type DriverType = bindings::virtio_driver;
    type DriverData<'bound> = T::Data<'bound>;
    const DEVICE_DRIVER_OFFSET: usize = offset_of!(Self::DriverType, driver);
}

// SAFETY: A call to `unregister` for a given instance of `DriverType` is guaranteed to be valid if
// a preceding call to `register` has been successful.
unsafe impl<T: Driver> driver::RegistrationOps for Adapter<T> {
    unsafe fn register(
        vdrv: &Opaque<Self::DriverType>,
        name: &'static CStr,
        module: &'static ThisModule,
    ) -> Result {
        let features = Feature::table(T::FEATURES);
        let features_len = c_uint::try_from(T::FEATURES.len())?;

        // SAFETY: It's safe to set the fields of `struct virtio_driver` on initialization. The
        // tables are `'static`.
        unsafe {
            (*vdrv.get()).driver.name = name.as_char_ptr();
            (*vdrv.get()).id_table = T::ID_TABLE.as_ptr();
            (*vdrv.get()).feature_table = features;
            (*vdrv.get()).feature_table_size = features_len;
            (*vdrv.get()).probe = Some(Self::probe_callback);
            (*vdrv.get()).remove = Some(Self::remove_callback);
            (*vdrv.get()).freeze = Some(Self::freeze_callback);
            (*vdrv.get()).restore = Some(Self::restore_callback);
            (*vdrv.get()).shutdown = Some(Self::shutdown_callback);
            if T::HAS_VALIDATE {
                (*vdrv.get()).validate = Some(Self::validate_callback);
            }
            if T::HAS_CONFIG_CHANGED {
                (*vdrv.get()).config_changed = Some(Self::config_changed_callback);
            }
        }

        fault::begin();
        // SAFETY: `vdrv` is guaranteed to be a valid `DriverType`.
        to_result(unsafe { bindings::__register_virtio_driver(vdrv.get(), module.as_ptr()) })
            .inspect_err(|_| fault::end())
    }

    unsafe fn unregister(vdrv: &Opaque<Self::DriverType>) {
        // SAFETY: `vdrv` is guaranteed to be a valid `DriverType`.
        unsafe { bindings::unregister_virtio_driver(vdrv.get()) };
        fault::end();
    }
}

impl<T: Driver> Adapter<T> {
    extern "C" fn validate_callback(vdev: *mut bindings::virtio_device) -> c_int {
        // SAFETY: The virtio bus only ever calls the validate callback with a valid pointer to a
        // `struct virtio_device`.
        //
        // INVARIANT: `vdev` is valid for the duration of `validate_callback()`.
        let vdev = unsafe { &*vdev.cast::<Device<device::CoreInternal<'_>>>() };

        from_result(|| {
            T::validate(vdev, &mut Negotiation::new(vdev))?;
            Ok(0)
        })
    }

    extern "C" fn probe_callback(vdev: *mut bindings::virtio_device) -> c_int {
        // SAFETY: The virtio bus only ever calls the probe callback with a valid pointer to a
        // `struct virtio_device`.
        //
        // INVARIANT: `vdev` is valid for the duration of `probe_callback()`.
        let vdev = unsafe { &*vdev.cast::<Device<device::CoreInternal<'_>>>() };

        from_result(|| {
            Lifecycle::begin(vdev, Self::vq_callback)?;
            if let Err(error) = vdev.as_ref().set_drvdata(T::probe(vdev)) {
                // SAFETY: The life has begun above. No data was published.
                unsafe { Lifecycle::end(vdev) };
                return Err(error);
            }

            // SAFETY: `set_drvdata()` was just called, with data of this type.
            let data = unsafe { vdev.as_ref().drvdata_borrow::<T::Data<'_>>() };
            Lifecycle::set_ready(vdev);
            T::ready(vdev, data);
            Ok(0)
        })
    }

    extern "C" fn remove_callback(vdev: *mut bindings::virtio_device) {
        // SAFETY: The virtio bus only ever calls the remove callback with a valid pointer to a
        // `struct virtio_device`.
        //
        // INVARIANT: `vdev` is valid for the duration of `remove_callback()`.
        let vdev = unsafe { &*vdev.cast::<Device<device::CoreInternal<'_>>>() };

        // SAFETY: `remove_callback` is only ever called after a successful call to
        // `probe_callback`, hence it's guaranteed that `Device::set_drvdata()` has been called
        // and stored a `Pin<KBox<T::Data<'_>>>`.
        let data = unsafe { vdev.as_ref().drvdata_borrow::<T::Data<'_>>() };

        T::unbind(vdev, data);

        // SAFETY: The life has begun in `probe_callback()`, and ends only here: the bus calls this
        // function once for each successful probe.
        unsafe { Lifecycle::end(vdev) };
    }

    extern "C" fn freeze_callback(vdev: *mut bindings::virtio_device) -> c_int {
        // SAFETY: The virtio bus only ever calls the freeze callback with a valid pointer to a
        // `struct virtio_device`.
        //
        // INVARIANT: `vdev` is valid for the duration of `freeze_callback()`.
        let vdev = unsafe { &*vdev.cast::<Device<device::CoreInternal<'_>>>() };

        // SAFETY: `freeze_callback` is only ever called for a device that is bound to this driver,
        // so `Device::set_drvdata()` has been called with data of this type.
        let data = unsafe { vdev.as_ref().drvdata_borrow::<T::Data<'_>>() };

        // SAFETY: The life has begun in `probe_callback()` and ends in `remove_callback()`.
        let frozen = unsafe { Lifecycle::frozen(vdev.as_raw()) };
        if frozen.xchg(true, Full) {
            // Ahead of the transport, see `Lifecycle::freeze_early()`.
            return 0;
        }

        T::freeze(vdev, data);

        // SAFETY: As above. The bus has disabled the callback for configuration changes.
        unsafe { Lifecycle::reset(vdev) };
        0
    }

    extern "C" fn restore_callback(vdev: *mut bindings::virtio_device) -> c_int {
        // SAFETY: The virtio bus only ever calls the restore callback with a valid pointer to a
        // `struct virtio_device`.
        //
        // INVARIANT: `vdev` is valid for the duration of `restore_callback()`.
        let vdev = unsafe { &*vdev.cast::<Device<device::CoreInternal<'_>>>() };

        // SAFETY: `restore_callback` is only ever called for a device that is bound to this
        // driver, so `Device::set_drvdata()` has been called with data of this type.
        let data = unsafe { vdev.as_ref().drvdata_borrow::<T::Data<'_>>() };

        // SAFETY: The life has begun in `probe_callback()` and ends in `remove_callback()`.
        unsafe { Lifecycle::frozen(vdev.as_raw()) }.xchg(false, Full);

        from_result(|| {
            // SAFETY: As above.
            let restored = unsafe { Lifecycle::restore(vdev) };
            if let Err(error) = restored.and_then(|()| T::restore(vdev, data)) {
                // SAFETY: As above. The device is not live, so no callback comes.
                unsafe { Lifecycle::reset(vdev) };
                return Err(error);
            }
            Lifecycle::set_ready(vdev);
            T::ready(vdev, data);
            Ok(0)
        })
    }

    extern "C" fn shutdown_callback(vdev: *mut bindings::virtio_device) {
        // SAFETY: The virtio bus only ever calls the shutdown callback with a valid pointer to a
        // `struct virtio_device`.
        //
        // INVARIANT: `vdev` is valid for the duration of `shutdown_callback()`.
        let vdev = unsafe { &*vdev.cast::<Device<device::CoreInternal<'_>>>() };

        // SAFETY: The bus calls this for devices that are bound to this driver: their life has
        // begun in `probe_callback()` and ends in `remove_callback()`.
        unsafe { Lifecycle::shut_down(vdev) };
    }

    extern "C" fn config_changed_callback(vdev: *mut bindings::virtio_device) {
        // SAFETY: The virtio bus only ever calls this callback with a valid pointer to a
        // `struct virtio_device` that is bound to this driver.
        //
        // INVARIANT: `vdev` is valid for the duration of `config_changed_callback()`.
        let vdev = unsafe { &*vdev.cast::<Device<device::BoundInternal>>() };

        // SAFETY: The bus enables this callback after `probe_callback()` and disables it before
        // `remove_callback()`, hence the data is set for its duration.
        let data = unsafe { vdev.as_ref().drvdata_borrow::<T::Data<'_>>() };

        T::config_changed(vdev, data);
    }

    extern "C" fn vq_callback(vq: *mut bindings::virtqueue) {
        if !T::HAS_VQ_CALLBACK {
            return;
        }
        // SAFETY: The transport only ever calls this with a valid virtqueue of a device that is
        // bound to this driver, and not after the device was reset.
        let vdev = unsafe { (*vq).vdev };
        // SAFETY: As above.
        //
        // INVARIANT: `vdev` is valid for the duration of `vq_callback()`.
        let vdev = unsafe { &*vdev.cast::<Device<device::BoundInternal>>() };

        // SAFETY: The life of the device has begun, as it has virtqueues, and not ended, as
        // ending it resets the device first.
        let Some(index) = (unsafe { Lifecycle::index_of_queue(vdev, vq) }) else {
            return;
        };
        // SAFETY: The life tells the index only after `set_drvdata()` was called; the data is
        // dropped only after the device was reset.
        let data = unsafe { vdev.as_ref().drvdata_borrow::<T::Data<'_>>() };

        T::vq_callback(vdev, data, index);
    }
}

/// Declares a kernel module that exposes a single virtio driver.
///
/// # Examples
///
/// ```ignore
/// kernel::module_virtio_driver! {
///     type: MyDriver,
///     name: "Module name",
///     authors: ["Author name"],
///     description: "Description",
///     license: "GPL v2",
/// }
/// ```
#[macro_export]
macro_rules! module_virtio_driver {
    ($($f:tt)*) => {
        $crate::module_driver!(<T>, $crate::virtio::Adapter<T>, { $($f)* });
    };
}

/// Abstraction for `bindings::virtio_device_id`.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct DeviceId(bindings::virtio_device_id);

impl DeviceId {
    /// Creates the id of all devices of a kind, whoever made them.
    ///
    /// `device` is a device type of the specification, section 5.
    pub const fn new(device: u32) -> Self {
        Self(bindings::virtio_device_id {
            device,
            vendor: bindings::VIRTIO_DEV_ANY_ID,
        })
    }
}

// SAFETY: `DeviceId` is a `#[repr(transparent)]` wrapper of `virtio_device_id` and does not add
// additional invariants, so it's safe to transmute to `RawType`.
unsafe impl RawDeviceId for DeviceId {
    type RawType = bindings::virtio_device_id;
}

/// IdTable type for virtio drivers.
pub type IdTable = &'static dyn kernel::device_id::IdTable<DeviceId, ()>;

/// Creates a virtio `IdTable` with its alias for modpost.
#[macro_export]
macro_rules! virtio_device_table {
    ($name:ident, $($tt:tt)*) => {
        $crate::module_device_table!("virtio", $crate::virtio::DeviceId, $name, @none, $($tt)*);
    };
}

/// The virtio driver trait.
///
/// Drivers must implement this trait in order to get a virtio driver registered. The
/// [module documentation](self) tells the order of the calls.
#[vtable]
pub trait Driver {
    /// The type of the driver's bus device private data.
    ///
    /// Callbacks borrow it at any time and from interrupts, hence [`Sync`].
    type Data<'bound>: Send + Sync + 'bound;

    /// The table of device ids supported by the driver.
    const ID_TABLE: IdTable;

    /// The device-specific features that the driver knows.
    ///
    /// Those of them that the device offers are accepted, unless [`Driver::validate`] refuses.
    const FEATURES: &'static [Feature];

    /// Checks, and may refuse, what was negotiated.
    ///
    /// Called before [`Driver::probe`]. An error means that the driver does not take the device.
    fn validate(dev: &Device<device::Core<'_>>, negotiation: &mut Negotiation<'_>) -> Result {
        let _ = (dev, negotiation);
        Ok(())
    }

    /// Sets up a device.
    ///
    /// The device does not process any buffer yet.
    fn probe<'bound>(
        dev: &'bound Device<device::Core<'_>>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound;

    /// The device has become live, for the first time or after a suspend.
    ///
    /// This is the place to look at its configuration.
    fn ready<'bound>(dev: &'bound Device<device::Core<'_>>, this: Pin<&Self::Data<'bound>>) {
        let _ = (dev, this);
    }

    /// The configuration space has changed.
    ///
    /// Called with interrupts off, often from an interrupt.
    fn config_changed<'bound>(dev: &'bound Device<device::Bound>, this: Pin<&Self::Data<'bound>>) {
        let _ = (dev, this);
    }

    /// The device has used buffers of the queue with this index, the driver's own
    /// (see [`Device::find_virtqueues`]).
    ///
    /// Called from an interrupt as a rule.
    fn vq_callback<'bound>(
        dev: &'bound Device<device::Bound>,
        this: Pin<&Self::Data<'bound>>,
        queue: usize,
    ) {
        let _ = (dev, this, queue);
    }

    /// The device is about to be unbound.
    ///
    /// Called while it is still alive, so it may return buffers meanwhile. Implementing this
    /// callback is optional; release of resources is for `Drop`.
    fn unbind<'bound>(dev: &'bound Device<device::Core<'_>>, this: Pin<&Self::Data<'bound>>) {
        let _ = (dev, this);
    }

    /// The device is about to be reset because the machine goes to sleep.
    ///
    /// Called while it is still alive, as [`Driver::unbind`]. Freezable work does not run.
    fn freeze<'bound>(dev: &'bound Device<device::Core<'_>>, this: Pin<&Self::Data<'bound>>) {
        let _ = (dev, this);
    }

    /// The machine wakes up: the device was reset, and has its virtqueues again.
    ///
    /// The device does not process any buffer yet, and knows nothing of what it was told before.
    fn restore<'bound>(
        dev: &'bound Device<device::Core<'_>>,
        this: Pin<&Self::Data<'bound>>,
    ) -> Result {
        let _ = (dev, this);
        Ok(())
    }
}
