// SPDX-License-Identifier: GPL-2.0

//! The free page bitmap (`VIRTIO_BALLOON_F_FREE_PAGE_BITMAP`). Contract: *hint*.
//!
//! Specification: `Documentation/virt/free-page-bitmap.rst`. The device has some request buffers of
//! ours. When it returns one with a request in it, the driver drops caches if it is to and may,
//! walks the free lists, and answers with a bitmap, or several.
//!
//! All is done by one work item, which is never blocked, as in [`crate::hint`].
//!
//! How much memory this takes does not depend on the guest's size nor on what the host does: there
//! is one bitmap, and a window that is too large for it is answered in several reports. Each
//! request buffer has a small answer with it, and goes out again only when the host has returned
//! the last report of the request: a host that asks without reading answers runs out of buffers.
//! All of them together always fit into the ring.

use kernel::{
    device,
    mm::{
        self,
        Batch,
        FreeWalk,
        Nodes, //
    },
    new_mutex,
    prelude::*,
    scatter_bitmap::{
        Outcome,
        Part,
        PartSink, //
    },
    sync::{
        Arc,
        Mutex, //
    },
    time::Msecs,
    virtio::{
        self,
        Buffer,
        DeviceWorkItem,
        InBuffer,
        OutBitmap,
        OutBuffer,
        Queue,
        SealedOutBitmap,
        Segment,
        Stop,
        Then,
        Virtqueue, //
    }, //
};

use crate::{
    bitmap_request::{
        DropResult,
        Dropped,
        RawReport,
        RawRequest,
        Request,
        Situation,
        Status,
        Wanted,
        PAGE_FRAMES_SHIFT, //
    },
    cache_drop::{
        Command,
        Dropping, //
    },
    counters::BitmapCounters,
    failure,
    outbox::Outbox,
    policy::Policy, //
};

/// Number of request buffers: one for the request in progress, one for the one that overtakes it,
/// and some for answers that the host has not read yet.
const SLOTS: usize = 4;

/// Most pieces of a bitmap: 128 KiB, for 4 GiB at order 0 and 2 TiB at order 9.
const PIECES: usize = 32;

/// The smallest ring that two request buffers and a report fit into.
pub(crate) const MIN_RING: usize = 4;

/// How often to look whether the caches have been dropped, in milliseconds.
const LOOK_AGAIN_MS: Msecs = 10;

/// A request buffer, and the answer to a request without a bitmap.
pub(crate) struct Slot {
    request: InBuffer<RawRequest>,
    answer: OutBuffer<RawReport>,
}

impl Slot {
    fn new() -> Result<Self> {
        Ok(Self {
            request: InBuffer::new(GFP_KERNEL)?,
            answer: OutBuffer::new(RawReport::default(), GFP_KERNEL)?,
        })
    }
}

/// What goes into the virtqueue.
pub(crate) enum BitmapBuffer {
    /// For the device to write a request.
    Request(Slot),
    /// The last report of a request, without a bitmap.
    Answer(Slot),
    /// A report with a bitmap.
    Report(SealedOutBitmap<RawReport>),
}

impl Buffer for BitmapBuffer {
    fn segment(&self) -> Segment<'_> {
        match self {
            Self::Request(slot) => slot.request.segment(),
            Self::Answer(slot) => slot.answer.segment(),
            Self::Report(report) => report.segment(),
        }
    }
}

/// Where the answer to a request is.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one, in a place that is allocated once"
)]
enum Phase {
    /// The caches are yet to be seen to.
    Taken,
    /// Caches are being dropped.
    Dropping(Dropping),
    /// The next part of the window needs the bitmap, which the host may have.
    NextPart,
    /// The free lists are being walked.
    Walking(Walking),
}

/// A part of the window that is being walked for.
struct Walking {
    walk: FreeWalk,
    part: Part,
    report: OutBitmap<RawReport>,
}

/// A request that is to be answered.
struct Job {
    wanted: Wanted,
    slot: Slot,
    dropped: Dropped,
}

/// The request that is in progress.
struct Current {
    job: Job,
    phase: Phase,
}

/// What the work item needs from one run to the next.
struct State {
    /// What is to go into the virtqueue: all slots and the bitmap at most.
    outbox: Outbox<BitmapBuffer, { SLOTS + 1 }>,
    /// Buffers were added that the device was not notified of.
    unnotified: bool,
    current: Option<Current>,
    /// The slot of the request whose last report the host has not returned yet.
    finished: Option<Slot>,
    /// The bitmap, unless it is in use.
    report: Option<OutBitmap<RawReport>>,
    /// The last request that was in order.
    last: Option<u32>,
    /// The device is broken.
    failed: bool,
}

impl State {
    /// Creates the state of a device that was just set up, and whose ring has `ring` descriptors.
    fn new(ring: usize) -> Result<Self> {
        // Two slots, a header, and a piece of the bitmap are the least.
        let slots = if ring < 2 * MIN_RING { 2 } else { SLOTS };
        let pieces = ring.saturating_sub(slots).saturating_sub(1).min(PIECES);
        let mut state = Self {
            outbox: Outbox::new(),
            unnotified: false,
            current: None,
            finished: None,
            report: Some(OutBitmap::new(RawReport::default(), pieces)?),
            last: None,
            failed: false,
        };
        for _ in 0..slots {
            state.outbox.push(BitmapBuffer::Request(Slot::new()?));
        }
        Ok(state)
    }

    /// Makes a request buffer ready for the next request.
    fn repost(&mut self, mut slot: Slot) {
        // What the device does not write must not pass for a part of the request.
        slot.request.clear();
        self.outbox.push(BitmapBuffer::Request(slot));
    }

    /// Answers without a bitmap.
    fn answer(&mut self, mut slot: Slot, report: RawReport) {
        slot.answer.set(report);
        self.outbox.push(BitmapBuffer::Answer(slot));
    }

    /// Ends the request that is in progress. Returns whether there is one.
    fn cancel(&mut self) -> bool {
        let Some(current) = self.current.take() else {
            return false;
        };
        let Job {
            wanted,
            slot,
            mut dropped,
        } = current.job;
        match current.phase {
            Phase::Walking(walking) => self.report = Some(walking.report),
            Phase::Dropping(dropping) => dropped = dropping.leave(),
            Phase::Taken | Phase::NextPart => {}
        }
        self.answer(slot, wanted.cancelled(&dropped));
        true
    }

    fn situation(&self) -> Situation {
        let end = Nodes::new().fold(0, |end, node| node.end_pfn().max(end));
        Situation {
            in_progress: self.current.as_ref().map(|current| current.job.wanted.id),
            last: self.last,
            // CAST: A page frame number fits into 64 bits.
            end_pfn: (end as u64).saturating_mul(1 << PAGE_FRAMES_SHIFT),
        }
    }
}

/// How to go on after a step.
enum Next {
    /// With another one.
    Step,
    /// With another one after a while, or when the host does something.
    Later,
    /// When the host does something.
    Wait,
}

/// The free page bitmap of a device.
#[pin_data]
pub(crate) struct Bitmap {
    policy: Policy,
    queue: Arc<Virtqueue<BitmapBuffer>>,
    pub(crate) counters: Arc<BitmapCounters>,
    #[pin]
    state: Mutex<State>,
}

impl Bitmap {
    /// Creates what the bitmap needs.
    ///
    /// The ring has `ring` descriptors, at least [`MIN_RING`].
    pub(crate) fn new(
        policy: Policy,
        queue: Arc<Virtqueue<BitmapBuffer>>,
        ring: usize,
        counters: Arc<BitmapCounters>,
    ) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(move || {
            let state = State::new(ring)?;
            Ok(try_pin_init!(Self {
                policy,
                queue,
                counters,
                state <- new_mutex!(state),
            }))
        })
    }

    /// Starts anew with a device that was reset. The work must not run.
    pub(crate) fn restore(&self, dev: &virtio::Device<device::Bound>) -> Result {
        // The device may have had some of the old buffers, and its ring may have another size.
        let ring = self.queue.bind(dev)?.size();
        let mut state = State::new(ring.max(MIN_RING))?;
        if ring < MIN_RING {
            failure::report(dev, "the free page bitmap", ENOSPC);
            state.failed = true;
        }
        *self.state.lock() = state;
        Ok(())
    }

    /// Takes back the buffers that the host has returned.
    fn reap(&self, queue: &Queue<'_, BitmapBuffer>, state: &mut State) {
        loop {
            let Some((buffer, len)) = queue.lock().get() else {
                return;
            };
            match buffer {
                BitmapBuffer::Request(slot) => self.follow(state, slot, len),
                BitmapBuffer::Answer(slot) => state.repost(slot),
                BitmapBuffer::Report(report) => {
                    state.report = Some(report.open());
                    if let Some(slot) = state.finished.take() {
                        state.repost(slot);
                    }
                }
            }
        }
    }

    /// Follows a request.
    fn follow(&self, state: &mut State, slot: Slot, len: u32) {
        // Once, and a copy: what the device writes later is of no consequence.
        let request = slot.request.read();
        match request.check(len, &state.situation()) {
            Ok(Request::Report(wanted)) => {
                self.counters.requests.add(1);
                if state.cancel() {
                    self.counters.overtaken.add(1);
                }
                state.last = Some(wanted.id);
                state.current = Some(Current {
                    job: Job {
                        wanted,
                        slot,
                        dropped: Dropped::none(DropResult::None),
                    },
                    phase: Phase::Taken,
                });
            }
            Ok(Request::Cancel) => {
                self.counters.cancelled.add(1);
                state.cancel();
                state.repost(slot);
            }
            Err(malformed) => {
                // Not to the log: the host could flood it.
                self.counters.refused.add(1);
                state.answer(slot, malformed.report());
            }
        }
    }

    /// Gives the host what is ready.
    fn send(&self, queue: &Queue<'_, BitmapBuffer>, state: &mut State) -> Result {
        while let Some(buffer) = state.outbox.pop() {
            if let Err(refused) = queue.lock().add(buffer) {
                state.outbox.put_back(refused.buffer);
                return Err(refused.error);
            }
            state.unnotified = true;
        }
        // A ring without event indexes may ask for a notification although there is nothing new.
        if state.unnotified {
            if queue.kick()? {
                self.counters.notifications.add(1);
            }
            state.unnotified = false;
        }
        Ok(())
    }

    /// Does the next thing for the request in progress.
    fn step(&self, state: &mut State) -> Next {
        let Some(Current { mut job, phase }) = state.current.take() else {
            return Next::Wait;
        };
        let (phase, next) = match phase {
            Phase::Taken => match self.policy.drop_caches.start(job.wanted.caches) {
                Command::Finished(dropped) => {
                    job.dropped = dropped;
                    (Phase::NextPart, Next::Step)
                }
                Command::Started(dropping) => {
                    self.counters.drops.add(1);
                    (Phase::Dropping(dropping), Next::Later)
                }
            },
            Phase::Dropping(dropping) => match dropping.poll() {
                Some(dropped) => {
                    let pages = usize::try_from(dropped.pages).unwrap_or(usize::MAX);
                    self.counters.dropped_pages.add(pages);
                    job.dropped = dropped;
                    (Phase::NextPart, Next::Step)
                }
                None => (Phase::Dropping(dropping), Next::Later),
            },
            Phase::NextPart => match state.report.take() {
                Some(mut report) => {
                    let bitmap = report.bitmap();
                    let part = job.wanted.window.next_part(bitmap.capacity());
                    bitmap.reset(part.bits);
                    // The request was read before: all that is found from here on is for it.
                    let walk = FreeWalk::new(job.wanted.order(), self.policy.walk_batch);
                    let walking = Walking { walk, part, report };
                    (Phase::Walking(walking), Next::Step)
                }
                None => (Phase::NextPart, Next::Wait),
            },
            Phase::Walking(mut walking) => {
                let bitmap = walking.report.bitmap();
                let mut sink = PartSink::new(bitmap, &walking.part, PAGE_FRAMES_SHIFT);
                if walking.walk.batch(&mut sink) == Batch::Done {
                    self.report(state, job, walking);
                    return Next::Step;
                }
                (Phase::Walking(walking), Next::Step)
            }
        };
        state.current = Some(Current { job, phase });
        next
    }

    /// Reports a part that was walked for.
    fn report(&self, state: &mut State, job: Job, walking: Walking) {
        let Walking {
            walk,
            part,
            mut report,
        } = walking;
        self.counters.walked(walk.stats());
        self.counters.reports.add(1);
        self.counters.bits.add(part.bits);
        self.counters.blocks.add(report.bitmap().count_set());
        let status = match part.outcome {
            Outcome::More => Status::More,
            Outcome::Done => Status::Done,
        };
        let header = job
            .wanted
            .report(status, part.bits, part.start_pfn, &job.dropped);
        state.outbox.push(BitmapBuffer::Report(report.seal(header)));
        match part.outcome {
            Outcome::More => {
                state.current = Some(Current {
                    job,
                    phase: Phase::NextPart,
                });
            }
            Outcome::Done => state.finished = Some(job.slot),
        }
    }

    /// Goes on until something has to be waited for.
    fn advance(
        &self,
        queue: &Queue<'_, BitmapBuffer>,
        state: &mut State,
        stop: Stop<'_>,
    ) -> Result<Then> {
        queue.lock().disable_callback();
        while !stop.requested() {
            self.reap(queue, state);
            self.send(queue, state)?;
            let then = match self.step(state) {
                Next::Step => {
                    mm::cond_resched();
                    continue;
                }
                Next::Later => Then::After(LOOK_AGAIN_MS),
                Next::Wait => Then::Done,
            };
            // A broken ring would have buffers to return for ever, and return none.
            if queue.is_broken() {
                return Err(EIO);
            }
            if queue.lock().enable_callback() {
                return Ok(then);
            }
            queue.lock().disable_callback();
            mm::cond_resched();
        }
        Ok(Then::Done)
    }
}

impl DeviceWorkItem for Bitmap {
    fn run(&self, dev: &virtio::Device<device::Bound>, stop: Stop<'_>) -> Then {
        let mut state = self.state.lock();
        if state.failed {
            return Then::Done;
        }
        let Ok(queue) = self.queue.bind(dev) else {
            return Then::Done;
        };
        match self.advance(&queue, &mut state, stop) {
            Ok(then) => then,
            Err(_) if !queue.is_broken() => Then::After(failure::RETRY_MS),
            Err(error) => {
                failure::report(dev, "the free page bitmap", error);
                state.failed = true;
                Then::Done
            }
        }
    }
}
