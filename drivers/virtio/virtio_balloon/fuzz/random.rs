// SPDX-License-Identifier: GPL-2.0

//! Numbers that follow from a seed.

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// A pseudo-random number generator (SplitMix64).
pub(super) struct Random(u64);

/// Returns the word of a step, whatever the other steps are: so they can be left out.
pub(super) fn mix(seed: u64, step: u64) -> u64 {
    let first = Random(seed).next();
    Random(first ^ step.wrapping_mul(GOLDEN)).next()
}

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the next 64 bits.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
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
