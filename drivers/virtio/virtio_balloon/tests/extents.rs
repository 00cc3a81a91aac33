// SPDX-License-Identifier: GPL-2.0

//! Inflating and deflating by extents, and with whole blocks.

use kernel::{
    mm::OomHandler,
    prelude::*, //
};

use super::{
    host::{
        ensure,
        everything,
        free_pages,
        managed_pages,
        offering,
        same,
        with_rings,
        Host,
        DEFLATE,
        INFLATE,
        RINGS, //
    },
    inflate::{
        change_on_the_way,
        resize,
        Inside, //
    }, //
};
use crate::{
    device::{
        DEFLATE_ON_OOM,
        EXTENTS, //
    },
    moving::testing::move_page,
    page_buffer::{
        BLOCK_PAGES,
        MAX_BLOCKS, //
    },
    policy::testing::Choice,
    target::{
        balloon_pages,
        BALLOON_PAGES_PER_PAGE, //
    }, //
};

/// Balloon pages in a block.
// CAST: A small constant.
pub(super) const BLOCK: u32 = (BLOCK_PAGES * BALLOON_PAGES_PER_PAGE) as u32;

/// The owner of the guest allows it.
pub(super) fn choice() -> Choice {
    Choice {
        extents: true,
        ..Choice::default()
    }
}

/// There and back, with single pages and with blocks.
pub(super) fn script(host: &Host) -> Result {
    let mut inside = Inside::new()?;
    for target in [3, 2 * BLOCK + 3, BLOCK / 2, 0] {
        resize(host, &mut inside, target)?;
    }
    Ok(())
}

#[kunit_tests(rust_virtio_balloon_mock_extents)]
mod tests {
    use super::*;

    fn block_pages(host: &Host) -> Result<u64> {
        host.counter(|c| c.block_pages.get())
    }

    #[test]
    fn follows_the_target_on_every_ring() -> Result {
        for ring in RINGS {
            for size in [1, 2, 256] {
                let setup = with_rings(offering(&[EXTENTS]), ring, size);
                let host = Host::new(choice(), setup)?;
                ensure(host.has(EXTENTS), "the feature is accepted")?;
                let mut inside = Inside::new()?;
                for target in [700, 1, 3 * BLOCK, BLOCK + 17, 5 * BLOCK - 1, 0] {
                    resize(&host, &mut inside, target)?;
                    let blocks = block_pages(&host)?;
                    ensure(
                        blocks <= u64::from(target),
                        "no more in blocks than there is",
                    )?;
                    same(blocks % u64::from(BLOCK), 0u32, "whole blocks")?;
                }
            }
        }
        Ok(())
    }

    /// The device may mean something else by the bit.
    #[test]
    fn not_unless_the_owner_allows_it() -> Result {
        let host = Host::new(Choice::default(), everything())?;
        ensure(!host.has(EXTENTS), "the feature is refused")?;
        resize(&host, &mut Inside::new()?, 2 * BLOCK)?;
        same(block_pages(&host)?, 0u32, "pages in blocks")
    }

    /// 160 blocks are a few buffers, and a few extents.
    #[test]
    fn blocks_stay_whole() -> Result {
        let host = Host::new(choice(), everything())?;
        let mut inside = Inside::new()?;
        let target = 160 * BLOCK;
        resize(&host, &mut inside, target)?;
        same(block_pages(&host)?, target, "pages in blocks")?;
        let buffers = host.counter(|c| c.requests.get())?;
        same(buffers, 160usize.div_ceil(MAX_BLOCKS), "buffers")?;
        host.set_target(0);
        let (mut extents, mut pages) = (0, 0);
        while pages < u64::from(target) {
            let chain = host.wait_for(DEFLATE)?;
            for &(start, len) in host.ranges(&chain)?.iter() {
                same(start % u64::from(BLOCK), 0u32, "the start of a block")?;
                same(len % u64::from(BLOCK), 0u32, "whole blocks")?;
                extents += 1;
                pages += len;
            }
            host.finish(chain)?;
        }
        same(pages, target, "pages")?;
        // Free memory of a guest that has just booted is in large pieces.
        ensure(extents < 80, "neighbours are in one extent")?;
        host.wait_until(|| Ok(host.actual() == 0))
    }

    /// A part of a block leaves: the rest becomes single pages, of which the host hears nothing.
    #[test]
    fn a_part_of_a_block_leaves() -> Result {
        let managed = managed_pages();
        for _ in 0..8 {
            let host = Host::new(choice(), offering(&[EXTENTS]))?;
            let mut inside = Inside::new()?;
            resize(&host, &mut inside, 2 * BLOCK)?;
            same(block_pages(&host)?, 2 * BLOCK, "pages in blocks")?;
            let before = host.counter(|c| c.deflated.get())?;
            resize(&host, &mut inside, 2 * BLOCK - 24)?;
            same(block_pages(&host)?, BLOCK, "pages in blocks")?;
            let left = host.counter(|c| c.deflated.get())? - before;
            same(left, 24u32, "pages that left")?;
            let given = inside.count as usize / BALLOON_PAGES_PER_PAGE;
            same(managed_pages() + given, managed, "what is managed")?;
            // The kernel moves single pages as ever.
            host.device.set_eager(1 << INFLATE | 1 << DEFLATE);
            // It is put off while the driver's work is at it.
            host.wait_until(|| Ok(host.with(|balloon| move_page(&balloon.resizing.0))?.is_ok()))?;
            same(
                host.counter(|c| c.migrated.get())?,
                1u32,
                "pages that moved",
            )?;
            host.unbind()?;
            same(managed_pages(), managed, "what is managed")?;
        }
        Ok(())
    }

    #[test]
    fn gives_some_back_before_a_kill() -> Result {
        let host = Host::new(choice(), offering(&[EXTENTS, DEFLATE_ON_OOM]))?;
        resize(&host, &mut Inside::new()?, 3 * BLOCK)?;
        host.device.set_eager(1 << INFLATE | 1 << DEFLATE);
        let freed = host.with(|balloon| balloon.resizing.free_pages())?;
        ensure(freed > 0, "some are free")?;
        let left = 3 * BLOCK - balloon_pages(freed);
        host.wait_until(|| Ok(host.actual() == left))?;
        same(host.counter(|c| c.oom_deflated.get())?, freed, "counted")
    }

    /// What the host never gives back is free after a reset, or lost for good without one.
    #[test]
    fn a_host_that_does_not_answer() -> Result {
        let target = 40 * BLOCK;
        for resets in [true, false] {
            let managed = managed_pages();
            let host = Host::new(choice(), offering(&[EXTENTS]))?;
            let mut inside = Inside::new()?;
            resize(&host, &mut inside, target)?;
            host.set_target(target / 2);
            host.wait_for(DEFLATE)?;
            host.device
                .set_defects(|defects| defects.never_resets = !resets);
            let before = free_pages();
            host.device.unbind();
            same(managed_pages(), managed, "what is managed")?;
            let back = free_pages().saturating_sub(before);
            ensure(
                (back > 20 * BLOCK_PAGES) == resets,
                "free after a reset and only then",
            )?;
        }
        Ok(())
    }

    /// Each page counts once, however often the host changes its mind.
    #[test]
    fn the_target_changes_on_the_way() -> Result {
        for ring in RINGS {
            let host = Host::new(choice(), with_rings(everything(), ring, 128))?;
            let targets = [(200 * BLOCK, 2), (BLOCK + 3, 2), (90 * BLOCK, 1), (5, 1)];
            change_on_the_way(&host, &targets)?;
        }
        Ok(())
    }
}
