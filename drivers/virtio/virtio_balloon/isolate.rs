// SPDX-License-Identifier: GPL-2.0

//! The `isolate` strategy: hints from blocks that are isolated meanwhile. Contract: *isolated*.
//!
//! Some blocks are taken out of the page allocator, sent, and put back when the host has
//! acknowledged them; then come the next. So nobody can write to a block from before the host takes
//! it out of the migration until after that, and nothing is allocated or zeroed for it.
//!
//! The host migrates from the lowest addresses on. The guest begins with the highest ones, so as
//! to be the first to reach most of them.

use core::num::NonZero;
use kernel::{
    mm::{
        Isolated,
        IsolatedRun,
        Isolation,
        Nodes,
        RunSet, //
    },
    page::PAGE_SIZE,
    prelude::*,
    sync::Arc, //
};

use crate::{
    answers::Answer,
    counters::HintCounters,
    isolated::{
        Entered,
        IsolatedPages,
        LIMITS, //
    },
    policy::Policy,
    source::{
        Gathered,
        MAX_RUN_PAGES,
        RUNS, //
    }, //
};

// A run is never longer than what is isolated in all, and so fits into a buffer.
static_assert!(LIMITS.pages <= MAX_RUN_PAGES);

/// Pages that are looked for at once, and whose runs are sent together.
///
/// Few and large buffers are worth more than early ones, see the `hold` strategy.
const WINDOW_PAGES: usize = (1 << 30) / PAGE_SIZE;

/// The blocks of a round that are isolated, and were not sent yet.
pub(crate) struct Isolate {
    order: u32,
    batch: NonZero<usize>,
    /// Where the window begins, and all that is still to come ends.
    window: usize,
    isolation: Option<Isolation>,
    runs: RunSet<Entered<IsolatedRun>>,
    /// A run for which there was no room.
    spare: Option<Entered<IsolatedRun>>,
    account: Arc<IsolatedPages>,
    counters: Arc<HintCounters>,
}

impl Isolate {
    /// Creates a source that has not been started.
    pub(crate) fn new(
        policy: Policy,
        account: Arc<IsolatedPages>,
        counters: Arc<HintCounters>,
    ) -> Result<Self> {
        Ok(Self {
            order: policy.hint_order,
            batch: policy.walk_batch,
            window: 0,
            isolation: None,
            runs: RunSet::new(RUNS)?,
            spare: None,
            account,
            counters,
        })
    }

    /// Starts above all memory.
    pub(crate) fn start(&mut self) {
        self.window = Nodes::end_pfn();
        self.isolation = None;
    }

    /// Puts back what the host has not heard of.
    pub(crate) fn end(&mut self) {
        while self.take().is_some() {}
        self.leave_window();
    }

    /// Isolates some blocks.
    pub(crate) fn gather(&mut self, answer: &mut Answer) -> Gathered {
        if self.spare.is_some() {
            return Gathered::Enough;
        }
        let Some(isolation) = self.isolation.as_mut() else {
            return self.next_window();
        };
        let step = isolation.step(&LIMITS, self.account.pages());
        answer.held(isolation.last_hold());
        match step {
            Isolated::Run(run) => {
                self.spare = self.runs.add(self.account.enter(run)).err();
                Gathered::More
            }
            Isolated::Nothing => Gathered::More,
            Isolated::Short if !self.runs.is_empty() => Gathered::Enough,
            Isolated::Short if self.account.pages() > 0 => {
                self.account.counters.waits.add(1);
                Gathered::Later
            }
            Isolated::Short => {
                isolation.skip_zone();
                Gathered::More
            }
            Isolated::Done => {
                self.leave_window();
                if self.runs.is_empty() {
                    Gathered::More
                } else {
                    Gathered::Enough
                }
            }
        }
    }

    /// Goes on with the window below.
    fn next_window(&mut self) -> Gathered {
        let Some(last) = self.window.checked_sub(1) else {
            return Gathered::All;
        };
        // The largest block is a fraction of a window, so none crosses its ends.
        let start = last & !(WINDOW_PAGES - 1);
        let isolation = Isolation::new(start, self.window, self.order, self.batch);
        self.window = start;
        self.isolation = Some(isolation);
        Gathered::More
    }

    fn leave_window(&mut self) {
        if let Some(isolation) = self.isolation.take() {
            self.counters.walked(isolation.stats());
        }
    }

    /// Takes a run to send.
    pub(crate) fn take(&mut self) -> Option<Entered<IsolatedRun>> {
        self.runs.take_longest().or_else(|| self.spare.take())
    }

    /// Takes a run back, for which there is room as it was just taken out.
    pub(crate) fn put_back(&mut self, run: Entered<IsolatedRun>) {
        if let Err(run) = self.runs.add(run) {
            self.spare = Some(run);
        }
    }
}
