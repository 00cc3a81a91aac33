// SPDX-License-Identifier: GPL-2.0

//! What the driver counts, and shows in debugfs.

use kernel::{
    fmt,
    mm::WalkStats,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};

use crate::policy::Strategy;

/// A number that only grows, or that goes up and down.
pub(crate) struct Counter(Atomic<u64>);

impl Counter {
    const fn new() -> Self {
        Self(Atomic::new(0))
    }

    pub(crate) fn add(&self, amount: usize) {
        // CAST: Counts fit into 64 bits.
        self.0.fetch_add(amount as u64, Relaxed);
    }

    pub(crate) fn sub(&self, amount: usize) {
        // CAST: As above.
        self.0.fetch_sub(amount as u64, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Raises it to `value` if that is more. For a single writer.
    fn raise(&self, value: u64) {
        if value > self.get() {
            self.0.store(value, Relaxed);
        }
    }
}

impl fmt::Display for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.get(), f)
    }
}

macro_rules! counters {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// The counters of free page hinting, since the driver was bound.
        ///
        /// Page counts are in pages of the guest.
        pub(crate) struct HintCounters {
            strategy: Strategy,
            batch_limit: usize,
            $($(#[doc = $doc])* pub(crate) $name: Counter,)*
        }

        impl HintCounters {
            /// Creates counters that are all zero.
            pub(crate) fn new(strategy: Strategy, batch_limit: usize) -> Self {
                Self {
                    strategy,
                    batch_limit,
                    $($name: Counter::new(),)*
                }
            }

            /// Writes a line for each counter.
            pub(crate) fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_fmt(fmt!("strategy: {}\n", self.strategy))?;
                f.write_fmt(fmt!("batch_limit: {}\n", self.batch_limit))?;
                $(f.write_fmt(fmt!("{}: {}\n", stringify!($name), self.$name))?;)*
                Ok(())
            }
        }
    };
}

counters! {
    /// Rounds that were opened.
    requests,
    /// Rounds that went on until there were no more pages.
    completed,
    /// Rounds that the host ended before.
    interrupted,
    /// Buffers that were given to the device, those with a command id included.
    elements,
    /// Times that the device was notified.
    notifications,
    /// Runs that were sent.
    runs,
    /// Pages in these.
    pages,
    /// Times that the ring was full.
    ring_full,
    /// Blocks that were allocated.
    allocated_blocks,
    /// Pages that are held now.
    held_pages,
    /// Most pages that were held.
    held_pages_max,
    /// Pages that were given back early because the guest ran short.
    shrunk_pages,
    /// Holds of a zone's lock.
    walk_batches,
    /// Free list entries that were looked at.
    walk_entries,
    /// Times that the place in a free list was lost.
    walk_restarts,
    /// Most entries under one hold.
    max_batch_entries,
    /// Longest hold, in nanoseconds.
    longest_hold_ns,
}

impl HintCounters {
    /// Counts pages that are held from now on.
    pub(crate) fn hold(&self, pages: usize) {
        self.allocated_blocks.add(1);
        self.held_pages.add(pages);
        self.held_pages_max.raise(self.held_pages.get());
    }

    /// Counts a walk.
    pub(crate) fn walked(&self, stats: &WalkStats) {
        self.walk_batches.add(stats.batches);
        self.walk_entries.add(stats.entries);
        self.walk_restarts.add(stats.restarts);
        // CAST: A count fits into 64 bits.
        self.max_batch_entries.raise(stats.most_entries as u64);
        self.longest_hold_ns.raise(stats.longest_hold_ns);
    }
}
