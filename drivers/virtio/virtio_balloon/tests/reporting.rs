// SPDX-License-Identifier: GPL-2.0

//! Free page reporting: the kernel decides when, some two seconds after blocks were freed.

use kernel::{
    mm::{
        Nodes,
        PageRun,
        MAX_PAGE_ORDER, //
    },
    page::PAGE_SIZE,
    prelude::*,
    virtio::mock::{
        Chain,
        Setup, //
    }, //
};

use super::host::{
    ensure,
    offering,
    same,
    with_rings,
    with_size,
    Host,
    EVENT_IDX,
    PACKED, //
};
use crate::{
    device::REPORTING,
    policy::testing::Choice, //
};

/// The number of the queue on a device that offers nothing else.
pub(super) const QUEUE: usize = 2;

pub(super) fn reporting() -> Setup {
    offering(&[REPORTING])
}

/// Frees some blocks, so that there is something to report. What was reported is not again.
pub(super) fn churn() -> Result {
    const BLOCKS: usize = 32;
    let node = Nodes::new().next().ok_or(ENODEV)?;
    let mut blocks = KVec::with_capacity(BLOCKS, GFP_KERNEL)?;
    for _ in 0..BLOCKS {
        let block = PageRun::alloc(&node, MAX_PAGE_ORDER).ok_or(ENOMEM)?;
        blocks.push(block, GFP_KERNEL)?;
    }
    Ok(())
}

/// Waits for a report.
pub(super) fn take(host: &Host) -> Result<Chain> {
    let chain = host.wait_for(QUEUE)?;
    ensure(!host.device.has_available(QUEUE), "one report at a time")?;
    for entry in chain.descriptors() {
        ensure(entry.writable, "the device may do with it what it likes")?;
        let (address, len) = (entry.address as usize, entry.len as usize);
        ensure(len > 0 && len.is_power_of_two(), "an entry is a block")?;
        ensure(len >= PAGE_SIZE << 9, "of a size that is worth it")?;
        ensure(address % len == 0, "and aligned")?;
    }
    Ok(chain)
}

/// Takes a report.
pub(super) fn script(host: &Host) -> Result {
    churn()?;
    let chain = take(host)?;
    host.finish(chain)
}

#[kunit_tests(rust_virtio_balloon_mock_reporting)]
mod tests {
    use super::*;

    /// The free memory of a guest is reported once, and what is freed later again.
    #[test]
    fn reports_what_is_free_and_what_is_freed() -> Result {
        churn()?;
        let host = Host::new(
            Choice::default(),
            with_rings(reporting(), &[EVENT_IDX], 128),
        )?;
        let mut pages = 0;
        let mut reports = 0u64;
        let quiet = |host: &Host| {
            let has = || Ok(host.device.has_available(QUEUE));
            host.device.wait_until(2500, has).is_err()
        };
        loop {
            let chain = take(&host)?;
            ensure(
                chain.descriptors().len() <= 32,
                "as many as the kernel likes",
            )?;
            pages += chain.bytes() / PAGE_SIZE;
            reports += 1;
            host.finish(chain)?;
            host.wait_until(|| Ok(host.counter(|c| c.reports.get())? == reports))?;
            if quiet(&host) {
                break;
            }
        }
        same(host.counter(|c| c.reported_pages.get())?, pages, "counted")?;
        ensure(pages >= 16 << MAX_PAGE_ORDER, "what was freed")?;
        script(&host)
    }

    /// The host has blocks when the driver goes: the kernel gets them back.
    #[test]
    fn a_report_that_is_not_answered() -> Result {
        for (ring, size) in [(&[][..], 1), (&[PACKED], 32)] {
            let setup = with_size(with_rings(reporting(), ring, 128), QUEUE, size);
            churn()?;
            let host = Host::new(Choice::default(), setup)?;
            let chain = take(&host)?;
            ensure(chain.descriptors().len() <= usize::from(size), "it fits")?;
            host.unbind()?;
            host.bind()?;
            host.unbind()?;
            drop(chain);
        }
        Ok(())
    }

    /// The kernel takes one device at a time.
    #[test]
    fn two_devices() -> Result {
        let first = Host::new(Choice::default(), reporting())?;
        let second = Host::new(Choice::default(), reporting())?;
        script(&first)?;
        ensure(!second.device.has_available(QUEUE), "only the first")?;
        first.unbind()?;
        second.unbind()?;
        second.bind()?;
        script(&second)
    }
}
