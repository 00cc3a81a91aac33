// SPDX-License-Identifier: GPL-2.0

//! Taking free blocks out of the page allocator for a while.

use crate::{
    bindings,
    prelude::*,
    time::{
        ClockSource,
        Monotonic, //
    }, //
};
use core::num::NonZero;

use super::{
    IsolatedRun,
    LockHold,
    PfnRange,
    WalkStats,
    Zone,
    MAX_PAGE_ORDER, //
};

/// Pages in the largest block.
const LARGEST_BLOCK: usize = 1 << MAX_PAGE_ORDER;

/// Most pages that are taken under one hold of the lock. The kernel looks at each page of a
/// pageblock that it isolates.
const PAGES_PER_HOLD: usize = 32 * LARGEST_BLOCK;

/// Returns whether the kernel lets a driver isolate free blocks: it needs the patches of
/// `tools/kernel/patches`.
pub fn can_isolate() -> bool {
    // SAFETY: The function only returns a constant.
    unsafe { bindings::next_can_isolate() }
}

/// How much may be isolated at once.
#[derive(Clone, Copy, Debug)]
pub struct IsolationLimits {
    /// Most pages.
    pub pages: usize,
    /// Most blocks.
    pub blocks: usize,
    /// Of what a zone has above its high watermark, at most the `2^share_shift`th part.
    pub share_shift: u32,
}

impl IsolationLimits {
    /// Returns how many more pages may be taken where `free` of them are free, a zone's high
    /// watermark is `watermark`, and `isolated` are isolated already.
    fn more(&self, order: u32, free: usize, watermark: usize, isolated: usize) -> usize {
        let spare = free.saturating_add(isolated).saturating_sub(watermark);
        let share = spare.checked_shr(self.share_shift).unwrap_or(0);
        // No block is smaller than this.
        let blocks = self.blocks.saturating_mul(1usize.wrapping_shl(order));
        share.min(self.pages).min(blocks).saturating_sub(isolated)
    }
}

/// What a step found.
pub enum Isolated {
    /// A run, which belongs to the caller.
    Run(IsolatedRun),
    /// Nothing yet: take another step.
    Nothing,
    /// There is a block, but the limits do not allow to take it: put others back first.
    Short,
    /// The range ends here.
    Done,
}

/// Isolates the free blocks of at least an order in a range of page frames, upwards.
///
/// It goes by page frame numbers rather than along the free lists: so it comes to an end whatever
/// others allocate and free meanwhile, sees each place once, and neighbours come together. A block
/// that reaches beyond an end of the range is left alone, and so is what is about to be taken
/// offline, and the reserve for atomic allocations.
pub struct Isolation {
    next: usize,
    end: usize,
    order: u32,
    batch: NonZero<usize>,
    stats: WalkStats,
    last_hold: Option<LockHold>,
}

impl Isolation {
    /// Creates a way from the page frame `start` up to, but without, `end`, for blocks of order
    /// `order`, at most [`MAX_PAGE_ORDER`], and above, that looks at no more than `batch` page
    /// frames under one hold of a zone's lock.
    pub fn new(start: usize, end: usize, order: u32, batch: NonZero<usize>) -> Self {
        Self {
            next: start,
            end,
            order: order.min(MAX_PAGE_ORDER),
            batch,
            stats: WalkStats::default(),
            last_hold: None,
        }
    }

    /// Returns the first page frame that was not passed yet: a multiple of the block size, or
    /// behind all blocks of the range.
    pub fn position(&self) -> usize {
        self.next
    }

    /// Returns what it has cost up to now. The time of a hold includes the wait for the lock.
    pub fn stats(&self) -> &WalkStats {
        &self.stats
    }

    /// Returns what came of the last [`Isolation::step`], unless that was without the lock.
    ///
    /// Blocks are counted in those of the smallest order.
    pub fn last_hold(&self) -> Option<&LockHold> {
        self.last_hold.as_ref()
    }

    /// Goes on for one hold of a zone's lock.
    ///
    /// `isolated` is the number of pages that the caller, or whoever it lent them to, has. Must be
    /// called from process context; the caller decides whether to let others run between two steps.
    pub fn step(&mut self, limits: &IsolationLimits, isolated: usize) -> Isolated {
        self.last_hold = None;
        let Some(zone) = self.zone() else {
            return if self.next < self.end {
                Isolated::Nothing
            } else {
                Isolated::Done
            };
        };
        let watermark = zone.high_watermark();
        let more = limits.more(self.order, zone.free_pages(), watermark, isolated);
        if more < LARGEST_BLOCK {
            return Isolated::Short;
        }

        let before = self.next;
        let start = Monotonic::ktime_get();
        // SAFETY: A zone is valid for as long as the kernel runs, and its lock is not held: whoever
        // has it locked is not in a context from which this may be called.
        let taken = unsafe {
            bindings::next_isolate_free_run(
                zone.as_ptr(),
                &mut self.next,
                self.end,
                self.order,
                u32::try_from(self.batch.get()).unwrap_or(u32::MAX),
                more.min(PAGES_PER_HOLD),
                watermark,
            )
        };
        let held = Monotonic::ktime_get().wrapping_sub(start);
        self.count(zone, before, taken, held);

        match usize::try_from(taken) {
            Err(_) => Isolated::Short,
            Ok(0) => {
                if self.next == before {
                    // It was another zone's in the meantime: this must not go on for ever.
                    self.skip(self.block());
                }
                Isolated::Nothing
            }
            Ok(pages) => match PfnRange::new(self.next.saturating_sub(pages), pages) {
                // SAFETY: The function has just taken so many pages in front of `next`, for us.
                Some(range) => Isolated::Run(unsafe { IsolatedRun::new(range) }),
                None => Isolated::Nothing,
            },
        }
    }

    /// Passes the rest of the zone at the present position: it has too little to give any away.
    pub fn skip_zone(&mut self) {
        match self.zone() {
            Some(zone) => self.next = zone.end_pfn().max(self.next).min(self.end),
            None => self.skip(self.block()),
        }
    }

    fn block(&self) -> usize {
        // At most the highest order.
        1usize.wrapping_shl(self.order)
    }

    fn skip(&mut self, pages: usize) {
        self.next = self.next.saturating_add(pages).min(self.end);
    }

    /// Returns the zone at the present position. Passes what has no memory, for a while.
    fn zone(&mut self) -> Option<Zone> {
        for _ in 0..self.batch.get() {
            if self.next >= self.end {
                return None;
            }
            if let Some(zone) = Zone::at(self.next) {
                return Some(zone);
            }
            // Memory comes and goes in larger pieces than this.
            let aligned = self.next & !(LARGEST_BLOCK - 1);
            self.next = aligned.saturating_add(LARGEST_BLOCK).min(self.end);
        }
        None
    }

    fn count(&mut self, zone: Zone, before: usize, taken: c_long, held: i64) {
        let passed = self.next.saturating_sub(before);
        let entries = passed.checked_shr(self.order).unwrap_or(0);
        let pages = usize::try_from(taken).unwrap_or(0);
        let hold = LockHold {
            zone,
            entries: entries.min(self.batch.get()),
            blocks: pages.checked_shr(self.order).unwrap_or(0),
            pages,
            ns: held.try_into().unwrap_or(0),
        };
        self.stats.count(&hold);
        self.last_hold = Some(hold);
    }
}
