// SPDX-License-Identifier: GPL-2.0

//! The `walk` strategy: hints from the free lists. Contract: *hint*.
//!
//! Nothing is allocated, and no page is touched. A page that is reported may be in use again, so
//! the host may leave it out only if it is sure to notice each write since it took the request.

use kernel::{
    mm::{
        Batch,
        FreeWalk,
        PfnRange,
        RunSet, //
    },
    sync::Arc, //
};

use crate::{
    counters::HintCounters,
    policy::Policy,
    source::{
        Gathered,
        MAX_RUN_PAGES,
        RUNS, //
    }, //
};

/// A walk, and what it has found.
pub(crate) struct Walk {
    walk: FreeWalk,
    runs: RunSet<PfnRange, RUNS>,
    counters: Arc<HintCounters>,
}

impl Walk {
    /// Starts a walk. It must not be started before the request was read.
    pub(crate) fn new(policy: &Policy, counters: Arc<HintCounters>) -> Self {
        Self {
            walk: FreeWalk::new(policy.hint_order, policy.walk_batch),
            runs: RunSet::new(),
            counters,
        }
    }

    /// Walks on for one hold of a zone's lock.
    pub(crate) fn gather(&mut self) -> Gathered {
        match self.walk.batch(&mut self.runs) {
            Batch::More => Gathered::More,
            Batch::Full => Gathered::Enough,
            Batch::Done => Gathered::All,
        }
    }

    /// Takes a run to send.
    pub(crate) fn take(&mut self) -> Option<PfnRange> {
        let mut range = self.runs.take_longest()?;
        if let Some(rest) = range.split_off(MAX_RUN_PAGES) {
            self.put_back(rest);
        }
        Some(range)
    }

    /// Takes a run back, for which there is room as it was just taken out.
    pub(crate) fn put_back(&mut self, range: PfnRange) {
        let _ = self.runs.add(range);
    }
}

impl Drop for Walk {
    fn drop(&mut self) {
        self.counters.walked(self.walk.stats());
    }
}
