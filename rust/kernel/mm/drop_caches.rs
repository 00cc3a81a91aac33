// SPDX-License-Identifier: GPL-2.0

//! Dropping of caches, as `/proc/sys/vm/drop_caches` does it.

use crate::{
    bindings,
    error::to_result,
    fmt,
    prelude::*, //
};

/// Caches that the kernel can drop. They may be combined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caches(u8);

impl Caches {
    /// None.
    pub const NONE: Self = Self(0);

    /// Clean pages of files that nobody has mapped.
    pub const PAGE_CACHE: Self = Self(1);

    /// Slab objects that can be reclaimed: dentries and inodes, most of all.
    pub const SLAB: Self = Self(2);

    /// Both.
    pub const ALL: Self = Self(3);

    /// Returns the caches of a number as it is written to `drop_caches`, or 0 for none.
    ///
    /// Returns [`None`] for any other number.
    pub fn from_bits(bits: u8) -> Option<Self> {
        (bits <= Self::ALL.0).then_some(Self(bits))
    }

    /// Returns the number of [`Self::from_bits`].
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Returns whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns those that are among `other`, too.
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl fmt::Display for Caches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::NONE => "no caches",
            Self::PAGE_CACHE => "the page cache",
            Self::SLAB => "slab caches",
            _ => "the page cache and slab caches",
        })
    }
}

/// Drops caches.
///
/// It takes as long as it takes: seconds where there is much in them, and until a file system that
/// somebody has locked is unlocked. The kernel leaves a line in its log.
///
/// Must be called from a context that may sleep, without locks. Returns an error if the file
/// system `proc` is not where it belongs.
pub fn drop_caches(caches: Caches) -> Result {
    if caches.is_empty() {
        return Ok(());
    }
    // SAFETY: The number is one of those that the file takes.
    to_result(unsafe { bindings::next_drop_caches(c_uint::from(caches.0)) })
}
