// SPDX-License-Identifier: GPL-2.0

//! A walk over all the free memory of the machine, a batch at a time.

use crate::{
    time::{
        ClockSource,
        Monotonic, //
    }, //
};
use core::num::NonZero;

use super::{
    Batch,
    Cursor,
    Nodes,
    Sink,
    Zone,
    Zones,
    MAX_PAGE_ORDER, //
};

/// What a walk cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct WalkStats {
    /// Number of times that a zone's lock was taken.
    pub batches: usize,
    /// Number of entries of free lists that were looked at.
    pub entries: usize,
    /// Most entries under one hold of the lock.
    pub most_entries: usize,
    /// Longest time that the lock was held for, in nanoseconds.
    pub longest_hold_ns: u64,
    /// Number of times that the place in a list was lost.
    pub restarts: usize,
}

/// What came of one hold of a zone's lock.
#[derive(Clone, Copy)]
pub struct LockHold {
    /// The zone.
    pub zone: Zone,
    /// Entries of free lists, or places, that were looked at.
    pub entries: usize,
    /// Free blocks that were found.
    pub blocks: usize,
    /// Pages of these.
    pub pages: usize,
    /// How long the lock was held for, in nanoseconds.
    pub ns: u64,
}

impl WalkStats {
    /// Counts a hold.
    pub(super) fn count(&mut self, hold: &LockHold) {
        self.batches = self.batches.saturating_add(1);
        self.entries = self.entries.saturating_add(hold.entries);
        self.most_entries = self.most_entries.max(hold.entries);
        self.longest_hold_ns = self.longest_hold_ns.max(hold.ns);
    }
}

/// A walk over the free blocks of at least a given order, in all zones of all online nodes.
///
/// It takes no page and allocates nothing; see [`Cursor`] for how it keeps its place and what it
/// may miss. What it reports was free when it was reported, and may be in use an instant later.
/// Pages on the per-CPU lists and blocks that are isolated are not reported.
pub struct FreeWalk {
    nodes: Nodes,
    zones: Option<Zones>,
    zone: Option<(Zone, Cursor)>,
    order: u32,
    batch: NonZero<usize>,
    stats: WalkStats,
    last_hold: Option<LockHold>,
}

impl FreeWalk {
    /// Creates a walk over blocks of order `order` and above, that looks at no more than `batch`
    /// entries under one hold of a zone's lock.
    pub fn new(order: u32, batch: NonZero<usize>) -> Self {
        Self {
            nodes: Nodes::new(),
            zones: None,
            zone: None,
            order,
            batch,
            stats: WalkStats::default(),
            last_hold: None,
        }
    }

    /// Returns what the walk has cost up to now.
    pub fn stats(&self) -> &WalkStats {
        &self.stats
    }

    /// Returns the zone that the walk is in.
    ///
    /// It comes into each with a [`FreeWalk::batch`] that takes no lock.
    pub fn zone(&self) -> Option<Zone> {
        self.zone.as_ref().map(|(zone, _)| *zone)
    }

    /// Returns what came of the last [`FreeWalk::batch`], unless that was without the lock.
    pub fn last_hold(&self) -> Option<&LockHold> {
        self.last_hold.as_ref()
    }

    /// Walks on for one hold of a zone's lock.
    ///
    /// Returns [`Batch::More`] where a zone ends and another follows, too. Must be called from
    /// process context; the caller decides whether to let others run between two batches.
    pub fn batch(&mut self, sink: &mut impl Sink) -> Batch {
        self.last_hold = None;
        let Some((zone, cursor)) = self.zone.as_mut() else {
            self.zone = self.next_zone().map(|zone| {
                let cursor = Cursor::new(MAX_PAGE_ORDER, self.order);
                (zone, cursor)
            });
            return match self.zone {
                Some(_) => Batch::More,
                None => Batch::Done,
            };
        };

        let restarts = cursor.restarts();
        let before = cursor.taken();
        let locked = zone.lock();
        let start = Monotonic::ktime_get();
        let (batch, entries) = cursor.batch(&locked, self.batch.get(), sink);
        let held = Monotonic::ktime_get().wrapping_sub(start);
        drop(locked);

        let after = cursor.taken();
        let hold = LockHold {
            zone: *zone,
            entries,
            blocks: after.blocks.saturating_sub(before.blocks),
            pages: after.pages.saturating_sub(before.pages),
            ns: held.try_into().unwrap_or(0),
        };
        self.last_hold = Some(hold);
        let stats = &mut self.stats;
        stats.count(&hold);
        let restarts = cursor.restarts().saturating_sub(restarts);
        stats.restarts = stats.restarts.saturating_add(restarts);

        match batch {
            Batch::Done => {
                self.zone = None;
                Batch::More
            }
            other => other,
        }
    }

    fn next_zone(&mut self) -> Option<Zone> {
        loop {
            if let Some(zone) = self.zones.as_mut().and_then(|zones| zones.next()) {
                return Some(zone);
            }
            self.zones = Some(self.nodes.next()?.zones());
        }
    }
}

#[cfg(CONFIG_RUST_KERNEL_NEXT_KUNIT_TEST)]
#[crate::prelude::kunit_tests(rust_kernel_free_walk)]
mod tests {
    use super::*;
    use crate::{
        mm::{
            Full,
            PfnRange, //
        },
        prelude::*, //
    };

    /// Counts pages, and refuses each `full_every`th block once.
    struct Count {
        pages: usize,
        blocks: usize,
        unaligned: usize,
        below_order: usize,
        order: u32,
        full_every: usize,
        refused: bool,
    }

    impl Sink for Count {
        fn block(&mut self, block: PfnRange) -> Result<(), Full> {
            if self.full_every != 0 && self.blocks % self.full_every == 0 && !self.refused {
                self.refused = true;
                return Err(Full);
            }
            self.refused = false;
            self.blocks += 1;
            self.pages += block.pages();
            self.unaligned += usize::from(block.start() & (block.pages() - 1) != 0);
            self.below_order += usize::from(block.pages() < 1 << self.order);
            Ok(())
        }
    }

    fn walk(order: u32, batch: usize, full_every: usize) -> Result<(Count, WalkStats)> {
        let mut count = Count {
            pages: 0,
            blocks: 0,
            unaligned: 0,
            below_order: 0,
            order,
            full_every,
            refused: false,
        };
        let mut walk = FreeWalk::new(order, NonZero::new(batch).ok_or(EINVAL)?);
        let mut holds = WalkStats::default();
        let (mut blocks, mut pages) = (0, 0);
        while walk.batch(&mut count) != Batch::Done {
            if let Some(hold) = walk.last_hold() {
                holds.count(hold);
                blocks += hold.blocks;
                pages += hold.pages;
            }
        }
        // The holds one by one come to the same.
        assert_eq!((blocks, pages), (count.blocks, count.pages));
        let stats = *walk.stats();
        assert_eq!(
            (holds.batches, holds.entries, holds.longest_hold_ns),
            (stats.batches, stats.entries, stats.longest_hold_ns)
        );
        Ok((count, stats))
    }

    fn free_pages() -> usize {
        Nodes::new().map(|node| node.free_pages()).sum()
    }

    /// The real free lists of the machine that runs the test: other tasks go on meanwhile.
    #[test]
    fn finds_what_the_counters_say() -> Result {
        for batch in [1, 7, 512] {
            let before = free_pages();
            let (count, stats) = walk(0, batch, 0)?;
            let after = free_pages();
            // The per-CPU lists and the counters' own drift are not in the zones' lists.
            let slack = 4096;
            assert!(count.pages + slack > before.min(after));
            assert!(count.pages < before.max(after) + slack);
            assert_eq!(count.unaligned, 0);
            assert!(stats.most_entries <= batch);
            assert!(stats.batches >= stats.entries / batch);
        }
        Ok(())
    }

    #[test]
    fn keeps_to_the_order() -> Result {
        let (all, _) = walk(0, 64, 0)?;
        let (large, _) = walk(MAX_PAGE_ORDER - 1, 64, 0)?;
        assert!(large.blocks > 0);
        assert_eq!(large.below_order, 0);
        assert!(large.pages <= all.pages + 4096);
        let (none, _) = walk(MAX_PAGE_ORDER + 1, 64, 0)?;
        assert_eq!(none.blocks, 0);
        Ok(())
    }

    #[test]
    fn a_sink_that_is_often_full_misses_nothing() -> Result {
        let (straight, _) = walk(MAX_PAGE_ORDER - 1, 64, 0)?;
        let (halting, _) = walk(MAX_PAGE_ORDER - 1, 64, 3)?;
        let slack = 16 << MAX_PAGE_ORDER;
        assert!(halting.pages + slack > straight.pages);
        assert!(straight.pages + slack > halting.pages);
        Ok(())
    }
}
