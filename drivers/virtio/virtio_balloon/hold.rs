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
    prelude::*,
    sync::Arc, //
};

use crate::{
    answers::Answer,
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

/// The share of a node's memory, as a power of two, that stays free at least.
const RESERVE_SHIFT: u32 = 7;

/// The most that this share comes to.
const MAX_RESERVE_PAGES: usize = (128 << 20) / PAGE_SIZE;

/// The blocks of a round that were taken and not sent yet.
pub(crate) struct Hold {
    lowest: u32,
    nodes: Nodes,
    node: Option<Node>,
    /// Order to try next on the node.
    order: u32,
    runs: RunSet<PageRun>,
    /// A block for which there was no room.
    spare: Option<PageRun>,
    held: Arc<HeldPages>,
    counters: Arc<HintCounters>,
}

impl Hold {
    /// Creates a source that has not been started.
    pub(crate) fn new(
        policy: Policy,
        held: Arc<HeldPages>,
        counters: Arc<HintCounters>,
    ) -> Result<Self> {
        Ok(Self {
            lowest: policy.hint_order,
            nodes: Nodes::new(),
            node: None,
            order: MAX_PAGE_ORDER,
            runs: RunSet::new(RUNS)?,
            spare: None,
            held,
            counters,
        })
    }

    /// Starts to take blocks.
    pub(crate) fn start(&mut self) {
        self.held.clear_pressure();
        self.nodes = Nodes::new();
        self.node = self.nodes.next();
        self.order = MAX_PAGE_ORDER;
    }

    /// Gives back what the host has not heard of.
    pub(crate) fn end(&mut self) {
        while let Some(run) = self.take() {
            self.held.release(run);
        }
    }

    /// Takes some blocks.
    pub(crate) fn gather(&mut self, answer: &mut Answer) -> Gathered {
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
                    answer.found(1);
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

/// Takes a block if that leaves the node its reserve.
///
/// The allocator alone stops us at the low watermark of each zone, the line below which the kernel
/// reclaims: the next page that anybody takes would wake kswapd. On small guests, or without huge
/// pages, the watermarks are a few megabytes, which a burst of interrupts may need: hence the share
/// of the memory.
fn take_block(node: &Node, order: u32) -> Option<PageRun> {
    let share = (node.managed_pages() >> RESERVE_SHIFT).min(MAX_RESERVE_PAGES);
    let reserve = node.middle_watermark().max(share);
    let needed = reserve.saturating_add(1usize.checked_shl(order)?);
    if node.free_pages() <= needed {
        return None;
    }
    PageRun::alloc(node, order)
}
