// SPDX-License-Identifier: GPL-2.0

//! Runs of free blocks that a driver holds.

use crate::{
    bindings,
    prelude::*, //
};
use core::{
    mem::ManuallyDrop,
    ptr::NonNull, //
};

use super::{
    BalloonPage,
    Node,
    PfnRange,
    Run,
    MAX_PAGE_ORDER, //
};

/// Neighbouring blocks of one order that were allocated, and that are freed when this is dropped.
///
/// Nobody else reads or writes the pages meanwhile. Their content is undefined.
///
/// # Invariants
///
/// - `range` is made of blocks of `2^order` pages, each of which was returned by the page
///   allocator for this order, has not been freed, and belongs to this value alone.
/// - `order` is at most [`MAX_PAGE_ORDER`].
pub struct PageRun {
    range: PfnRange,
    order: u32,
}

impl PageRun {
    /// Allocates one block of `2^order` pages on `node`.
    ///
    /// Returns [`None`] rather than take what others need: it neither reclaims memory, nor wakes
    /// the task that does, nor touches the reserves, nor goes to another node, nor complains.
    /// May be called from any context that may take a spinlock.
    pub fn alloc(node: &Node, order: u32) -> Option<Self> {
        if order > MAX_PAGE_ORDER {
            return None;
        }
        let gfp = bindings::__GFP_NORETRY | bindings::__GFP_NOMEMALLOC | bindings::__GFP_NOWARN;
        // SAFETY: `node` is online and `order` is valid; the flags allow any context.
        let page = NonNull::new(unsafe { bindings::next_alloc_pages_on(node.id(), gfp, order) })?;
        // SAFETY: `page` was just allocated, so it is a valid page.
        let pfn = unsafe { bindings::next_page_to_pfn(page.as_ptr()) };
        // INVARIANT: The block was just allocated for this order, which was checked above.
        Some(Self {
            range: PfnRange::block(pfn, order)?,
            order,
        })
    }

    /// Returns the order of the blocks.
    pub fn order(&self) -> u32 {
        self.order
    }

    /// Returns the number of pages in a block.
    pub(super) fn block_pages(&self) -> usize {
        // By the type invariants this does not wrap.
        1usize.wrapping_shl(self.order)
    }

    /// Returns the number of blocks.
    pub fn blocks(&self) -> usize {
        self.range.pages().wrapping_shr(self.order)
    }

    /// Splits off what comes after the first `pages` pages, rounded down to whole blocks.
    ///
    /// Returns [`None`], and changes nothing, if one of the two would be empty.
    pub fn split_off(&mut self, pages: usize) -> Option<Self> {
        let pages = pages & !self.block_pages().wrapping_sub(1);
        // INVARIANT: `range` and the rest are made of whole blocks because it was, and `pages` is
        // a multiple of the size of a block. Each block is now in one of the two.
        Some(Self {
            range: self.range.split_off(pages)?,
            order: self.order,
        })
    }

    /// Breaks all blocks into pages that are freed one by one.
    pub(super) fn into_pages(self, mut each: impl FnMut(BalloonPage)) {
        let (range, order) = self.into_parts();
        for block in range.blocks(order) {
            // SAFETY: By the type invariants this block was allocated with this order, and belonged
            // to `self`, which is gone.
            unsafe { bindings::split_page(bindings::next_pfn_to_page(block.start()), order) };
            for pfn in block.start()..block.end() {
                // SAFETY: The page is part of the block, so it is valid.
                if let Some(page) = NonNull::new(unsafe { bindings::next_pfn_to_page(pfn) }) {
                    // SAFETY: The page is of order 0 since the split, which has given it a
                    // reference of its own.
                    each(unsafe { BalloonPage::from_raw(page) });
                }
            }
        }
    }

    /// Gives up the ownership of the pages.
    pub(super) fn into_parts(self) -> (PfnRange, u32) {
        let this = ManuallyDrop::new(self);
        (this.range, this.order)
    }

    /// Takes the ownership of pages back.
    ///
    /// # Safety
    ///
    /// Both must come from a call of [`PageRun::into_parts`], and be used for this only once.
    pub(super) unsafe fn from_parts(range: PfnRange, order: u32) -> Self {
        // INVARIANT: By the safety requirement they held when the parts were taken, and nobody
        // could free the blocks since.
        Self { range, order }
    }
}

impl Run for PageRun {
    fn range(&self) -> PfnRange {
        self.range
    }

    fn join(&mut self, other: Self) -> Result<(), Self> {
        if self.order != other.order {
            return Err(other);
        }
        let Some(range) = self.range.adjoin(&other.range) else {
            return Err(other);
        };
        let _ = other.into_parts();
        // INVARIANT: The ranges are neighbours, of blocks of the same order; `other` has just
        // given up its blocks.
        self.range = range;
        Ok(())
    }
}

impl Drop for PageRun {
    fn drop(&mut self) {
        for block in self.range.blocks(self.order) {
            let pfn = block.start();
            // SAFETY: By the type invariants a block of this order starts at `pfn`, was allocated,
            // and belongs to `self`.
            unsafe { bindings::__free_pages(bindings::next_pfn_to_page(pfn), self.order) };
        }
    }
}

#[cfg(CONFIG_RUST_KERNEL_NEXT_KUNIT_TEST)]
#[kunit_tests(rust_kernel_page_run)]
mod tests {
    use super::*;
    use crate::mm::{
        Nodes,
        PageRunStack,
        RunSet, //
    };

    #[test]
    fn joins_and_splits_without_losing_a_block() -> Result {
        const ORDER: u32 = 3;
        let node = Nodes::new().next().ok_or(ENODEV)?;
        let mut set = RunSet::<PageRun>::new(64)?;
        let mut pages = 0;
        for _ in 0..64 {
            let block = PageRun::alloc(&node, ORDER).ok_or(ENOMEM)?;
            assert_eq!(block.blocks(), 1);
            pages += block.range().pages();
            assert!(set.add(block).is_ok());
        }
        assert_eq!(pages, 64 << ORDER);

        // Through the stack, in two pieces where that is possible.
        let mut stack = PageRunStack::new();
        while let Some(mut run) = set.take_longest() {
            assert_eq!(run.range().pages(), run.blocks() << ORDER);
            let half = run.range().pages() / 2;
            if let Some(rest) = run.split_off(half) {
                assert_eq!(run.range().end(), rest.range().start());
                stack.push(rest);
            }
            stack.push(run);
        }
        assert_eq!(stack.pages(), pages);
        let mut popped = 0;
        while let Some(run) = stack.pop() {
            assert_eq!(run.order(), ORDER);
            popped += run.range().pages();
        }
        assert_eq!(popped, pages);
        assert_eq!(stack.pages(), 0);
        Ok(())
    }

    /// Else some would be freed with an order that they were not allocated with.
    #[test]
    fn blocks_of_different_orders_do_not_join() -> Result {
        let node = Nodes::new().next().ok_or(ENODEV)?;
        let (range, order) = PageRun::alloc(&node, 3).ok_or(ENOMEM)?.into_parts();
        let mut below = range;
        let above = below.split_off(range.pages() / 2).ok_or(EINVAL)?;
        for (first, second) in [(1, 2), (2, 1)] {
            // SAFETY: Nothing is freed by these two: they are taken apart below.
            let mut first = unsafe { PageRun::from_parts(below, first) };
            // SAFETY: As above.
            let second = unsafe { PageRun::from_parts(above, second) };
            let refused = first.join(second).map_err(PageRun::into_parts);
            let _ = first.into_parts();
            assert!(refused.is_err());
        }
        // SAFETY: These are the parts of the block, and nobody has freed it.
        drop(unsafe { PageRun::from_parts(range, order) });
        Ok(())
    }

    #[test]
    fn refuses_orders_that_do_not_exist() -> Result {
        let node = Nodes::new().next().ok_or(ENODEV)?;
        assert!(PageRun::alloc(&node, MAX_PAGE_ORDER + 1).is_none());
        Ok(())
    }
}
