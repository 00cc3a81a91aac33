// SPDX-License-Identifier: GPL-2.0

//! Ranges of page frames.

use crate::{
    page::PAGE_SIZE,
    prelude::*, //
};

use super::Run;

/// A non-empty range of page frames.
///
/// Frame numbers and counts are in pages of the kernel's page size.
///
/// # Invariants
///
/// - `pages` is not zero.
/// - `start + pages` does not overflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PfnRange {
    start: usize,
    pages: usize,
}

impl PfnRange {
    /// Creates the range of `pages` pages from page frame `start` on.
    ///
    /// Returns [`None`] if it would be empty or wrap around.
    #[inline]
    pub fn new(start: usize, pages: usize) -> Option<Self> {
        start.checked_add(pages)?;
        if pages == 0 {
            return None;
        }
        // INVARIANT: Both were just checked.
        Some(Self { start, pages })
    }

    /// Creates the range of the block of `2^order` pages that starts at `pfn`.
    ///
    /// Returns [`None`] if there is no such block.
    pub fn block(pfn: usize, order: u32) -> Option<Self> {
        Self::new(pfn, 1usize.checked_shl(order)?)
    }

    /// Returns the first page frame number.
    pub fn start(&self) -> usize {
        self.start
    }

    /// Returns the page frame number after the last one.
    pub fn end(&self) -> usize {
        // By the type invariants this does not wrap.
        self.start.wrapping_add(self.pages)
    }

    /// Returns the number of pages.
    pub fn pages(&self) -> usize {
        self.pages
    }

    /// Returns the size in bytes, [`usize::MAX`] if it is larger than that.
    pub fn bytes(&self) -> usize {
        self.pages.saturating_mul(PAGE_SIZE)
    }

    /// Returns whether `other` lies within this range.
    pub fn contains(&self, other: &PfnRange) -> bool {
        self.start <= other.start && other.end() <= self.end()
    }

    /// Returns whether the two ranges share a page.
    pub fn overlaps(&self, other: &PfnRange) -> bool {
        self.start < other.end() && other.start < self.end()
    }

    /// Returns the range that both make together, if one begins where the other ends.
    #[inline]
    pub fn adjoin(&self, other: &PfnRange) -> Option<PfnRange> {
        if self.end() == other.start {
            Self::new(self.start, self.pages.checked_add(other.pages)?)
        } else if other.end() == self.start {
            Self::new(other.start, self.pages.checked_add(other.pages)?)
        } else {
            None
        }
    }

    /// Returns the aligned blocks of `2^order` pages that lie whole within this range and within
    /// `window`.
    ///
    /// A block that crosses an end of either is left out.
    pub fn clip(&self, window: &PfnRange, order: u32) -> Option<PfnRange> {
        let block = 1usize.checked_shl(order)?;
        let mask = block.wrapping_sub(1);
        let start = self.start.max(window.start).checked_add(mask)? & !mask;
        let end = self.end().min(window.end()) & !mask;
        Self::new(start, end.checked_sub(start)?)
    }

    /// Returns the blocks of `2^order` pages that it is made of, in order of addresses.
    ///
    /// What is left at its end, if anything, is less than a block.
    pub fn blocks(&self, order: u32) -> impl Iterator<Item = PfnRange> {
        let (mut pfn, end) = (self.start, self.end());
        core::iter::from_fn(move || {
            let block = Self::block(pfn, order).filter(|block| block.end() <= end)?;
            pfn = block.end();
            Some(block)
        })
    }

    /// Splits off what comes after the first `pages` pages.
    ///
    /// Returns [`None`], and changes nothing, if one of the two would be empty.
    pub fn split_off(&mut self, pages: usize) -> Option<PfnRange> {
        let rest = Self::new(
            self.start.checked_add(pages)?,
            self.pages.checked_sub(pages)?,
        )?;
        *self = Self::new(self.start, pages)?;
        Some(rest)
    }
}

impl Run for PfnRange {
    #[inline]
    fn range(&self) -> PfnRange {
        *self
    }

    #[inline]
    fn join(&mut self, other: Self) -> Result<(), Self> {
        *self = self.adjoin(&other).ok_or(other)?;
        Ok(())
    }
}

#[cfg(CONFIG_RUST_KERNEL_NEXT_KUNIT_TEST)]
#[kunit_tests(rust_kernel_pfn_range)]
mod tests {
    use super::*;
    use crate::testing::Random;

    #[test]
    fn refuses_empty_and_wrapping() {
        assert_eq!(PfnRange::new(7, 0), None);
        assert_eq!(PfnRange::new(usize::MAX, 1), None);
        assert_eq!(PfnRange::block(0, usize::BITS), None);
        assert!(PfnRange::new(usize::MAX - 1, 1).is_some());
    }

    #[test]
    fn adjoins_on_both_sides_only() -> Result {
        let a = PfnRange::new(8, 8).ok_or(EINVAL)?;
        let b = PfnRange::new(16, 4).ok_or(EINVAL)?;
        let c = PfnRange::new(21, 4).ok_or(EINVAL)?;
        assert_eq!(a.adjoin(&b), PfnRange::new(8, 12));
        assert_eq!(b.adjoin(&a), PfnRange::new(8, 12));
        assert_eq!(b.adjoin(&c), None);
        assert_eq!(a.adjoin(&a), None);
        Ok(())
    }

    #[test]
    fn clip_keeps_exactly_the_whole_blocks() -> Result {
        let mut random = Random::new(1);
        for _ in 0..2000 {
            let run = PfnRange::new(random.below(64), 1 + random.below(64)).ok_or(EINVAL)?;
            let window = PfnRange::new(random.below(64), 1 + random.below(64)).ok_or(EINVAL)?;
            // CAST: Less than five.
            let order = random.below(5) as u32;
            let clipped = run.clip(&window, order);
            // One block at a time, as a model.
            let mut pfn = 0;
            while let Some(block) = PfnRange::block(pfn, order).filter(|b| b.end() <= 256) {
                let whole = run.contains(&block) && window.contains(&block);
                assert_eq!(whole, clipped.is_some_and(|c| c.contains(&block)));
                assert_eq!(whole, clipped.is_some_and(|c| c.overlaps(&block)));
                pfn = block.end();
            }
        }
        Ok(())
    }

    #[test]
    fn split_off_loses_nothing() -> Result {
        let mut run = PfnRange::new(100, 10).ok_or(EINVAL)?;
        assert_eq!(run.split_off(0), None);
        assert_eq!(run.split_off(10), None);
        assert_eq!(run.split_off(11), None);
        assert_eq!(run.split_off(4), PfnRange::new(104, 6));
        assert_eq!(Some(run), PfnRange::new(100, 4));
        Ok(())
    }
}
