// SPDX-License-Identifier: GPL-2.0

//! A small set of runs, which grow together as their neighbours arrive.

use crate::prelude::*;

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

/// At most `N` runs that are no neighbours of each other.
///
/// Free lists are in no order of addresses: on a guest that has been up for a while, neighbours
/// come some entries apart. The set joins these as long as it has not been emptied in between.
/// Adding looks at as many runs as there were at most since the set was last empty, allocates
/// nothing, and may be called under a spinlock.
pub struct RunSet<R: Run, const N: usize> {
    runs: [Option<R>; N],
    /// No slot from here on is in use.
    high: usize,
    pages: usize,
}

impl<R: Run, const N: usize> RunSet<R, N> {
    /// Creates an empty set.
    pub const fn new() -> Self {
        Self {
            runs: [const { None }; N],
            high: 0,
            pages: 0,
        }
    }

    /// Returns the number of pages in all the runs.
    pub fn pages(&self) -> usize {
        self.pages
    }

    /// Returns whether there is no run in the set.
    pub fn is_empty(&self) -> bool {
        self.pages == 0
    }

    /// Adds a run, and joins it with its neighbours.
    ///
    /// Gives it back if it has none and the set is full.
    pub fn add(&mut self, run: R) -> Result<(), R> {
        let pages = run.range().pages();
        // It may be what was missing between two runs, so go on with the joined one.
        self.place(run).map(|grown| {
            self.pages = self.pages.saturating_add(pages);
            if let Some(run) = grown.and_then(|at| self.runs.get_mut(at)?.take()) {
                // There is room: a slot was just emptied.
                let _ = self.place(run);
            }
        })
    }

    /// Takes the longest run out of the set, of two equal ones that with the higher addresses.
    pub fn take_longest(&mut self) -> Option<R> {
        let longest = self.runs.iter_mut().take(self.high).max_by_key(|slot| {
            slot.as_ref()
                .map(|run| (run.range().pages(), run.range().start()))
        })?;
        let run = longest.take()?;
        self.pages = self.pages.saturating_sub(run.range().pages());
        if self.is_empty() {
            self.high = 0;
        }
        Some(run)
    }

    /// Puts a run where it belongs: returns the place of the run that grew by it, if one did.
    fn place(&mut self, mut run: R) -> Result<Option<usize>, R> {
        let mut empty = None;
        for (at, slot) in (0..self.high).zip(self.runs.iter_mut()) {
            match slot {
                Some(other) => match other.join(run) {
                    Ok(()) => return Ok(Some(at)),
                    Err(back) => run = back,
                },
                None => empty = empty.or(Some(slot)),
            }
        }
        if let Some(slot) = empty {
            *slot = Some(run);
            return Ok(None);
        }
        match self.runs.get_mut(self.high) {
            Some(slot) => {
                *slot = Some(run);
                self.high = self.high.saturating_add(1);
                Ok(None)
            }
            None => Err(run),
        }
    }
}

impl<const N: usize> Sink for RunSet<PfnRange, N> {
    fn block(&mut self, block: PfnRange) -> Result<(), Full> {
        self.add(block).map_err(|_| Full)
    }
}

impl<R: Run, const N: usize> Default for RunSet<R, N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(CONFIG_RUST_KERNEL_NEXT_KUNIT_TEST)]
#[kunit_tests(rust_kernel_run_set)]
mod tests {
    use super::*;
    use crate::testing::Random;

    #[test]
    fn joins_across_a_gap_that_closes() -> Result {
        let mut set = RunSet::<PfnRange, 4>::new();
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
        let mut set = RunSet::<PfnRange, 2>::new();
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
            let mut bitmap = random.next() & random.next();
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
            let mut set = RunSet::<PfnRange, 24>::new();
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
