// SPDX-License-Identifier: GPL-2.0

//! Memory statistics.

use kernel::{
    bindings,
    mm::{
        Nodes,
        PageRun, //
    },
    page::PAGE_SIZE,
    prelude::*,
    virtio::mock::Context, //
};

use super::host::{
    ensure,
    everything,
    same,
    with_rings,
    Host,
    RINGS,
    STATS, //
};
use crate::policy::testing::Choice;

const TAGS: usize = bindings::VIRTIO_BALLOON_S_NR as usize;

/// Returns whether there is such a statistic on this kernel.
fn is_known(tag: u32) -> bool {
    match tag {
        bindings::VIRTIO_BALLOON_S_MEMFREE
        | bindings::VIRTIO_BALLOON_S_MEMTOT
        | bindings::VIRTIO_BALLOON_S_AVAIL
        | bindings::VIRTIO_BALLOON_S_CACHES => true,
        bindings::VIRTIO_BALLOON_S_HTLB_PGALLOC | bindings::VIRTIO_BALLOON_S_HTLB_PGFAIL => {
            cfg!(CONFIG_VM_EVENT_COUNTERS) && cfg!(CONFIG_HUGETLB_PAGE)
        }
        _ => cfg!(CONFIG_VM_EVENT_COUNTERS),
    }
}

/// The size of the buffer with all statistics of this kernel.
pub(super) fn bytes() -> usize {
    let known = (0..bindings::VIRTIO_BALLOON_S_NR).filter(|&tag| is_known(tag));
    10 * known.count()
}

/// The values by tags.
type Values = [Option<u64>; TAGS];

/// Takes the buffer, and reads it.
pub(super) fn take(host: &Host) -> Result<(kernel::virtio::mock::Chain, Values)> {
    let chain = host.wait_for(STATS)?;
    ensure(!chain.is_writable(), "statistics are to be read")?;
    ensure(!host.device.has_available(STATS), "there is one buffer")?;
    same(chain.bytes() % 10, 0usize, "a statistic has ten bytes")?;
    let mut values = [None; TAGS];
    for at in (0..chain.bytes()).step_by(10) {
        let mut tag = [0; 2];
        let mut value = [0; 8];
        host.device.read(&chain, at, &mut tag);
        host.device.read(&chain, at + 2, &mut value);
        let tag = usize::from(u16::from_le_bytes(tag));
        let slot = values.get_mut(tag).ok_or(ERANGE)?;
        ensure(slot.is_none(), "a tag comes once")?;
        *slot = Some(u64::from_le_bytes(value));
    }
    Ok((chain, values))
}

/// Asks for fresh numbers a few times.
pub(super) fn script(host: &Host) -> Result {
    for _ in 0..4 {
        let (chain, _) = take(host)?;
        host.finish(chain)?;
    }
    Ok(())
}

fn value(values: &Values, tag: u32) -> Result<u64> {
    values.get(tag as usize).copied().flatten().ok_or(ENOENT)
}

#[kunit_tests(rust_virtio_balloon_mock_stats)]
mod tests {
    use super::*;

    #[test]
    fn fresh_numbers_each_time() -> Result {
        for ring in RINGS {
            for size in [1, 2, 256] {
                let setup = with_rings(everything(), ring, size);
                let host = Host::new(Choice::default(), setup)?;
                for updates in 1..6u64 {
                    let (chain, values) = take(&host)?;
                    ensure(
                        (0..)
                            .zip(&values)
                            .all(|(tag, v)| v.is_some() == is_known(tag)),
                        "every tag is there that the kernel knows",
                    )?;
                    let total = value(&values, bindings::VIRTIO_BALLOON_S_MEMTOT)?;
                    let free = value(&values, bindings::VIRTIO_BALLOON_S_MEMFREE)?;
                    ensure(0 < free && free < total, "some memory is free, not all")?;
                    host.wait_until(|| Ok(host.counter(|c| c.stats_updates.get())? == updates))?;
                    // The driver does not come by itself.
                    host.device.spurious_callback(STATS, Context::Interrupt);
                    host.device.settle();
                    ensure(!host.device.has_available(STATS), "it is asked for")?;
                    host.finish(chain)?;
                }
            }
        }
        Ok(())
    }

    /// The numbers are those of when they were asked for.
    #[test]
    fn the_numbers_are_those_of_now() -> Result {
        const BLOCKS: usize = 16;
        const ORDER: u32 = 10;
        let host = Host::new(Choice::default(), everything())?;
        let (chain, before) = take(&host)?;
        let node = Nodes::new().next().ok_or(ENODEV)?;
        let mut blocks = KVec::with_capacity(BLOCKS, GFP_KERNEL)?;
        for _ in 0..BLOCKS {
            let block = PageRun::alloc(&node, ORDER).ok_or(ENOMEM)?;
            blocks.push(block, GFP_KERNEL)?;
        }
        host.finish(chain)?;
        let (_, after) = take(&host)?;
        let bytes = ((BLOCKS << ORDER) * PAGE_SIZE) as u64;
        let free = |values| value(values, bindings::VIRTIO_BALLOON_S_MEMFREE);
        ensure(
            free(&before)? - free(&after)? > bytes / 4 * 3,
            "less is free",
        )?;
        same(
            value(&before, bindings::VIRTIO_BALLOON_S_MEMTOT)?,
            value(&after, bindings::VIRTIO_BALLOON_S_MEMTOT)?,
            "all there is",
        )
    }

    /// The device has not written anything, whatever it says.
    #[test]
    fn the_length_does_not_matter() -> Result {
        let host = Host::new(Choice::default(), everything())?;
        for len in [0, 1, 160, u32::MAX] {
            let (chain, _) = take(&host)?;
            host.finish_written(chain, len)?;
        }
        take(&host)?;
        Ok(())
    }
}
