// SPDX-License-Identifier: GPL-2.0

//! What a bound device has, and in which order it goes, and comes back after a suspend.
//!
//! The bus keeps a [`Lifecycle`] for each device from before [`probe`](super::Driver::probe) until
//! the device was reset, in the `priv` field of `struct virtio_device`, which the virtio core
//! leaves to drivers.

use crate::{
    bindings, device,
    error::to_result,
    kvec::filled,
    new_mutex, new_spinlock_irq,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            AtomicFlag,
            Release, //
        },
        Arc,
        Mutex,
        SpinLockIrq, //
    },
    time::{
        ClockSource,
        Monotonic,
        Msecs,
        NSEC_PER_MSEC, //
    },
};

use super::{
    virtqueue::RawVirtqueues,
    Device,
    QueueInfo, //
};

/// How long to wait for a reset to complete, in milliseconds.
///
/// The specification has no limit for it; most transports return from it when it is complete.
const RESET_MS: Msecs = 2000;

/// How often to look.
const LOOK_AGAIN_MS: c_uint = 10;

/// Something that belongs to a bound device.
///
/// A device that is suspended goes through `stop` and `after_reset`, and through `restore` and
/// `ready` when it comes back.
pub(super) trait Resource: Send + Sync {
    /// The device has virtqueues again, and is not live yet.
    fn restore(&self, queues: &RawVirtqueues) -> Result {
        let _ = queues;
        Ok(())
    }

    /// The device is live: `DRIVER_OK` is set.
    fn ready(&self) {}

    /// The device is about to be reset: no use of it may start any more, and none goes on when
    /// this returns.
    fn stop(&self) {}

    /// The device was reset, and will not touch memory of ours again.
    fn after_reset(&self) {}

    /// The device was told to reset, and did not: it may go on to use what it has.
    ///
    /// Nobody may use that memory again. Returns how many pages are lost by it.
    fn abandon(&self) -> usize {
        0
    }

    /// Waits until what was begun is done, as far as it has not to wait itself.
    #[cfg(CONFIG_RUST_KERNEL_NEXT_KUNIT_TEST)]
    fn settle(&self) {}
}

/// The resources of a device, the last one first.
struct Resources(Option<KBox<Link>>);

struct Link {
    resource: Arc<dyn Resource>,
    next: Option<KBox<Link>>,
}

impl Resources {
    fn add(&mut self, resource: Arc<dyn Resource>) -> Result {
        let mut link = KBox::new(
            Link {
                resource,
                next: None,
            },
            GFP_KERNEL,
        )?;
        link.next = self.0.take();
        self.0 = Some(link);
        Ok(())
    }

    fn iter(&self) -> impl Iterator<Item = &dyn Resource> {
        let mut next = self.0.as_deref();
        core::iter::from_fn(move || {
            let link = next?;
            next = link.next.as_deref();
            Some(&*link.resource)
        })
    }
}

/// The life of a device that is bound to a driver.
#[pin_data]
pub(super) struct Lifecycle {
    vq_callback: extern "C" fn(*mut bindings::virtqueue),
    /// The data of the driver is set.
    has_data: AtomicFlag,
    /// The device was frozen, and not restored yet.
    frozen: AtomicFlag,
    /// What the driver has asked for, to ask for it again after a suspend.
    #[pin]
    infos: Mutex<Option<KVec<Option<QueueInfo>>>>,
    /// What the device has now.
    #[pin]
    queues: SpinLockIrq<Option<Arc<RawVirtqueues>>>,
    #[pin]
    resources: Mutex<Resources>,
}

impl Lifecycle {
    /// Begins the life of a device.
    pub(super) fn begin(
        dev: &Device<device::CoreInternal<'_>>,
        vq_callback: extern "C" fn(*mut bindings::virtqueue),
    ) -> Result {
        let life = KBox::pin_init(
            try_pin_init!(Self {
                vq_callback,
                has_data: AtomicFlag::new(false),
                frozen: AtomicFlag::new(false),
                infos <- new_mutex!(None),
                queues <- new_spinlock_irq!(None),
                resources <- new_mutex!(Resources(None)),
            }),
            GFP_KERNEL,
        )?;
        // SAFETY: The life will not be moved: only shared references are made from the pointer
        // until `end()` drops it.
        let life = KBox::into_raw(unsafe { Pin::into_inner_unchecked(life) });
        // SAFETY: The device is valid, and the field belongs to the driver that is bound to it,
        // which is about to be this one.
        unsafe { (*dev.as_raw()).priv_ = life.cast() };
        Ok(())
    }

    /// Returns the life of a device.
    ///
    /// # Safety
    ///
    /// It must have begun and must not end while the reference is used.
    unsafe fn of(vdev: *mut bindings::virtio_device) -> &'static Self {
        // SAFETY: By the safety requirement the field was set in `begin()`, and the life has not
        // been dropped.
        unsafe { &*(*vdev).priv_.cast::<Self>() }
    }

    /// Adds something to the life of a device.
    pub(super) fn add(dev: &Device<device::Core<'_>>, resource: Arc<dyn Resource>) -> Result {
        // SAFETY: Drivers have a `Device<Core>` after `begin()` and before `end()`. `validate()`
        // comes before that, but gives no data to call this with: see `find_queues()`.
        let life = unsafe { Self::checked_of(dev) }?;
        life.resources.lock().add(resource)
    }

    /// Returns the life of a device, if it has begun.
    ///
    /// # Safety
    ///
    /// It must not end while the reference is used.
    unsafe fn checked_of(dev: &Device<device::Core<'_>>) -> Result<&'static Self> {
        // SAFETY: The device is valid. The bus clears the field in `end()`, and nothing else sets
        // it while this driver is bound.
        if unsafe { (*dev.as_raw()).priv_.is_null() } {
            return Err(ENXIO);
        }
        // SAFETY: It has begun, as the field is set, and by the safety requirement does not end.
        Ok(unsafe { Self::of(dev.as_raw()) })
    }

    /// Finds the virtqueues of a device, once.
    pub(super) fn find_queues(
        dev: &Device<device::Core<'_>>,
        infos: &[Option<QueueInfo>],
    ) -> Result {
        // SAFETY: The reference is not used beyond the calls of `probe()` or `ready()`.
        let life = unsafe { Self::checked_of(dev) }?;
        // Not a second time, and not after `probe()`: the device is live then.
        if life.infos.lock().is_some() || life.has_data.load(Acquire) {
            return Err(EBUSY);
        }
        let infos = filled(infos.len(), |index| infos.get(index).copied().flatten())?;
        life.set_up(dev, &infos)?;
        *life.infos.lock() = Some(infos);
        Ok(())
    }

    /// Returns the virtqueues of a device.
    pub(super) fn queues(dev: &Device<device::Core<'_>>) -> Result<Arc<RawVirtqueues>> {
        // SAFETY: The reference is not used beyond the calls of `probe()` or `ready()`.
        let life = unsafe { Self::checked_of(dev) }?;
        let queues = life.queues.lock().clone();
        queues.ok_or(ENODEV)
    }

    /// Sets virtqueues up. The device must have none.
    fn set_up(&self, dev: &Device<device::Core<'_>>, infos: &[Option<QueueInfo>]) -> Result {
        let queues = RawVirtqueues::find(dev, infos, self.vq_callback)?;
        match Arc::new(queues, GFP_KERNEL) {
            Ok(queues) => {
                *self.queues.lock() = Some(queues);
                Ok(())
            }
            Err(error) => {
                // It knows the rings, and is to forget them before they go.
                // SAFETY: The device is valid.
                unsafe { bindings::virtio_reset_device(dev.as_raw()) };
                // SAFETY: The device is valid, has virtqueues, and is not live.
                unsafe { bindings::next_virtio_del_vqs(dev.as_raw()) };
                Err(error.into())
            }
        }
    }

    /// Makes the device live.
    ///
    /// The data of the driver must be set.
    pub(super) fn set_ready(dev: &Device<device::CoreInternal<'_>>) {
        // SAFETY: Called between `begin()` and `end()`.
        let life = unsafe { Self::of(dev.as_raw()) };
        // Ordered before any callback that sees it.
        life.has_data.store(true, Release);
        // SAFETY: The device is valid, and its virtqueues, if it has any, are set up.
        unsafe { bindings::next_virtio_device_ready(dev.as_raw()) };
        for resource in life.resources.lock().iter() {
            resource.ready();
        }
    }

    /// Returns the driver's index of a virtqueue, if the driver has its data already.
    ///
    /// # Safety
    ///
    /// The life of the device must have begun and must not end meanwhile.
    pub(super) unsafe fn index_of_queue(
        dev: &Device<device::BoundInternal>,
        vq: *mut bindings::virtqueue,
    ) -> Option<usize> {
        // SAFETY: By the safety requirement.
        let life = unsafe { Self::of(dev.as_raw()) };
        if !life.has_data.load(Acquire) {
            return None;
        }
        let queues = life.queues.lock();
        queues.as_ref()?.index_of(vq)
    }

    /// Returns the mark of a device that was frozen and not restored.
    ///
    /// # Safety
    ///
    /// The life must have begun, and must not end while the reference is used.
    pub(super) unsafe fn frozen(vdev: *mut bindings::virtio_device) -> &'static AtomicFlag {
        // SAFETY: By the safety requirement.
        &unsafe { Self::of(vdev) }.frozen
    }

    /// Freezes a device ahead of its transport, which then finds it frozen.
    pub(super) fn freeze_early(dev: &Device) -> Result {
        Self::with_lock(dev, |vdev, frozen| {
            if frozen.load(Acquire) {
                return Ok(());
            }
            // SAFETY: The device is valid, bound, and locked.
            to_result(unsafe { bindings::next_virtio_freeze(vdev) })
        })
    }

    /// Restores a device that was frozen, if its transport did not.
    pub(super) fn restore_late(dev: &Device) -> Result {
        Self::with_lock(dev, |vdev, frozen| {
            if !frozen.load(Acquire) {
                return Ok(());
            }
            // SAFETY: The device is valid, bound, and locked.
            to_result(unsafe { bindings::next_virtio_restore(vdev) })
        })
    }

    /// Calls `f` while the device is bound, and is neither unbound nor suspended by others.
    ///
    /// Returns [`ENODEV`] if it is not bound, and [`EBUSY`] if it is just being unbound: whoever
    /// does that may wait for the caller.
    fn with_lock(
        dev: &Device,
        f: impl FnOnce(*mut bindings::virtio_device, &AtomicFlag) -> Result,
    ) -> Result {
        let vdev = dev.as_raw();
        // SAFETY: The device is valid.
        if !unsafe { bindings::next_virtio_trylock(vdev) } {
            return Err(EBUSY);
        }
        // SAFETY: The field is set while the device is bound to a driver of ours, which does not
        // change while it is locked.
        let result = if unsafe { (*vdev).priv_.is_null() } {
            Err(ENODEV)
        } else {
            // SAFETY: As above.
            f(vdev, unsafe { Self::frozen(vdev) })
        };
        // SAFETY: It was locked above.
        unsafe { bindings::next_virtio_unlock(vdev) };
        result
    }

    /// Ends all use of the device and resets it. It has no virtqueues afterwards.
    ///
    /// # Safety
    ///
    /// The life must have begun and not ended yet, and no callback but those of virtqueues may
    /// come any more.
    pub(super) unsafe fn reset(dev: &Device<device::CoreInternal<'_>>) {
        // SAFETY: By the safety requirement.
        let life = unsafe { Self::of(dev.as_raw()) };
        for resource in life.resources.lock().iter() {
            resource.stop();
        }
        // SAFETY: The device is valid. Nothing uses its virtqueues any more but callbacks, and
        // those are over when this returns.
        unsafe { bindings::virtio_reset_device(dev.as_raw()) };
        life.after_reset(dev);
        let queues = life.queues.lock().take();
        if queues.is_some() {
            // SAFETY: The device has virtqueues, was reset, and all access to them is over:
            // `after_reset()` made the handles refuse.
            unsafe { bindings::next_virtio_del_vqs(dev.as_raw()) };
        }
    }

    /// Sets the virtqueues up again after [`Lifecycle::reset`]. The device is not live yet.
    ///
    /// # Safety
    ///
    /// The life must have begun and not ended yet.
    pub(super) unsafe fn restore(dev: &Device<device::CoreInternal<'_>>) -> Result {
        // SAFETY: By the safety requirement.
        let life = unsafe { Self::of(dev.as_raw()) };
        if let Some(infos) = &*life.infos.lock() {
            life.set_up(dev, infos)?;
        }
        let queues = life.queues.lock().clone();
        if let Some(queues) = queues {
            for resource in life.resources.lock().iter() {
                resource.restore(&queues)?;
            }
        }
        Ok(())
    }

    /// Ends all use of the device for good, as the machine goes down.
    ///
    /// # Safety
    ///
    /// The life must have begun and not ended yet.
    pub(super) unsafe fn shut_down(dev: &Device<device::CoreInternal<'_>>) {
        // SAFETY: By the safety requirement.
        let life = unsafe { Self::of(dev.as_raw()) };
        for resource in life.resources.lock().iter() {
            resource.stop();
        }
        // SAFETY: The device is valid.
        unsafe { bindings::virtio_device_shutdown(dev.as_raw()) };
        life.after_reset(dev);
    }

    /// Gives back what the device had, if it was really reset. If not it is lost.
    fn after_reset(&self, dev: &Device<device::CoreInternal<'_>>) {
        if is_reset(dev) {
            for resource in self.resources.lock().iter() {
                resource.after_reset();
            }
            return;
        }
        let mut lost = 0usize;
        for resource in self.resources.lock().iter() {
            lost = lost.saturating_add(resource.abandon());
        }
        dev_err!(
            dev,
            "the device did not complete its reset within {} ms: {} pages that it may still use \
             are lost until the machine is started again\n",
            RESET_MS,
            lost
        );
    }

    /// Waits until the driver has done what it was told to, as far as it does not have to wait.
    ///
    /// # Safety
    ///
    /// The life must have begun, and must not end meanwhile.
    #[cfg(CONFIG_RUST_KERNEL_NEXT_KUNIT_TEST)]
    pub(super) unsafe fn settle(vdev: *mut bindings::virtio_device) {
        // SAFETY: By the safety requirement.
        let life = unsafe { Self::of(vdev) };
        for resource in life.resources.lock().iter() {
            resource.settle();
        }
    }

    /// Ends the life of a device: nothing of it is in use, and it is reset, afterwards.
    ///
    /// # Safety
    ///
    /// The life must have begun and not ended yet, and no callback but those of virtqueues may
    /// come any more.
    pub(super) unsafe fn end(dev: &Device<device::CoreInternal<'_>>) {
        // SAFETY: By the safety requirement.
        unsafe { Self::reset(dev) };
        // SAFETY: By the safety requirement.
        let life = core::ptr::from_ref(unsafe { Self::of(dev.as_raw()) }).cast_mut();
        // SAFETY: The device is valid; nothing looks at the field any more.
        unsafe { (*dev.as_raw()).priv_ = core::ptr::null_mut() };
        // SAFETY: The pointer comes from `KBox::into_raw()` in `begin()`, and there is no
        // reference left: callbacks are over since the reset.
        drop(unsafe { KBox::from_raw(life) });
    }
}

/// Waits until a device that was told to reset has done so. Returns whether it has.
fn is_reset(dev: &Device<device::CoreInternal<'_>>) -> bool {
    let deadline =
        Monotonic::ktime_get().saturating_add(i64::from(RESET_MS).saturating_mul(NSEC_PER_MSEC));
    loop {
        // SAFETY: The device is valid.
        if unsafe { bindings::next_virtio_status(dev.as_raw()) } == 0 {
            return true;
        }
        if Monotonic::ktime_get() >= deadline {
            return false;
        }
        // SAFETY: Resets are from contexts that may sleep.
        unsafe { bindings::msleep(LOOK_AGAIN_MS) };
    }
}
