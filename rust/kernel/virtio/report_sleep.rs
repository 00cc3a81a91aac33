// SPDX-License-Identifier: GPL-2.0

//! Reports of free pages, and a machine that wants to go to sleep.
//!
//! The kernel reports from a work queue that is frozen before any device is. A device that does
//! not answer would keep the machine awake.

use crate::{
    device,
    pm::{
        SleepHandler,
        SleepNotifier, //
    },
    prelude::*,
    sync::{
        aref::ARef,
        Arc, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
};

use super::{
    lifecycle::Lifecycle,
    Device,
    ReportQueue, //
};

/// How long to wait for a report when the machine is about to go to sleep, in milliseconds, and
/// for whoever holds the device's lock when it is back.
const PATIENCE_MS: i64 = 2000;

/// How often to look.
const SLICE_MS: i64 = 20;

/// Has a device reset ahead of its transport if it does not answer a report when the machine is
/// about to go to sleep.
pub struct ReportSleep {
    dev: ARef<Device>,
    queue: Arc<ReportQueue>,
}

impl ReportSleep {
    /// Watches over the reports of a device until the value is dropped.
    pub fn watch(
        dev: &Device<device::Core<'_>>,
        queue: Arc<ReportQueue>,
    ) -> Result<Pin<KBox<SleepNotifier<Self>>>> {
        let dev: &Device = dev;
        let this = Arc::new(
            Self {
                dev: dev.into(),
                queue,
            },
            GFP_KERNEL,
        )?;
        KBox::pin_init(SleepNotifier::new(this), GFP_KERNEL)
    }
}

/// Asks until the answer is `false`, for a bounded time. Returns the last answer.
fn patiently(mut ask: impl FnMut() -> bool) -> bool {
    let mut waited = 0;
    while ask() {
        if waited >= PATIENCE_MS {
            return true;
        }
        fsleep(Delta::from_millis(SLICE_MS));
        waited = SLICE_MS.saturating_add(waited);
    }
    false
}

impl SleepHandler for ReportSleep {
    fn prepare(&self) {
        if !patiently(|| self.queue.pause(true)) {
            return;
        }
        dev_warn!(
            self.dev,
            "the host has not answered a report of free pages for {} ms: the device is reset \
             before the machine goes to sleep\n",
            PATIENCE_MS
        );
        if let Err(error) = Lifecycle::freeze_early(&self.dev) {
            dev_warn!(self.dev, "it cannot be reset now ({:?})\n", error);
        }
    }

    fn finished(&self) {
        self.queue.pause(false);
        let mut result = Ok(());
        // Somebody may look at it just now. If it is being unbound, that is what is left to do.
        patiently(|| {
            result = Lifecycle::restore_late(&self.dev);
            result == Err(EBUSY)
        });
        match result {
            Ok(()) | Err(EBUSY | ENODEV) => {}
            Err(error) => dev_err!(self.dev, "cannot be set up again ({:?})\n", error),
        }
    }
}
