// SPDX-License-Identifier: GPL-2.0

//! The `hold` strategy: hints from pages that are allocated for it. Contract: *held*.
//!
//! Free blocks are taken from the allocator, largest first, and stay ours until the host has
//! acknowledged them and is done. Nobody can write to them meanwhile, so it does not matter when
//! the host looks at its dirty log, and it may even discard them.

use kernel::{
    mm::{
        Node,
        Nodes,
        PageRun,
        Run,
        RunSet,
        MAX_PAGE_ORDER, //
    },
    page::PAGE_SIZE,
    sync::Arc, //
};

use crate::{
    counters::HintCounters,
    held::HeldPages,
    policy::Policy,
    source::{
        Gathered,
        MAX_RUN_PAGES,
        RUNS, //
    }, //
};

/// Blocks that are taken before others get a chance.
const BLOCKS_PER_STEP: usize = 64;

/// Pages that are gathered before they are sent.
///
/// Few and large buffers are worth more than early ones: QEMU takes a lock for each that its
/// migration thread lets go of only every 50 ms (`MAX_WAIT` in its `migration/ram.c`).
const ENOUGH_PAGES: usize = (1 << 30) / PAGE_SIZE;

/// The blocks of one round that were taken and not sent yet.
pub(crate) struct Hold {
    nodes: Nodes,
    node: Option<Node>,
    /// Order to try next on the node.
    order: u32,
    lowest: u32,
    runs: RunSet<PageRun, RUNS>,
    /// A block for which there was no room.
    spare: Option<PageRun>,
    held: Arc<HeldPages>,
    counters: Arc<HintCounters>,
}

impl Hold {
    /// Starts to take blocks.
    pub(crate) fn new(policy: &Policy, held: Arc<HeldPages>, counters: Arc<HintCounters>) -> Self {
        held.clear_pressure();
        let mut nodes = Nodes::new();
        Self {
            node: nodes.next(),
            nodes,
            order: MAX_PAGE_ORDER,
            lowest: policy.hint_order,
            runs: RunSet::new(),
            spare: None,
            held,
            counters,
        }
    }

    /// Takes some blocks.
    pub(crate) fn gather(&mut self) -> Gathered {
        for _ in 0..BLOCKS_PER_STEP {
            if self.spare.is_some() || self.runs.pages() >= ENOUGH_PAGES {
                return Gathered::Enough;
            }
            // What others look for is not ours to take.
            if self.held.under_pressure() {
                return Gathered::All;
            }
            let Some(node) = self.node else {
                return Gathered::All;
            };
            match take_block(&node, self.order) {
                Some(block) => {
                    self.counters.hold(block.range().pages());
                    self.spare = self.runs.add(block).err();
                }
                None => match self.order.checked_sub(1) {
                    Some(order) if order >= self.lowest => self.order = order,
                    _ => {
                        self.node = self.nodes.next();
                        self.order = MAX_PAGE_ORDER;
                    }
                },
            }
        }
        Gathered::More
    }

    /// Takes a run to send.
    pub(crate) fn take(&mut self) -> Option<PageRun> {
        let mut run = self.runs.take_longest().or_else(|| self.spare.take())?;
        if let Some(rest) = run.split_off(MAX_RUN_PAGES) {
            self.put_back(rest);
        }
        Some(run)
    }

    /// Takes a run back, for which there is room as it was just taken out.
    pub(crate) fn put_back(&mut self, run: PageRun) {
        if let Err(run) = self.runs.add(run) {
            self.spare = Some(run);
        }
    }
}

/// Takes a block if that leaves the node its reserve: the middle between the low and the high
/// watermarks of its zones.
///
/// The kernel reclaims when less than the low ones is free, until as much as the high ones is. The
/// allocator alone would stop us at the low ones, so that the next page that anybody takes wakes
/// kswapd.
fn take_block(node: &Node, order: u32) -> Option<PageRun> {
    let mut free = 0usize;
    let mut reserve = 1usize.checked_shl(order)?;
    for zone in node.zones() {
        free = free.saturating_add(zone.free_pages());
        let (low, high) = (zone.low_watermark(), zone.high_watermark());
        reserve = reserve
            .saturating_add(low)
            .saturating_add(high.saturating_sub(low) >> 1);
    }
    if free <= reserve {
        return None;
    }
    PageRun::alloc(node, order)
}

impl Drop for Hold {
    fn drop(&mut self) {
        // The host has not heard of these.
        while let Some(run) = self.take() {
            self.held.release(run);
        }
    }
}
