// SPDX-License-Identifier: GPL-2.0

//! Tests of the whole driver with a device that is played: there is no hypervisor.
//!
//! `host.rs` is the host; each other file has what it does for one duty of the driver, for the
//! tests in it and for those that interrupt it. Helpers return an error instead of asserting: what
//! they have on the bus is taken off it then.

#[path = "tests/bitmap.rs"]
mod bitmap;
#[path = "tests/callbacks.rs"]
mod callbacks;
#[path = "tests/dead.rs"]
mod dead;
#[path = "tests/dead_report.rs"]
pub(crate) mod dead_report;
#[path = "tests/drop_caches.rs"]
mod drop_caches;
#[path = "tests/extents.rs"]
mod extents;
#[path = "tests/hint.rs"]
mod hint;
#[path = "tests/host.rs"]
pub(crate) mod host;
#[path = "tests/inflate.rs"]
mod inflate;
#[path = "tests/moving.rs"]
mod moving;
#[path = "tests/negotiation.rs"]
mod negotiation;
#[path = "tests/removal.rs"]
mod removal;
#[path = "tests/reporting.rs"]
mod reporting;
#[path = "tests/rules.rs"]
mod rules;
#[path = "tests/stats.rs"]
mod stats;
#[cfg(CONFIG_PM_SLEEP)]
#[path = "tests/suspend.rs"]
mod suspend;
