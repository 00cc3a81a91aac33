// SPDX-License-Identifier: GPL-2.0

//! Free page reporting (`VIRTIO_BALLOON_F_REPORTING`). Contract: *isolated*.
//!
//! The kernel takes free blocks out of the allocator, hands them to this, and puts them back when
//! it returns. That is when the host has acknowledged them, or the device was reset: nobody uses a
//! block while the host may still discard it.

use kernel::{
    mm::{
        PageReporter,
        ReportedPages, //
    },
    prelude::*,
    sync::Arc,
    virtio::{
        DeviceAccess,
        ReportQueue, //
    }, //
};

use crate::counters::BalloonCounters;

/// Reports free blocks to the host.
pub(crate) struct Reporter {
    pub(crate) queue: Arc<ReportQueue>,
    pub(crate) access: Arc<DeviceAccess>,
    pub(crate) counters: Arc<BalloonCounters>,
}

impl PageReporter for Reporter {
    fn report(&self, blocks: ReportedPages<'_>) -> Result {
        let pages = blocks.pages();
        self.queue.report(&self.access, blocks)?;
        self.counters.reports.add(1);
        self.counters.reported_pages.add(pages);
        Ok(())
    }
}
