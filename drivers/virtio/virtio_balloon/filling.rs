// SPDX-License-Identifier: GPL-2.0

//! Which pages go into a buffer: free ones on their way into the balloon, and those that leave it.

use kernel::mm::{
    self,
    Node,
    Nodes,
    PageRun,
    Run, //
};

use crate::{
    page_buffer::{
        PageBuffer,
        BLOCK_ORDER,
        BLOCK_PAGES,
        MAX_BLOCKS,
        MAX_PAGES, //
    },
    sizing::Balloon, //
};

/// Pages after which the kernel's counters are looked at again: there are some for each zone of
/// each node.
const PAGES_PER_LOOK: usize = 64;

/// Puts the pages of a buffer into the balloon.
pub(crate) fn put_in(this: &Balloon, buffer: &mut PageBuffer) {
    this.enqueue_all(buffer.pages_mut());
    while let Some(run) = buffer.take_run() {
        this.enqueue_run(run);
    }
}

/// Takes at most `pages` pages out of the balloon, as far as a buffer holds them: whole blocks
/// while there are some and that many pages are wanted.
pub(crate) fn take_out(this: &Balloon, buffer: &mut PageBuffer, pages: usize) {
    if pages >= BLOCK_PAGES {
        let mut left = pages;
        while let Some(run) = this.dequeue_run(left.min(BLOCK_PAGES)) {
            left = left.saturating_sub(run.range().pages());
            if let Err(run) = buffer.add_run(run) {
                this.enqueue_run(run);
                break;
            }
        }
        if !buffer.is_empty() {
            return;
        }
    }
    if this.pages() == 0 {
        // The host need not know: these pages stay where they are, as single ones.
        this.break_block();
    }
    this.dequeue(pages, buffer.pages_mut());
}

/// Puts at most `pages` pages into a buffer: whole blocks if it takes some and there are any, else
/// single pages. Returns whether that is all that a buffer can hold, and no memory was missing.
pub(crate) fn fill(buffer: &mut PageBuffer, pages: usize) -> bool {
    if buffer.takes_blocks() && fill_with_blocks(buffer, pages / BLOCK_PAGES) {
        return true;
    }
    let mut left = pages.min(MAX_PAGES);
    while left > 0 {
        if reserves_are_low() {
            return false;
        }
        let got = buffer.pages_mut().alloc(left.min(PAGES_PER_LOOK));
        if got == 0 {
            return false;
        }
        left = left.saturating_sub(got);
    }
    true
}

/// Puts at most `blocks` blocks into a buffer. Returns whether there were any.
///
/// Nothing is reclaimed or compacted for them: where there is none, single pages do.
fn fill_with_blocks(buffer: &mut PageBuffer, blocks: usize) -> bool {
    let mut left = blocks.min(MAX_BLOCKS);
    // The node with most of it first, which then comes up once more in vain.
    let first = Nodes::new().max_by_key(Node::free_pages).into_iter();
    for node in Iterator::chain(first, Nodes::new()) {
        while left > 0 && !reserves_are_low() {
            let Some(block) = PageRun::alloc(&node, BLOCK_ORDER) else {
                break;
            };
            if buffer.add_run(block).is_err() {
                break;
            }
            left = left.saturating_sub(1);
            // The kernel may zero each of them.
            mm::cond_resched();
        }
    }
    !buffer.is_empty()
}

/// Returns whether the guest has less free memory than the kernel keeps for those who cannot wait.
///
/// The allocator should not give us any then. But its watermarks are those of single zones, and do
/// not follow what the balloon takes out of them: it was seen to go on until nothing was left to
/// start a process with.
fn reserves_are_low() -> bool {
    let (free, least) = Nodes::new().fold((0usize, 0usize), |(free, least), node| {
        (
            free.saturating_add(node.free_pages()),
            least.saturating_add(node.min_watermark()),
        )
    });
    free < least
}
