// SPDX-License-Identifier: GPL-2.0

//! A virtqueue for free page reporting.

use crate::{
    bindings,
    device,
    mm::ReportedPages,
    prelude::*,
    sync::{
        atomic::{
            AtomicFlag,
            Full,
            Relaxed, //
        },
        Arc,
        Event, //
    },
    ThisModule, //
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
pub struct ReportQueue {
    queue: Arc<Virtqueue<Lent>>,
    /// What nobody ever signals.
    never: Pin<KBox<Event>>,
    /// What has to stay if a report never returns.
    module: &'static ThisModule,
    /// No report may begin: the machine is about to go to sleep.
    paused: AtomicFlag,
}

impl ReportQueue {
    /// Reports blocks, and waits for the device.
    ///
    /// Returns [`ENODEV`] if the device was reset before it answered. It does not return before
    /// one of the two: the device may do with the blocks what it likes until then. So it never
    /// returns if the device does neither, see [`ReportQueue::is_stuck`].
    ///
    /// Returns [`EBUSY`], and the device gets nothing, if the machine is about to go to sleep.
    ///
    /// For one task at a time. Must be called from a context that may sleep.
    pub fn report(&self, access: &DeviceAccess, pages: ReportedPages<'_>) -> Result {
        let (entries, count) = pages.as_raw();
        access.with(|dev| {
            let queue = self.queue.bind(dev)?;
            let mut guard = queue.lock();
            // Under the lock: see `pause()`.
            if self.paused.load(Relaxed) {
                return Err(EBUSY);
            }
            // INVARIANT: `pages` has the blocks until this function returns.
            guard
                .add(Lent { entries, count })
                .map_err(|refused| refused.error)?;
            drop(guard);
            // The device has the buffer now. If it cannot be notified, it is about to be reset.
            let _ = queue.kick();
            Ok::<(), Error>(())
        })??;
        loop {
            self.queue.used().arm();
            let answered = access.with(|dev| Ok::<_, Error>(self.queue.bind(dev)?.get().is_some()));
            if let Ok(Ok(true)) = answered {
                return Ok(());
            }
            // What the device never returns is dropped after the reset.
            if self.queue.lent() == 0 {
                if self.is_stuck() {
                    // The kernel would put the blocks back into use. That goes on sleeping even
                    // if the module goes: nothing of it is looked at any more.
                    // SAFETY: May be called from any context. The module is there, as it runs this.
                    unsafe { bindings::next_pin_module(self.module.as_ptr()) };
                    self.never.wait_idle();
                }
                return Err(ENODEV);
            }
            self.queue.used().wait(LOOK_AGAIN_MS);
        }
    }

    /// Lets no report begin from now on, or lets them begin again. Returns whether one is going on.
    pub(super) fn pause(&self, paused: bool) -> bool {
        self.paused.xchg(paused, Full);
        // A report that did not see the mark had the lock before, and is among these.
        self.queue.lent() > 0
    }

    /// Returns whether a report will never return, with blocks that nobody can use any more.
    ///
    /// Then neither this nor what reports to it must be dropped.
    pub fn is_stuck(&self) -> bool {
        self.queue.is_abandoned()
    }

    /// Returns the number of blocks that fit into a report, as far as the device says.
    pub fn size(&self, dev: &Device<device::Bound>) -> Result<usize> {
        Ok(self.queue.bind(dev)?.size())
    }

    /// Tells who waits that the device has used buffers.
    ///
    /// To be called from [`Driver::vq_callback`](super::Driver::vq_callback).
    pub fn wake(&self) {
        self.queue.wake();
    }
}

impl Virtqueues<'_, '_> {
    /// Takes the virtqueue at an index for free page reporting; see [`Virtqueues::take`].
    ///
    /// The module is the driver's.
    pub fn take_report_queue(
        &mut self,
        index: usize,
        module: &'static ThisModule,
    ) -> Result<ReportQueue> {
        Ok(ReportQueue {
            queue: self.take(index)?,
            module,
            never: KBox::pin_init(Event::new(), GFP_KERNEL)?,
            paused: AtomicFlag::new(false),
        })
    }
}
