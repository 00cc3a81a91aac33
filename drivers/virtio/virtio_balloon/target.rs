// SPDX-License-Identifier: GPL-2.0

//! Where the size of the balloon has to go, without the device and without pages.
//!
//! The host counts in *balloon pages* of 4 KiB, the guest in its own pages, which may be larger.

use kernel::{
    bindings,
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
};

/// Balloon pages in a page of the guest.
pub(crate) const BALLOON_PAGES_PER_PAGE: usize = PAGE_SIZE >> bindings::VIRTIO_BALLOON_PFN_SHIFT;

/// Returns the number of guest pages that the host's target comes to.
///
/// It is rounded up: otherwise a balloon of whole pages would be too small for it for ever.
pub(crate) fn pages_for_target(balloon_pages: u32) -> usize {
    // CAST: `usize` has at least 32 bits.
    (balloon_pages as usize).div_ceil(BALLOON_PAGES_PER_PAGE)
}

/// Returns what to tell the host of a number of guest pages.
pub(crate) fn balloon_pages(pages: usize) -> u32 {
    u32::try_from(pages.saturating_mul(BALLOON_PAGES_PER_PAGE)).unwrap_or(u32::MAX)
}

/// Returns the number of the first balloon page of a page, if each of its balloon pages has a
/// number that the 32 bits of the queue can hold: those of the first 16 TiB.
pub(crate) fn first_balloon_pfn(pfn: usize) -> Option<u32> {
    const SHIFT: u32 =
        // CAST: A small constant.
        PAGE_SHIFT as u32 - bindings::VIRTIO_BALLOON_PFN_SHIFT;
    let first = pfn.checked_mul(1 << SHIFT)?;
    u32::try_from(first.checked_add((1 << SHIFT) - 1)?).ok()?;
    u32::try_from(first).ok()
}

/// The pages of a balloon, in pages of the guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// What is wanted.
    pub(crate) target: usize,
    /// In the balloon, and acknowledged.
    pub(crate) inside: usize,
    /// On the way in: the host has not acknowledged them.
    pub(crate) entering: usize,
    /// On the way out: the host has not acknowledged them, and they may not be used.
    pub(crate) leaving: usize,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Put at most this many pages in.
    Inflate(usize),
    /// Take at most this many pages out.
    Deflate(usize),
    /// Wait for the host.
    Wait,
    /// Nothing, until there is another target.
    Settled,
}

impl Sizes {
    /// Returns what to do next, as far as it can be done with the pages that are not on the way.
    pub(crate) fn step(&self) -> Step {
        let expected = self.inside.saturating_add(self.entering);
        if self.target > expected {
            return Step::Inflate(self.target.saturating_sub(expected));
        }
        if self.target < self.inside {
            return Step::Deflate(self.inside.saturating_sub(self.target));
        }
        if self.entering > 0 || self.leaving > 0 {
            return Step::Wait;
        }
        Step::Settled
    }

    /// Returns the size as the host knows it, in balloon pages.
    pub(crate) fn actual(&self) -> u32 {
        balloon_pages(self.inside.saturating_add(self.leaving))
    }
}

#[cfg(CONFIG_VIRTIO_BALLOON_KUNIT_TEST)]
#[kernel::prelude::kunit_tests(rust_virtio_balloon_target)]
mod tests {
    use super::*;
    use kernel::testing::Random;

    #[test]
    fn numbers_fit() {
        assert_eq!(pages_for_target(0), 0);
        assert_eq!(pages_for_target(1), 1);
        let most = pages_for_target(u32::MAX);
        assert!(most * BALLOON_PAGES_PER_PAGE >= u32::MAX as usize);
        assert_eq!(balloon_pages(most), u32::MAX);
        assert_eq!(balloon_pages(usize::MAX), u32::MAX);

        assert_eq!(first_balloon_pfn(0), Some(0));
        let last = (u32::MAX as usize) / BALLOON_PAGES_PER_PAGE;
        assert!(first_balloon_pfn(last).is_some());
        assert_eq!(first_balloon_pfn(last + 1), None);
        assert_eq!(first_balloon_pfn(usize::MAX), None);
    }

    #[test]
    fn what_leaves_is_the_hosts_until_it_says_so() {
        let sizes = Sizes {
            target: 1,
            inside: 1,
            entering: 0,
            leaving: 2,
        };
        assert_eq!(sizes.actual(), balloon_pages(3));
        assert_eq!(sizes.step(), Step::Wait);
    }

    /// Whatever the target does and whatever the guest can spare, a balloon that follows the steps
    /// gets there once the target rests, and never takes more than is asked for.
    #[test]
    fn the_steps_lead_to_the_target() {
        let mut generator = Random::new(4);
        let mut random = |bound| generator.below(bound);
        for _ in 0..200 {
            let mut sizes = Sizes::default();
            for round in 0..2000 {
                // The target rests for the second half.
                if round < 1000 && random(20) == 0 {
                    sizes.target = random(5000);
                }
                match sizes.step() {
                    Step::Inflate(pages) => {
                        assert!(sizes.inside + sizes.entering + pages <= sizes.target);
                        sizes.entering += pages.min(random(300));
                    }
                    Step::Deflate(pages) => {
                        // O4: only when the target is below what is in the balloon.
                        assert!(sizes.inside > sizes.target);
                        assert!(sizes.inside - pages >= sizes.target);
                        let taken = pages.min(random(300));
                        sizes.inside -= taken;
                        sizes.leaving += taken;
                    }
                    Step::Wait => assert!(sizes.entering + sizes.leaving > 0),
                    Step::Settled => {
                        assert_eq!(sizes.inside, sizes.target);
                        assert_eq!(sizes.actual(), balloon_pages(sizes.target));
                    }
                }
                // The host acknowledges some, or all in the end.
                if round > 1990 || random(2) == 0 {
                    sizes.inside += core::mem::take(&mut sizes.entering);
                    sizes.leaving = 0;
                }
            }
            assert_eq!(sizes.step(), Step::Settled);
        }
    }
}
