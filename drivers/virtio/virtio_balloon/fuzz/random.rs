// SPDX-License-Identifier: GPL-2.0

//! Numbers that follow from a seed.

use kernel::testing;

/// What keeps the words of neighbouring steps apart.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The tests' generator, with what a session needs.
pub(super) struct Random(testing::Random);

/// Returns the word of a step, whatever the other steps are: so they can be left out.
pub(super) fn mix(seed: u64, step: u64) -> u64 {
    let first = Random::new(seed).next();
    Random::new(first ^ step.wrapping_mul(GOLDEN)).next()
}

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(testing::Random::new(seed))
    }

    /// Returns the next 64 bits.
    pub(super) fn next(&mut self) -> u64 {
        self.0.word()
    }

    /// Returns a number below `bound`, or 0.
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        // CAST: The remainder is less than `bound`.
        self.next().checked_rem(u64::from(bound)).unwrap_or(0) as u32
    }

    /// Returns `true` once in `times`.
    pub(super) fn once_in(&mut self, times: u32) -> bool {
        self.below(times) == 0
    }

    /// Chooses one of some.
    pub(super) fn one_of<T: Copy>(&mut self, all: &[T], otherwise: T) -> T {
        // CAST: Short lists.
        let nth = self.below(all.len() as u32) as usize;
        all.get(nth).copied().unwrap_or(otherwise)
    }
}
