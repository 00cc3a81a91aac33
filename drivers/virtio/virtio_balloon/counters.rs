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

use crate::{
    policy::Strategy,
    shown::{
        BalloonState,
        BitmapState,
        HintState,
        Shown, //
    },
    shown_file::Show, //
};

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

    /// Sets it. For a single writer.
    pub(crate) fn set(&self, value: usize) {
        // CAST: As above.
        self.0.store(value as u64, Relaxed);
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
    (
        $(#[doc = $about:literal])*
        $Name:ident { $($setting:ident: $Setting:ty,)* }
        $($(#[doc = $doc:literal])* $name:ident,)*
    ) => {
        $(#[doc = $about])*
        pub(crate) struct $Name {
            $(pub(crate) $setting: $Setting,)*
            $($(#[doc = $doc])* pub(crate) $name: Counter,)*
        }

        impl $Name {
            /// Creates counters that are all zero.
            pub(crate) fn new($($setting: $Setting),*) -> Self {
                Self {
                    $($setting,)*
                    $($name: Counter::new(),)*
                }
            }
        }

        impl Show for $Name {
            /// Writes a line for each setting and each counter.
            fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $(f.write_fmt(fmt!("{}: {}\n", stringify!($setting), self.$setting))?;)*
                $(f.write_fmt(fmt!("{}: {}\n", stringify!($name), self.$name))?;)*
                Ok(())
            }
        }
    };
}

counters! {
    /// The counters of free page hinting, since the driver was bound.
    ///
    /// Page counts are in pages of the guest.
    HintCounters {
        strategy: Strategy,
        batch_limit: usize,
        state: Shown<HintState>,
    }
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

counters! {
    /// The counters of the balloon itself and of what else goes on beside hinting, since the driver
    /// was bound.
    ///
    /// Page counts are in pages of the guest, except where it says otherwise.
    BalloonCounters {
        state: Shown<BalloonState>,
    }
    /// Balloon pages (4 KiB) that the host wants now, aligned to pages of the guest.
    target,
    /// Balloon pages (4 KiB) that are in the balloon now.
    pages,
    /// Pages of these that are in blocks, as the kernel's allocator had them.
    block_pages,
    /// Pages that were put in.
    inflated,
    /// Pages that were taken out.
    deflated,
    /// Pages that the kernel has moved.
    migrated,
    /// Pages that were taken out because the guest had no memory left.
    oom_deflated,
    /// Times that memory was short, and the next attempt was put off.
    retries,
    /// Buffers with page numbers that were given to the device.
    requests,
    /// Times that statistics were given to the device.
    stats_updates,
    /// Reports of free blocks that the host has acknowledged.
    reports,
    /// Pages in these.
    reported_pages,
}

counters! {
    /// The counters of the free page bitmap, since the driver was bound.
    BitmapCounters {
        batch_limit: usize,
        state: Shown<BitmapState>,
    }
    /// Requests that were in order.
    requests,
    /// Requests that were overtaken by a newer one.
    overtaken,
    /// Requests that the host has cancelled.
    cancelled,
    /// Requests that were not in order.
    refused,
    /// Reports with a bitmap.
    reports,
    /// Bits in these.
    bits,
    /// Bits that were set: free blocks.
    blocks,
    /// Times that the device was notified.
    notifications,
    /// Times that caches were dropped.
    drops,
    /// How much more free memory there was afterwards, in balloon pages (4 KiB).
    dropped_pages,
    /// Holds of a zone's lock.
    batches,
    /// Free list entries that were looked at.
    entries,
    /// Times that the place in a free list was lost.
    restarts,
    /// Most entries under one hold.
    max_batch_entries,
    /// Longest hold, in nanoseconds.
    longest_hold_ns,
}

counters! {
    /// The counters of what is isolated for the host, since the driver was bound.
    ///
    /// Page counts are in pages of the guest.
    IsolationCounters {}
    /// Pages that are isolated now.
    pages,
    /// Most pages that were isolated.
    pages_max,
    /// Pages that were isolated, each time.
    isolated_pages,
    /// Times that more could be isolated only after the host had acknowledged some.
    waits,
}

impl IsolationCounters {
    /// Counts pages that are isolated from now on.
    pub(crate) fn isolate(&self, pages: usize) {
        self.pages.add(pages);
        self.isolated_pages.add(pages);
        self.pages_max.raise(self.pages.get());
    }
}

impl BitmapCounters {
    /// Counts a walk.
    pub(crate) fn walked(&self, stats: &WalkStats) {
        self.batches.add(stats.batches);
        self.entries.add(stats.entries);
        self.restarts.add(stats.restarts);
        // CAST: A count fits into 64 bits.
        self.max_batch_entries.raise(stats.most_entries as u64);
        self.longest_hold_ns.raise(stats.longest_hold_ns);
    }
}

impl HintCounters {
    /// Nothing is held any more: the device was reset, and what it had is free again.
    pub(crate) fn nothing_held(&self) {
        self.held_pages.set(0);
    }

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
