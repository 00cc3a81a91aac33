// SPDX-License-Identifier: GPL-2.0

//! A virtqueue for free page reporting.

use crate::{
    bindings,
    device,
    mm::ReportedPages,
    prelude::*,
    sync::Arc, //
};
use core::ptr::NonNull;

use super::{
    buffer::Memory,
    Buffer,
    Device,
    DeviceAccess,
    Segment,
    Virtqueue,
    Virtqueues, //
};

/// How often to look again whether the device has answered, if it does not say so, in milliseconds.
const LOOK_AGAIN_MS: u32 = 1000;

/// The blocks of a report.
///
/// # Invariants
///
/// As for [`ReportedPages`], for as long as the device has this: [`ReportQueue::report`] does not
/// return before.
struct Lent {
    entries: NonNull<bindings::scatterlist>,
    count: c_uint,
}

// SAFETY: The entries belong to the report, wherever it is handled.
unsafe impl Send for Lent {}

impl Buffer for Lent {
    fn segment(&self) -> Segment<'_> {
        // By the type invariants.
        Segment::new(Memory::Scattered(self.entries.as_ptr(), self.count))
    }
}

/// A virtqueue through which free blocks are lent to the device while they are isolated.
pub struct ReportQueue(Arc<Virtqueue<Lent>>);

impl ReportQueue {
    /// Reports blocks, and waits for the device.
    ///
    /// Returns [`ENODEV`] if the device was reset before it answered. It does not return before
    /// one of the two: the device may do with the blocks what it likes until then.
    ///
    /// For one task at a time. Must be called from a context that may sleep.
    pub fn report(&self, access: &DeviceAccess, pages: ReportedPages<'_>) -> Result {
        let (entries, count) = pages.as_raw();
        access.with(|dev| {
            let queue = self.0.bind(dev)?;
            // INVARIANT: `pages` has the blocks until this function returns.
            queue
                .lock()
                .add(Lent { entries, count })
                .map_err(|refused| refused.error)?;
            // The device has the buffer now. If it cannot be notified, it is about to be reset.
            let _ = queue.kick();
            Ok::<(), Error>(())
        })??;
        loop {
            self.0.used().arm();
            let answered = access.with(|dev| Ok::<_, Error>(self.0.bind(dev)?.get().is_some()));
            if let Ok(Ok(true)) = answered {
                return Ok(());
            }
            // What the device never returns is dropped after the reset.
            if self.0.lent() == 0 {
                return Err(ENODEV);
            }
            self.0.used().wait(LOOK_AGAIN_MS);
        }
    }

    /// Returns the number of blocks that fit into a report, as far as the device says.
    pub fn size(&self, dev: &Device<device::Bound>) -> Result<usize> {
        Ok(self.0.bind(dev)?.size())
    }

    /// Tells who waits that the device has used buffers.
    ///
    /// To be called from [`Driver::vq_callback`](super::Driver::vq_callback).
    pub fn wake(&self) {
        self.0.wake();
    }
}

impl Virtqueues<'_, '_> {
    /// Takes the virtqueue at an index for free page reporting; see [`Virtqueues::take`].
    pub fn take_report_queue(&mut self, index: usize) -> Result<ReportQueue> {
        Ok(ReportQueue(self.take(index)?))
    }
}
