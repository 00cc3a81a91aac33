// SPDX-License-Identifier: GPL-2.0

//! Where the hints of a round come from.

use kernel::{
    mm::{
        IsolatedRun,
        PageRun,
        PfnRange,
        Run,
        MAX_PAGE_ORDER, //
    },
    page::PAGE_SIZE,
    virtio::{
        Buffer,
        OutBuffer,
        Segment, //
    }, //
};

use crate::{
    answers::Answer,
    events::Mode,
    hold::Hold,
    isolate::Isolate,
    isolated::Entered,
    walk::Walk, //
};

/// Number of runs that are collected before some are sent.
///
/// In a guest that has been up for a while neighbours are freed far apart from each other, and so
/// come far apart: the more are collected, the fewer and longer they become.
pub(crate) const RUNS: usize = 512;

/// Most pages in one buffer: its length in bytes has 32 bits, and it ends with a whole block.
pub(crate) const MAX_RUN_PAGES: usize =
    // CAST: `usize` has at least 32 bits.
    (u32::MAX as usize / PAGE_SIZE) & !((1 << MAX_PAGE_ORDER) - 1);

/// A buffer in the free page queue.
pub(crate) enum HintBuffer {
    /// A command id.
    Id(OutBuffer<u32>),
    /// Pages that are ours until the host returns the buffer.
    Held(PageRun),
    /// Pages that were free a moment ago.
    Walked(PfnRange),
    /// Pages that are nobody's until the host returns the buffer.
    Isolated(Entered<IsolatedRun>),
}

impl HintBuffer {
    /// Returns the pages that it hints at.
    pub(crate) fn range(&self) -> Option<PfnRange> {
        match self {
            Self::Id(_) => None,
            Self::Held(run) => Some(run.range()),
            Self::Walked(range) => Some(*range),
            Self::Isolated(entered) => Some(entered.range()),
        }
    }
}

impl Buffer for HintBuffer {
    fn segment(&self) -> Segment<'_> {
        match self {
            Self::Id(id) => id.segment(),
            Self::Held(run) => Segment::pages(run),
            Self::Walked(range) => Segment::hint(*range),
            Self::Isolated(entered) => Segment::isolated(entered.run()),
        }
    }
}

/// What a source has to say after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gathered {
    /// There is more to gather.
    More,
    /// There is enough to send some.
    Enough,
    /// There is more to gather when the host has returned some of what it has.
    Later,
    /// There is nothing more to gather.
    All,
}

/// Gathers runs of free blocks, one round after the other.
pub(crate) enum Source {
    /// The `hold` strategy.
    Hold(Hold),
    /// The `walk` strategy.
    Walk(Walk),
    /// The `isolate` strategy.
    Isolate(Isolate),
}

impl Source {
    /// Starts a round. It must not be started before the request was read.
    pub(crate) fn start(&mut self) {
        match self {
            Self::Hold(hold) => hold.start(),
            Self::Walk(walk) => walk.start(),
            Self::Isolate(isolate) => isolate.start(),
        }
    }

    /// Ends a round: what was gathered for it and not sent is given up.
    pub(crate) fn end(&mut self) {
        match self {
            Self::Hold(hold) => hold.end(),
            Self::Walk(walk) => walk.end(),
            Self::Isolate(isolate) => isolate.end(),
        }
    }

    /// Gathers for a bounded time, for an answer.
    pub(crate) fn gather(&mut self, answer: &mut Answer) -> Gathered {
        match self {
            Self::Hold(hold) => hold.gather(answer),
            Self::Walk(walk) => walk.gather(answer),
            Self::Isolate(isolate) => isolate.gather(answer),
        }
    }

    /// Returns how it looks for pages.
    pub(crate) fn mode(&self) -> Mode {
        match self {
            Self::Hold(_) => Mode::Hold,
            Self::Walk(_) => Mode::Walk,
            Self::Isolate(_) => Mode::Isolate,
        }
    }

    /// Takes a run to send, at most [`MAX_RUN_PAGES`] long.
    ///
    /// The longest comes first: the host races with its own migration, and may be slow for each
    /// buffer.
    pub(crate) fn take(&mut self) -> Option<HintBuffer> {
        match self {
            Self::Hold(hold) => hold.take().map(HintBuffer::Held),
            Self::Walk(walk) => walk.take().map(HintBuffer::Walked),
            Self::Isolate(isolate) => isolate.take().map(HintBuffer::Isolated),
        }
    }

    /// Takes a run back that could not be sent yet.
    pub(crate) fn put_back(&mut self, buffer: HintBuffer) {
        match (self, buffer) {
            (Self::Hold(hold), HintBuffer::Held(run)) => hold.put_back(run),
            (Self::Walk(walk), HintBuffer::Walked(range)) => walk.put_back(range),
            (Self::Isolate(isolate), HintBuffer::Isolated(run)) => isolate.put_back(run),
            _ => {}
        }
    }
}
