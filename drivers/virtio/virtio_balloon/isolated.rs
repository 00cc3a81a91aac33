// SPDX-License-Identifier: GPL-2.0

//! Free blocks that are isolated for the host. Contract: *isolated*.
//!
//! They are out of the page allocator, so that nobody can write to them, until the host has
//! acknowledged the buffer or the report that they are in. They were not allocated, so that nothing
//! is zeroed, and nothing has to be freed again: they are put back, and the next ones follow.
//!
//! How much is out at any time is bounded by [`LIMITS`]. If the guest has no memory left
//! nevertheless, it waits for the host before somebody is killed: that is [`IsolatedPages`] as an
//! [`OomHandler`].

use kernel::{
    fmt,
    mm::{
        IsolatedRun,
        IsolatedRuns,
        IsolationLimits,
        OomHandler,
        PfnRange,
        Run, //
    },
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full, //
        },
        Arc, //
    }, //
};

use crate::{
    counters::IsolationCounters,
    oom,
    shown_file::Show, //
};

/// How much is isolated at once, at most.
///
/// A quarter of what a zone can spare is little enough for others not to notice, and the memory of
/// a large guest takes a few steps only. More than 2 GiB would not make it faster: QEMU takes one
/// buffer after the other, and those of a guest that has so much are of 1 GiB.
pub(crate) const LIMITS: IsolationLimits = IsolationLimits {
    pages: (2 << 30) / PAGE_SIZE,
    blocks: 4096,
    share_shift: 2,
};

/// The account of what is isolated.
pub(crate) struct IsolatedPages {
    pub(crate) counters: IsolationCounters,
    /// Pages that were put back since the guest last had no memory left.
    put_back: Atomic<usize>,
}

impl IsolatedPages {
    /// Opens an account.
    pub(crate) fn new() -> Self {
        Self {
            counters: IsolationCounters::new(),
            put_back: Atomic::new(0),
        }
    }

    /// Returns the number of pages that are isolated.
    pub(crate) fn pages(&self) -> usize {
        usize::try_from(self.counters.pages.get()).unwrap_or(usize::MAX)
    }

    /// Enters a run that was just isolated.
    pub(crate) fn enter(self: &Arc<Self>, run: IsolatedRun) -> Entered<IsolatedRun> {
        let pages = run.range().pages();
        self.counters.isolate(pages);
        Entered {
            blocks: run,
            entry: Entry {
                pages,
                account: self.clone(),
            },
        }
    }

    /// Returns a place for runs that are to be isolated.
    pub(crate) fn open(self: &Arc<Self>) -> Entered<IsolatedRuns> {
        Entered {
            blocks: IsolatedRuns::new(),
            entry: Entry {
                pages: 0,
                account: self.clone(),
            },
        }
    }
}

/// Isolated blocks that are entered in an account. Dropping it puts them back, then strikes them
/// out.
pub(crate) struct Entered<B> {
    // Dropped first: who sees that nothing is isolated any more may count on the memory.
    blocks: B,
    entry: Entry,
}

impl Entered<IsolatedRun> {
    /// Returns the run.
    pub(crate) fn run(&self) -> &IsolatedRun {
        &self.blocks
    }
}

impl Entered<IsolatedRuns> {
    /// Adds a run that was just isolated.
    pub(crate) fn push(&mut self, run: IsolatedRun) {
        let pages = run.range().pages();
        self.entry.account.counters.isolate(pages);
        self.entry.pages = self.entry.pages.saturating_add(pages);
        self.blocks.push(run);
    }
}

impl<B> Entered<B> {
    /// Returns the number of pages.
    pub(crate) fn pages(&self) -> usize {
        self.entry.pages
    }
}

impl Run for Entered<IsolatedRun> {
    fn range(&self) -> PfnRange {
        self.blocks.range()
    }

    fn join(&mut self, mut other: Self) -> Result<(), Self> {
        match self.blocks.join(other.blocks) {
            Ok(()) => {
                // Now they are of this entry.
                let pages = core::mem::take(&mut other.entry.pages);
                self.entry.pages = self.entry.pages.saturating_add(pages);
                Ok(())
            }
            Err(blocks) => {
                other.blocks = blocks;
                Err(other)
            }
        }
    }
}

struct Entry {
    pages: usize,
    account: Arc<IsolatedPages>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        // In this order: who sees that nothing is isolated any more has to see what became of it.
        self.account.put_back.fetch_add(self.pages, Full);
        self.account.counters.pages.sub(self.pages);
    }
}

/// Like that of what is held, except that nothing can be given back before the host is done with
/// it.
impl Show for IsolatedPages {
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.counters.show(f)
    }
}

impl OomHandler for IsolatedPages {
    fn free_pages(&self) -> usize {
        oom::wait_for_hints(|| {
            let isolated = self.pages();
            (isolated, self.put_back.xchg(0, Full))
        })
    }
}
