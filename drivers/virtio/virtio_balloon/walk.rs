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
    prelude::*,
    sync::Arc, //
};

use crate::{
    answers::Answer,
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
    policy: Policy,
    walk: FreeWalk,
    runs: RunSet<PfnRange>,
    counters: Arc<HintCounters>,
}

impl Walk {
    /// Creates a source that has not been started.
    pub(crate) fn new(policy: Policy, counters: Arc<HintCounters>) -> Result<Self> {
        Ok(Self {
            policy,
            walk: FreeWalk::new(policy.hint_order, policy.walk_batch),
            runs: RunSet::new(RUNS)?,
            counters,
        })
    }

    /// Starts a walk from the beginning.
    pub(crate) fn start(&mut self) {
        self.walk = FreeWalk::new(self.policy.hint_order, self.policy.walk_batch);
    }

    /// Ends the walk, and forgets what it has found.
    pub(crate) fn end(&mut self) {
        while self.runs.take_longest().is_some() {}
        self.counters.walked(self.walk.stats());
        self.start();
    }

    /// Walks on for one hold of a zone's lock.
    pub(crate) fn gather(&mut self, answer: &mut Answer) -> Gathered {
        let batch = self.walk.batch(&mut self.runs);
        answer.held(self.walk.last_hold());
        match batch {
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
