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

use crate::{
    clock::{
        elapsed,
        now, //
    },
    counters::BalloonCounters, //
    events::Reporting,
};

/// Reports free blocks to the host.
pub(crate) struct Reporter {
    pub(crate) queue: Arc<ReportQueue>,
    pub(crate) access: Arc<DeviceAccess>,
    pub(crate) counters: Arc<BalloonCounters>,
}

impl PageReporter for Reporter {
    fn report(&self, blocks: ReportedPages<'_>) -> Result {
        let (count, pages) = (blocks.blocks(), blocks.pages());
        let begun = Reporting::is_wanted().then(now);
        let result = self.queue.report(&self.access, blocks);
        Reporting::trace(|| Reporting {
            dev: self.access.index(),
            blocks: count,
            pages,
            error: result.err().map_or(0, Error::to_errno),
            ns: begun.map_or(0, elapsed),
        });
        result?;
        self.counters.reports.add(1);
        self.counters.reported_pages.add(pages);
        Ok(())
    }
}
