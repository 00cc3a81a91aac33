// SPDX-License-Identifier: GPL-2.0

//! Whole blocks in a memory balloon.
//!
//! The kernel's list of balloon pages has single pages only. A balloon that takes the kernel's
//! largest blocks as they are needs one entry in place of hundreds, and the host can discard a huge
//! page of its own without breaking it. What the kernel's list does beside keeping the pages is
//! done here for all pages of a block: they have the type of pages that are offline, so that nobody
//! who dumps memory reads them, and they are counted.
//!
//! The kernel cannot move a block. One that is in its way to somebody can be broken into single
//! pages, see [`PageBalloon::break_block`].

use crate::{
    bindings,
    sync::atomic::Relaxed, //
};

use super::{
    BalloonOwner,
    PageBalloon,
    PageRun,
    Run, //
};

impl<T: BalloonOwner> PageBalloon<T> {
    /// Returns the number of pages that are in blocks.
    pub fn block_pages(&self) -> usize {
        self.block_pages.load(Relaxed)
    }

    /// Puts the blocks of a run in.
    ///
    /// May be called from any context that may take a spinlock.
    pub fn enqueue_run(&self, run: PageRun) {
        self.enter(&run);
        self.blocks.lock().push(run);
    }

    /// Takes blocks out that lie next to each other, of at most `pages` pages together.
    ///
    /// Returns [`None`] if there is no block, or none so small. May be called from any context that
    /// may take a spinlock.
    pub fn dequeue_run(&self, pages: usize) -> Option<PageRun> {
        let run = {
            let mut blocks = self.blocks.lock();
            let mut run = blocks.pop()?;
            if run.range().pages() > pages {
                let Some(rest) = run.split_off(pages) else {
                    blocks.push(run);
                    return None;
                };
                blocks.push(rest);
            }
            run
        };
        self.leave(&run);
        Some(run)
    }

    /// Turns a block into single pages, which stay in the balloon. Returns whether there was one.
    pub fn break_block(&self) -> bool {
        let run = {
            let mut blocks = self.blocks.lock();
            let Some(mut run) = blocks.pop() else {
                return false;
            };
            if let Some(rest) = run.split_off(run.block_pages()) {
                blocks.push(rest);
            }
            run
        };
        self.leave(&run);
        run.into_pages(|page| self.enqueue(page));
        true
    }

    fn enter(&self, run: &PageRun) {
        // Block by block: neighbours may be in different zones.
        for block in run.range().blocks(run.order()) {
            // SAFETY: The block is in one zone. It belongs to the run, so its pages are valid,
            // nobody else uses them, and they have no type yet.
            unsafe {
                bindings::next_balloon_block_enter(
                    bindings::next_pfn_to_page(block.start()),
                    // CAST: A `usize` is as wide as an `unsigned long`.
                    block.pages() as kernel::ffi::c_ulong,
                    self.lower_total,
                )
            };
        }
        // INVARIANT: The callers put the run into `blocks`.
        self.block_pages.fetch_add(run.range().pages(), Relaxed);
    }

    fn leave(&self, run: &PageRun) {
        // INVARIANT: The callers have taken the run out of `blocks`.
        self.block_pages.fetch_sub(run.range().pages(), Relaxed);
        for block in run.range().blocks(run.order()) {
            // SAFETY: As in `enter()`, where the pages got their type.
            unsafe {
                bindings::next_balloon_block_leave(
                    bindings::next_pfn_to_page(block.start()),
                    // CAST: As in `enter()`.
                    block.pages() as kernel::ffi::c_ulong,
                    self.lower_total,
                )
            };
        }
    }
}

#[cfg(CONFIG_RUST_KERNEL_NEXT_KUNIT_TEST)]
#[crate::prelude::kunit_tests(rust_kernel_balloon_blocks)]
mod tests {
    use super::*;
    use crate::{
        mm::{
            balloon::tests::balloon,
            BalloonPages,
            Node,
            Nodes,
            PfnRange,
            RunSet, //
        },
        prelude::*, //
    };

    const ORDER: u32 = 4;
    const PAGES: usize = 1 << ORDER;

    fn managed() -> usize {
        Nodes::new().fold(0, |sum, node| sum + node.managed_pages())
    }

    fn some_node() -> Result<Node> {
        // The first one may have no memory.
        let mut nodes = Nodes::new();
        nodes.find(|node| node.free_pages() > 0).ok_or(ENODEV)
    }

    #[test]
    fn blocks_go_in_and_come_out() -> Result {
        let (balloon, node, before) = (balloon(3)?, some_node()?, managed());
        let mut pfns = KVec::new();
        for _ in 0..5 {
            let block = PageRun::alloc(&node, ORDER).ok_or(ENOMEM)?;
            pfns.push(block.range().start(), GFP_KERNEL)?;
            balloon.enqueue_run(block);
        }
        assert_eq!(balloon.block_pages(), 5 * PAGES);
        assert_eq!(balloon.pages(), 3);
        assert_eq!(managed() + 5 * PAGES, before);

        // Less than a block is not there.
        assert!(balloon.dequeue_run(PAGES - 1).is_none());
        assert!(balloon.dequeue_run(0).is_none());
        assert_eq!(balloon.block_pages(), 5 * PAGES);
        for left in (0..5).rev() {
            let run = balloon.dequeue_run(PAGES).ok_or(EINVAL)?;
            assert_eq!(run.range().pages(), PAGES);
            assert!(pfns.contains(&run.range().start()));
            assert_eq!(balloon.block_pages(), left * PAGES);
            assert_eq!(managed() + left * PAGES, before);
        }
        assert!(balloon.dequeue_run(usize::MAX).is_none());
        assert!(!balloon.break_block());
        Ok(())
    }

    #[test]
    fn neighbours_are_taken_in_parts() -> Result {
        let (balloon, node) = (balloon(0)?, some_node()?);
        let mut set = RunSet::new(64)?;
        while let Ok(()) = set.add(PageRun::alloc(&node, ORDER).ok_or(ENOMEM)?) {
            if set.pages() == 64 * PAGES {
                break;
            }
        }
        let run = set.take_longest().ok_or(EINVAL)?;
        let range = run.range();
        // Of 64 blocks some are neighbours.
        assert!(range.pages() >= 2 * PAGES);
        balloon.enqueue_run(run);
        // Rounded down to whole blocks, from the low end.
        let first = balloon.dequeue_run(2 * PAGES - 1).ok_or(EINVAL)?;
        assert_eq!(
            first.range(),
            PfnRange::block(range.start(), ORDER).ok_or(EINVAL)?
        );
        assert_eq!(balloon.block_pages(), range.pages() - PAGES);
        let rest = balloon.dequeue_run(usize::MAX).ok_or(EINVAL)?;
        assert_eq!(rest.range().start(), first.range().end());
        assert_eq!(rest.range().end(), range.end());
        assert_eq!(balloon.block_pages(), 0);
        Ok(())
    }

    /// Not a page is lost or counted twice when a block is broken.
    #[test]
    fn a_broken_block_is_single_pages() -> Result {
        let (balloon, node, before) = (balloon(0)?, some_node()?, managed());
        for _ in 0..2 {
            balloon.enqueue_run(PageRun::alloc(&node, ORDER).ok_or(ENOMEM)?);
        }
        let last = balloon.dequeue_run(PAGES).ok_or(EINVAL)?;
        let range = last.range();
        balloon.enqueue_run(last);
        assert!(balloon.break_block());
        assert_eq!((balloon.block_pages(), balloon.pages()), (PAGES, PAGES));
        assert_eq!(managed() + 2 * PAGES, before);

        let mut out = BalloonPages::new(2 * PAGES)?;
        // What others move meanwhile cannot be taken out: ask until all is there.
        while balloon.pages() > 0 {
            balloon.dequeue(usize::MAX, &mut out);
        }
        let mut sum = 0;
        for pfn in out.pfns() {
            assert!((range.start()..range.end()).contains(&pfn));
            sum += pfn - range.start();
        }
        assert_eq!(sum, PAGES * (PAGES - 1) / 2);
        drop(out);
        assert_eq!(managed() + PAGES, before);
        balloon.release_all();
        assert_eq!(managed(), before);
        Ok(())
    }
}
