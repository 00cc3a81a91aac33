// SPDX-License-Identifier: GPL-2.0

//! A small set of runs, which grow together as their neighbours arrive.

use crate::{
    kvec::{
        filled,
        partition_point, //
    },
    prelude::*, //
};

use core::ops::Range;

use super::{
    Full,
    PfnRange,
    Sink, //
};

/// Something that covers a range of page frames and can grow.
pub trait Run: Sized {
    /// Returns the page frames that it covers.
    fn range(&self) -> PfnRange;

    /// Takes in `other` if it is a neighbour, and gives it back if it is not.
    fn join(&mut self, other: Self) -> Result<(), Self>;
}

/// A bounded number of runs that are no neighbours of each other, in order of addresses.
///
/// Free lists are in no order of addresses: on a guest that has been up for a while, neighbours
/// come far apart. The set joins these as long as it has not been emptied in between. Adding
/// allocates nothing and may be called under a spinlock; it takes a binary search, and moves the
/// runs behind if the new one has no neighbours.
pub struct RunSet<R: Run> {
    /// The first `len` are runs, the others are empty.
    slots: KVec<Option<R>>,
    len: usize,
    pages: usize,
    /// The run that the last one went to.
    recent: usize,
    /// Where it may grow without meeting another: from here upwards and up to there, from here
    /// downwards and down to there. No run begins or ends at these numbers if they are 0.
    up: Range<usize>,
    down: Range<usize>,
}

impl<R: Run> RunSet<R> {
    /// Creates an empty set with room for `capacity` runs.
    pub fn new(capacity: usize) -> Result<Self> {
        Ok(Self {
            slots: filled(capacity, |_| None)?,
            len: 0,
            pages: 0,
            recent: 0,
            up: 0..0,
            down: 0..0,
        })
    }

    /// Returns the number of pages in all the runs.
    pub fn pages(&self) -> usize {
        self.pages
    }

    /// Returns whether there is no run in the set.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a run, and joins it with its neighbours.
    ///
    /// Gives it back if it has none and the set is full.
    #[inline]
    pub fn add(&mut self, run: R) -> Result<(), R> {
        let range = run.range();
        // The next entry of a list is a neighbour of the last one more often than not.
        match self.grow_recent(range, run) {
            Ok(()) => Ok(()),
            Err(run) => self.insert_or_join(range, run),
        }
    }

    /// The same, wherever its place is.
    #[inline(never)]
    fn insert_or_join(&mut self, range: PfnRange, run: R) -> Result<(), R> {
        let runs = self.slots.get(..self.len).unwrap_or_default();
        let at = partition_point(runs, |slot| {
            slot.as_ref()
                .is_some_and(|run| run.range().start() < range.start())
        });

        let below = at.checked_sub(1);
        let mut place = at;
        match self.join_at(below, run) {
            Ok(()) => {
                place = below.unwrap_or(at);
                // It may be what was missing between two runs.
                if self.are_neighbours(below, at) {
                    if let Some(Err(above)) = self.remove(at).map(|run| self.join_at(below, run)) {
                        self.insert(at, above);
                    }
                }
            }
            Err(run) => {
                if let Err(run) = self.join_at(Some(at), run) {
                    if self.len >= self.slots.len() {
                        return Err(run);
                    }
                    self.insert(at, run);
                }
            }
        }
        self.set_recent(place);
        self.pages = self.pages.saturating_add(range.pages());
        Ok(())
    }

    /// Joins a run with the one that the last one went to, if they are neighbours and there is no
    /// other neighbour.
    // Part of the loop of a walk, for each entry.
    #[inline(always)]
    fn grow_recent(&mut self, range: PfnRange, run: R) -> Result<(), R> {
        if range.start() == self.up.start && range.end() < self.up.end {
            self.join_at(Some(self.recent), run)?;
            self.up.start = range.end();
        } else if range.end() == self.down.end && range.start() > self.down.start {
            self.join_at(Some(self.recent), run)?;
            self.down.end = range.start();
        } else {
            return Err(run);
        }
        self.pages = self.pages.saturating_add(range.pages());
        Ok(())
    }

    /// Remembers where a run is, for the next one.
    fn set_recent(&mut self, at: usize) {
        self.recent = at;
        let Some(run) = self.range_at(at) else {
            self.forget_recent();
            return;
        };
        let below = at.checked_sub(1).and_then(|below| self.range_at(below));
        let above = self.range_at(at.wrapping_add(1));
        self.up = run.end()..above.map_or(usize::MAX, |above| above.start());
        self.down = below.map_or(0, |below| below.end())..run.start();
    }

    fn forget_recent(&mut self) {
        self.up = 0..0;
        self.down = 0..0;
    }

    /// Takes the longest run out of the set, of two equal ones that with the higher addresses.
    pub fn take_longest(&mut self) -> Option<R> {
        let runs = (0..self.len).zip(self.slots.iter());
        let (at, _) = runs.max_by_key(|(_, slot)| slot.as_ref().map(|run| run.range().pages()))?;
        let run = self.remove(at)?;
        self.pages = self.pages.saturating_sub(run.range().pages());
        self.forget_recent();
        Some(run)
    }

    /// Returns the page frames of the run at a place.
    fn range_at(&self, at: usize) -> Option<PfnRange> {
        self.slots.get(at)?.as_ref().map(Run::range)
    }

    /// Returns whether there are runs at both places, and these are neighbours.
    fn are_neighbours(&self, below: Option<usize>, above: usize) -> bool {
        let below = below.and_then(|below| self.range_at(below));
        let above = self.range_at(above);
        matches!((below, above), (Some(below), Some(above)) if below.adjoin(&above).is_some())
    }

    /// Joins a run with the one at a place, if there is one and they are neighbours.
    fn join_at(&mut self, at: Option<usize>, run: R) -> Result<(), R> {
        match at.and_then(|at| self.slots.get_mut(at)) {
            Some(Some(other)) => other.join(run),
            _ => Err(run),
        }
    }

    /// Inserts a run at a place, for which there must be room.
    fn insert(&mut self, at: usize, run: R) {
        let mut carried = Some(run);
        for slot in self.slots.iter_mut().skip(at) {
            core::mem::swap(slot, &mut carried);
            if carried.is_none() {
                break;
            }
        }
        self.len = self.len.saturating_add(1);
    }

    /// Removes the run at a place.
    fn remove(&mut self, at: usize) -> Option<R> {
        let behind = self.slots.get_mut(at..self.len)?;
        let mut carried = None;
        for slot in behind.iter_mut().rev() {
            core::mem::swap(slot, &mut carried);
        }
        if carried.is_some() {
            self.len = self.len.saturating_sub(1);
        }
        carried
    }
}

impl Sink for RunSet<PfnRange> {
    #[inline]
    fn block(&mut self, block: PfnRange) -> Result<(), Full> {
        self.add(block).map_err(|_| Full)
    }
}

#[cfg(CONFIG_RUST_KERNEL_NEXT_KUNIT_TEST)]
#[kunit_tests(rust_kernel_run_set)]
mod tests {
    use super::*;
    use crate::testing::Random;

    #[test]
    fn joins_across_a_gap_that_closes() -> Result {
        let mut set = RunSet::<PfnRange>::new(4)?;
        for start in [0, 16, 8] {
            let block = PfnRange::block(start, 3).ok_or(EINVAL)?;
            assert!(set.add(block).is_ok());
        }
        assert_eq!(set.pages(), 24);
        assert_eq!(set.take_longest(), PfnRange::new(0, 24));
        assert_eq!(set.take_longest(), None);
        assert!(set.is_empty());
        Ok(())
    }

    #[test]
    fn gives_back_what_does_not_fit() -> Result {
        let mut set = RunSet::<PfnRange>::new(2)?;
        let far = PfnRange::block(64, 3).ok_or(EINVAL)?;
        let near = PfnRange::block(24, 3).ok_or(EINVAL)?;
        assert!(set.add(PfnRange::block(0, 3).ok_or(EINVAL)?).is_ok());
        assert!(set.add(PfnRange::block(16, 3).ok_or(EINVAL)?).is_ok());
        assert_eq!(set.add(far), Err(far));
        // A full set still takes neighbours.
        assert_eq!(set.add(near), Ok(()));
        assert_eq!(set.pages(), 24);
        Ok(())
    }

    /// Blocks of a bitmap in random order come out as exactly the runs of that bitmap.
    #[test]
    fn matches_a_bitmap() -> Result {
        const BLOCKS: usize = 48;
        let mut random = Random::new(2);
        for _ in 0..300 {
            let mut blocks = [0usize; BLOCKS];
            let mut len = 0;
            let mut bitmap = random.word() & random.word();
            bitmap &= (1 << BLOCKS) - 1;
            for at in 0..BLOCKS {
                if bitmap & (1 << at) != 0 {
                    *blocks.get_mut(len).ok_or(EINVAL)? = at;
                    len += 1;
                }
            }
            for at in 0..len {
                blocks.swap(at, random.below(len));
            }

            // At most every second block starts a run.
            let mut set = RunSet::<PfnRange>::new(24)?;
            let mut seen = 0u64;
            for &block in blocks.iter().take(len) {
                let range = PfnRange::block(block << 9, 9).ok_or(EINVAL)?;
                if let Err(range) = set.add(range) {
                    // The set is a set of runs, which may be more than will remain.
                    let first = set.take_longest().ok_or(EINVAL)?;
                    seen = mark(seen, first)?;
                    assert_eq!(set.add(range), Ok(()));
                }
            }
            let mut longest = usize::MAX;
            let mut before = KVec::<PfnRange>::new();
            while let Some(run) = set.take_longest() {
                // In order, and no two of them are neighbours.
                assert!(run.pages() <= longest);
                longest = run.pages();
                assert!(before.iter().all(|other| other.adjoin(&run).is_none()));
                before.push(run, GFP_KERNEL)?;
                seen = mark(seen, run)?;
            }
            assert_eq!(seen, bitmap);
            assert_eq!(set.pages(), 0);
        }
        Ok(())
    }

    /// Sets the bits of a run, which must not be set yet.
    fn mark(mut seen: u64, run: PfnRange) -> Result<u64> {
        let mut pfn = run.start();
        while pfn < run.end() {
            let bit = 1u64 << (pfn >> 9);
            if seen & bit != 0 {
                return Err(EEXIST);
            }
            seen |= bit;
            pfn += 512;
        }
        Ok(seen)
    }
}
