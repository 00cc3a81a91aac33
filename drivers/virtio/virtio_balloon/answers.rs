// SPDX-License-Identifier: GPL-2.0

//! The answers to what the host asks for, hints or bitmaps: what each came to, for whoever looks.
//!
//! An answer is told of when it begins and ends, and on the way there. Whatever ends it does so by
//! dropping it, at the latest, so that each beginning has its end.
//!
//! Lock order: the state of hinting or of the bitmap, then the last answer.

use kernel::{
    fmt,
    mm::{
        Caches,
        LockHold,
        PfnRange, //
    },
    new_mutex,
    prelude::*,
    scatter_bitmap::Part,
    sync::{
        Arc,
        Mutex, //
    },
};

use crate::{
    bitmap_request::{
        Dropped,
        Status,
        PAGE_FRAMES_SHIFT, //
    },
    clock::{
        elapsed,
        now, //
    },
    events::{
        CacheDrop,
        Ending,
        Hint,
        Kind,
        Mode,
        Report,
        RequestBegin,
        RequestEnd,
        RequestSeen,
        WalkBatch, //
    },
    shown_file::Show, //
};

/// The answers of a device to one kind of request.
#[pin_data]
pub(crate) struct Answers {
    dev: c_int,
    kind: Kind,
    /// Which caches the host may drop.
    allowed: Caches,
    /// The last one that was begun.
    #[pin]
    last: Mutex<Option<Last>>,
}

/// An answer, as it is shown.
#[derive(Clone, Copy)]
struct Last {
    id: u32,
    mode: Mode,
    order: u32,
    /// How it ended, how long it took in nanoseconds, and what it came to; [`None`] before.
    end: Option<(Ending, u64, Figures)>,
}

/// What an answer has come to. Pages are those of the guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Buffers with pages, or reports.
    pub(crate) elements: usize,
    /// Free blocks that were found, or bits that were set.
    pub(crate) blocks: usize,
    /// Pages that the host was told of.
    pub(crate) pages: usize,
    /// Bytes of bitmaps.
    pub(crate) bytes: usize,
    /// Holds of a zone's lock.
    pub(crate) holds: usize,
    /// The longest of them, in nanoseconds.
    pub(crate) longest_hold_ns: u64,
}

impl Answers {
    /// Opens the account of a device. `allowed` are the caches that the host may drop.
    pub(crate) fn new(dev: c_int, kind: Kind, allowed: Caches) -> impl PinInit<Self> {
        pin_init!(Self {
            dev,
            kind,
            allowed,
            last <- new_mutex!(None),
        })
    }

    /// The host has said something. `error` is a number of the specification, or 0.
    pub(crate) fn seen(&self, id: u32, error: u32) {
        RequestSeen::trace(|| RequestSeen {
            dev: self.dev,
            kind: self.kind,
            id,
            error,
        });
    }

    /// An answer begins, with blocks of at least this order.
    pub(crate) fn begin(self: &Arc<Self>, id: u32, mode: Mode, order: u32) -> Answer {
        RequestBegin::trace(|| RequestBegin {
            dev: self.dev,
            kind: self.kind,
            id,
            mode,
            order,
        });
        *self.last.lock() = Some(Last {
            id,
            mode,
            order,
            end: None,
        });
        Answer {
            all: self.clone(),
            id,
            mode,
            order,
            begun: now(),
            ending: Ending::Abandoned,
            figures: Figures::default(),
        }
    }
}

impl Show for Answers {
    /// Writes what the last one came to, a line for each figure. All are 0 before it has ended.
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = *self.last.lock();
        f.write_fmt(fmt!("kind: {}\n", self.kind))?;
        f.write_fmt(fmt!("id: {}\n", last.map_or(0, |last| last.id)))?;
        match last {
            Some(Last {
                end: Some((ending, ..)),
                ..
            }) => f.write_fmt(fmt!("outcome: {}\n", ending))?,
            Some(_) => f.write_str("outcome: in-progress\n")?,
            None => f.write_str("outcome: none\n")?,
        }
        match last {
            Some(last) => f.write_fmt(fmt!("mode: {}\norder: {}\n", last.mode, last.order))?,
            None => f.write_str("mode: none\norder: 0\n")?,
        }
        let end = last.and_then(|last| last.end);
        let (ns, figures) = end.map_or((0, Figures::default()), |(_, ns, figures)| (ns, figures));
        f.write_fmt(fmt!("ns: {}\n", ns))?;
        f.write_fmt(fmt!("elements: {}\n", figures.elements))?;
        f.write_fmt(fmt!("blocks: {}\n", figures.blocks))?;
        f.write_fmt(fmt!("pages: {}\n", figures.pages))?;
        f.write_fmt(fmt!("bytes: {}\n", figures.bytes))?;
        f.write_fmt(fmt!("holds: {}\n", figures.holds))?;
        f.write_fmt(fmt!("longest_hold_ns: {}\n", figures.longest_hold_ns))
    }
}

/// An answer that is under way.
pub(crate) struct Answer {
    all: Arc<Answers>,
    id: u32,
    mode: Mode,
    order: u32,
    /// In nanoseconds since the machine was started.
    begun: i64,
    ending: Ending,
    figures: Figures,
}

impl Answer {
    /// A step is over that may have held a zone's lock. The lock is free again: whoever traces does
    /// not make the hold longer.
    pub(crate) fn held(&mut self, hold: Option<&LockHold>) {
        let Some(hold) = hold else {
            return;
        };
        self.figures.holds = self.figures.holds.saturating_add(1);
        self.figures.longest_hold_ns = self.figures.longest_hold_ns.max(hold.ns);
        if self.all.kind == Kind::Hint {
            self.found(hold.blocks);
        }
        WalkBatch::trace(|| WalkBatch {
            dev: self.all.dev,
            id: self.id,
            mode: self.mode,
            nid: hold.zone.node_id(),
            zone: hold.zone.name(),
            order: self.order,
            entries: hold.entries,
            blocks: hold.blocks,
            pages: hold.pages,
            hold_ns: hold.ns,
        });
    }

    /// Free blocks were found, or allocated.
    pub(crate) fn found(&mut self, blocks: usize) {
        self.figures.blocks = self.figures.blocks.saturating_add(blocks);
    }

    /// The host has a buffer with these pages.
    pub(crate) fn hinted(&mut self, range: PfnRange) {
        self.figures.elements = self.figures.elements.saturating_add(1);
        self.figures.pages = self.figures.pages.saturating_add(range.pages());
        Hint::trace(|| Hint {
            dev: self.all.dev,
            id: self.id,
            pfn: range.start(),
            pages: range.pages(),
        });
    }

    /// The host gets a bitmap of `bytes` bytes with so many bits that are set.
    pub(crate) fn reported(&mut self, status: Status, part: &Part, blocks: usize, bytes: usize) {
        // At most the highest order.
        let pages_of = |blocks: usize| blocks.saturating_mul(1usize.wrapping_shl(self.order));
        let figures = &mut self.figures;
        figures.elements = figures.elements.saturating_add(1);
        figures.blocks = figures.blocks.saturating_add(blocks);
        figures.pages = figures.pages.saturating_add(pages_of(blocks));
        figures.bytes = figures.bytes.saturating_add(bytes);
        Report::trace(|| Report {
            dev: self.all.dev,
            id: self.id,
            status: u32::from(status.code()),
            order: self.order,
            pfn: usize::try_from(part.start_pfn >> PAGE_FRAMES_SHIFT).unwrap_or(usize::MAX),
            pages: pages_of(part.bits),
            bits: part.bits,
            blocks,
            bytes,
        });
    }

    /// A command to drop caches was seen to. It was begun at `since`, if it was begun at all.
    pub(crate) fn dropped(&self, asked: Caches, dropped: &Dropped, since: Option<i64>) {
        if asked.is_empty() {
            return;
        }
        CacheDrop::trace(|| CacheDrop {
            dev: self.all.dev,
            id: self.id,
            asked: u32::from(asked.bits()),
            allowed: u32::from(self.all.allowed.bits()),
            dropped: u32::from(dropped.caches.bits()),
            result: u32::from(dropped.result.code()),
            balloon_pages: dropped.pages,
            ns: since.map_or(0, elapsed),
        });
    }

    /// Says how it is going to end.
    pub(crate) fn ends(&mut self, ending: Ending) {
        self.ending = ending;
    }

    /// It ends.
    pub(crate) fn end(mut self, ending: Ending) {
        self.ends(ending);
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let figures = self.figures;
        let ns = elapsed(self.begun);
        *self.all.last.lock() = Some(Last {
            id: self.id,
            mode: self.mode,
            order: self.order,
            end: Some((self.ending, ns, figures)),
        });
        RequestEnd::trace(|| RequestEnd {
            dev: self.all.dev,
            kind: self.all.kind,
            id: self.id,
            outcome: self.ending,
            ns,
            elements: figures.elements,
            blocks: figures.blocks,
            pages: figures.pages,
            bytes: figures.bytes,
            holds: figures.holds,
            longest_hold_ns: figures.longest_hold_ns,
        });
    }
}
