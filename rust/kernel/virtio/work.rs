// SPDX-License-Identifier: GPL-2.0

//! Work on behalf of a device.

use crate::{
    device,
    prelude::*,
    sync::{
        aref::ARef,
        Arc,
        LockClassKey, //
    },
    workqueue::{
        OwnedQueue,
        Stop,
        StoppableWork,
        StoppableWorkItem,
        Then, //
    },
};
use core::ops::Deref;

use super::{
    lifecycle::{
        Lifecycle,
        Resource, //
    },
    Device, //
};

/// What a [`DeviceWork`] does.
pub trait DeviceWorkItem: Send + Sync + 'static {
    /// Runs the work, in process context, never twice at a time.
    ///
    /// The device is bound and has not been reset by the bus. It goes as soon as this returns
    /// once [`Stop::requested`].
    fn run(&self, dev: &Device<device::Bound>, stop: Stop<'_>) -> Then;

    /// The device was told to reset, and did not: it may go on to use what it has.
    ///
    /// What it has through virtqueues is kept from use without this. The same is to be done here
    /// for any other memory. Returns the number of pages that are lost by it.
    fn abandon(&self) -> usize {
        0
    }
}

/// The work, and the device that it is for.
#[pin_data]
struct Item<T> {
    dev: ARef<Device>,
    #[pin]
    item: T,
}

impl<T: DeviceWorkItem> StoppableWorkItem for Item<T> {
    fn run(&self, stop: Stop<'_>) -> Then {
        let dev: *const Device = &*self.dev;
        // SAFETY: `DeviceWork` is created for a bound device, and stopped before that is unbound.
        let dev = unsafe { &*dev.cast::<Device<device::Bound>>() };
        self.item.run(dev, stop)
    }
}

/// Work that is run with a bound device, and ends before the device is reset.
///
/// After a suspend it can be queued again; what was queued before is not run.
#[pin_data]
pub struct DeviceWork<T: DeviceWorkItem> {
    #[pin]
    work: StoppableWork<Item<T>>,
}

impl<T: DeviceWorkItem> DeviceWork<T> {
    /// Queues the work; see [`StoppableWork::enqueue`].
    pub fn enqueue(&self) {
        self.work.enqueue();
    }
}

impl<T: DeviceWorkItem> Deref for DeviceWork<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.work.item
    }
}

impl<T: DeviceWorkItem> Resource for DeviceWork<T> {
    fn ready(&self) {
        self.work.restart();
    }

    fn stop(&self) {
        self.work.stop();
    }

    fn abandon(&self) -> usize {
        self.work.item.abandon()
    }

    #[cfg(CONFIG_RUST_KERNEL_NEXT_KUNIT_TEST)]
    fn settle(&self) {
        self.work.flush();
    }
}

/// Returns the lock classes of the work of all devices; not in generic code for the reason that
/// those of virtqueues are not.
#[inline(never)]
fn work_lock_classes() -> (
    &'static CStr,
    Pin<&'static LockClassKey>,
    Pin<&'static LockClassKey>,
) {
    (
        c"virtio device work",
        crate::static_lock_class!(),
        crate::static_lock_class!(),
    )
}

impl Device<device::Core<'_>> {
    /// Creates work for this device, to be run on `queue`.
    pub fn new_work<T: DeviceWorkItem>(
        &self,
        queue: Arc<OwnedQueue>,
        item: impl PinInit<T, Error>,
    ) -> Result<Arc<DeviceWork<T>>> {
        let dev: &Device = self;
        let (name, work_key, timer_key) = work_lock_classes();
        let item = try_pin_init!(Item {
            dev: dev.into(),
            item <- item,
        });
        let work = Arc::pin_init(
            try_pin_init!(DeviceWork {
                work <- StoppableWork::new(queue, item, name, work_key, timer_key),
            }),
            GFP_KERNEL,
        )?;
        Lifecycle::add(self, work.clone())?;
        Ok(work)
    }
}
