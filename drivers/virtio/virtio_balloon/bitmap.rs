// SPDX-License-Identifier: GPL-2.0

//! The free page bitmap (`VIRTIO_BALLOON_F_FREE_PAGE_BITMAP`). Contract: *hint*, or *isolated* if
//! the host asks for that.
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
//!
//! Blocks that are isolated for a report stay with it, and are put back when the host returns it.
//! Such a report covers as much of the window as [`LIMITS`] allow.

use kernel::{
    device,
    mm::{
        self,
        Batch,
        FreeWalk,
        Isolated,
        IsolatedRuns,
        Isolation,
        Nodes,
        Run,
        Sink,
        WalkStats, //
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
    answers::{
        Answer,
        Answers, //
    },
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
    events::{
        Ending,
        Mode, //
    },
    failure,
    isolated::{
        Entered,
        IsolatedPages,
        LIMITS, //
    },
    outbox::Outbox,
    policy::Policy,
    shown::BitmapState,
    unseen::Unseen, //
};

/// Number of request buffers: one for the request in progress, one for the one that overtakes it,
/// and some for answers that the host has not read yet.
const SLOTS: usize = 4;

/// Most pieces of a bitmap: 128 KiB, for 4 GiB at order 0 and 2 TiB at order 9.
const PIECES: usize = 32;

/// The smallest ring that two request buffers and a report fit into.
pub(crate) const MIN_RING: usize = 4;

/// Entries of free lists after which the walk looks whether the host wants something else; or one
/// hold of a zone's lock, if that is for more.
const ENTRIES_PER_STEP: usize = 512;

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
    /// A report with a bitmap, and the blocks in it if they are isolated.
    Report(SealedOutBitmap<RawReport>, Option<Entered<IsolatedRuns>>),
}

impl Buffer for BitmapBuffer {
    fn segment(&self) -> Segment<'_> {
        match self {
            Self::Request(slot) => slot.request.segment(),
            Self::Answer(slot) => slot.answer.segment(),
            Self::Report(report, _) => report.segment(),
        }
    }

    fn pages(&self) -> usize {
        let isolated = match self {
            Self::Report(_, Some(blocks)) => blocks.pages(),
            _ => 0,
        };
        self.segment().pages_of_ours().saturating_add(isolated)
    }
}

/// Where the answer to a request is.
enum Phase {
    /// The caches are yet to be seen to.
    Taken,
    /// Caches are being dropped.
    Dropping(Dropping),
    /// The next part of the window needs the bitmap, which the host may have.
    NextPart,
    /// The free lists are being walked.
    Walking(Walking),
    /// Blocks are being isolated.
    Isolating(Isolating),
}

/// A part of the window that is being walked for.
struct Walking {
    walk: FreeWalk,
    part: Part,
    report: OutBitmap<RawReport>,
}

/// A part of the window whose blocks are being isolated.
struct Isolating {
    isolation: Isolation,
    part: Part,
    report: OutBitmap<RawReport>,
    blocks: Entered<IsolatedRuns>,
}

impl Isolating {
    /// Isolates some blocks. Returns whether the part is to be reported.
    fn step(&mut self, wanted: &mut Wanted, answer: &mut Answer) -> bool {
        let step = self.isolation.step(&LIMITS, self.blocks.pages());
        answer.held(self.isolation.last_hold());
        match step {
            Isolated::Run(run) => {
                let mut sink = PartSink::new(self.report.bitmap(), &self.part, PAGE_FRAMES_SHIFT);
                let _ = sink.block(run.range());
                self.blocks.push(run);
                false
            }
            Isolated::Nothing => false,
            Isolated::Short if self.blocks.pages() == 0 => {
                self.isolation.skip_zone();
                false
            }
            Isolated::Short => {
                self.cut(wanted);
                true
            }
            Isolated::Done => true,
        }
    }

    /// Ends the part where the isolation is. The blocks come to more than the limits otherwise.
    fn cut(&mut self, wanted: &mut Wanted) {
        // CAST: A `usize` has at most 64 bits.
        let end = (self.isolation.position() as u64) << PAGE_FRAMES_SHIFT;
        let passed = end.saturating_sub(self.part.start_pfn);
        let passed = passed.checked_shr(self.part.order).unwrap_or(0);
        let bits = usize::try_from(passed).unwrap_or(usize::MAX);
        wanted.window.cut(&mut self.part, bits);
        self.report.bitmap().truncate(self.part.bits);
    }
}

/// A request that is to be answered.
struct Job {
    wanted: Wanted,
    slot: Slot,
    dropped: Dropped,
    answer: Answer,
}

impl Job {
    /// The caches were seen to. That was begun at `since`, if it was begun at all.
    fn caches_are_dropped(&mut self, dropped: Dropped, since: Option<i64>) {
        self.answer.dropped(self.wanted.caches, &dropped, since);
        self.dropped = dropped;
    }
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
    unseen: Unseen,
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
            unseen: Unseen::default(),
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
    fn cancel(&mut self, ending: Ending) -> bool {
        let Some(Current { mut job, phase }) = self.current.take() else {
            return false;
        };
        match phase {
            Phase::Walking(walking) => self.report = Some(walking.report),
            Phase::Isolating(isolating) => self.report = Some(isolating.report),
            Phase::Dropping(dropping) => {
                job.caches_are_dropped(dropping.leave(), Some(dropping.begun));
            }
            Phase::Taken | Phase::NextPart => {}
        }
        let Job {
            wanted,
            slot,
            dropped,
            answer,
        } = job;
        self.answer(slot, wanted.cancelled(&dropped));
        answer.end(ending);
        true
    }

    /// Returns the state in a word.
    fn shown(&self) -> BitmapState {
        match self.current.as_ref().map(|current| &current.phase) {
            _ if self.failed => BitmapState::Failed,
            None => BitmapState::Idle,
            Some(Phase::Taken) => BitmapState::Taken,
            Some(Phase::Dropping(_)) => BitmapState::Dropping,
            Some(Phase::NextPart) => BitmapState::Waiting,
            Some(Phase::Walking(_)) => BitmapState::Walking,
            Some(Phase::Isolating(_)) => BitmapState::Isolating,
        }
    }

    /// Puts back what is isolated and the host has not heard of, with all that it was for.
    fn give_up(&mut self) {
        self.current = None;
        self.outbox = Outbox::new();
    }

    fn situation(&self) -> Situation {
        let end = Nodes::end_pfn();
        Situation {
            in_progress: self.current.as_ref().map(|current| current.job.wanted.id),
            last: self.last,
            // CAST: A page frame number fits into 64 bits.
            end_pfn: (end as u64).saturating_mul(1 << PAGE_FRAMES_SHIFT),
            can_isolate: mm::can_isolate(),
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
    isolated: Arc<IsolatedPages>,
    pub(crate) counters: Arc<BitmapCounters>,
    answers: Arc<Answers>,
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
        isolated: Arc<IsolatedPages>,
        counters: Arc<BitmapCounters>,
        answers: Arc<Answers>,
    ) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(move || {
            let state = State::new(ring)?;
            Ok(try_pin_init!(Self {
                policy,
                queue,
                isolated,
                counters,
                answers,
                state <- new_mutex!(state),
            }))
        })
    }

    /// Ends what is going on before the device is reset for a suspend. The work must not run.
    pub(crate) fn freeze(&self) {
        self.state.lock().give_up();
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
        self.counters.state.set(state.shown());
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
                BitmapBuffer::Report(report, blocks) => {
                    // The host is done with them.
                    drop(blocks);
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
                self.answers.seen(wanted.id, 0);
                if state.cancel(Ending::Overtaken) {
                    self.counters.overtaken.add(1);
                }
                state.last = Some(wanted.id);
                let mode = if wanted.isolated {
                    Mode::Isolate
                } else {
                    Mode::Walk
                };
                let answer = self.answers.begin(wanted.id, mode, wanted.order());
                state.current = Some(Current {
                    job: Job {
                        wanted,
                        slot,
                        dropped: Dropped::none(DropResult::None),
                        answer,
                    },
                    phase: Phase::Taken,
                });
            }
            Ok(Request::Cancel) => {
                self.counters.cancelled.add(1);
                self.answers.seen(request.id(), 0);
                state.cancel(Ending::Cancelled);
                state.repost(slot);
            }
            Err(malformed) => {
                // Not to the log: the host could flood it.
                self.counters.refused.add(1);
                self.answers.seen(malformed.id, malformed.error);
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
            state.unseen.add();
        }
        if state.unseen.kick(queue, 1)? == Some(true) {
            self.counters.notifications.add(1);
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
                    job.caches_are_dropped(dropped, None);
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
                    job.caches_are_dropped(dropped, Some(dropping.begun));
                    (Phase::NextPart, Next::Step)
                }
                None => (Phase::Dropping(dropping), Next::Later),
            },
            Phase::NextPart => match state.report.take() {
                Some(report) => (self.begin_part(&mut job, report), Next::Step),
                None => (Phase::NextPart, Next::Wait),
            },
            Phase::Walking(mut walking) => {
                let bitmap = walking.report.bitmap();
                let mut sink = PartSink::new(bitmap, &walking.part, PAGE_FRAMES_SHIFT);
                let mut batch = Batch::More;
                for _ in 0..(ENTRIES_PER_STEP / self.policy.walk_batch).max(1) {
                    batch = walking.walk.batch(&mut sink);
                    job.answer.held(walking.walk.last_hold());
                    if batch == Batch::Done {
                        break;
                    }
                    mm::cond_resched();
                }
                // It sets the last bits now.
                drop(sink);
                if batch == Batch::Done {
                    let Walking { walk, part, report } = walking;
                    self.report(state, job, walk.stats(), part, report, None);
                    return Next::Step;
                }
                (Phase::Walking(walking), Next::Step)
            }
            Phase::Isolating(mut isolating) => {
                if isolating.step(&mut job.wanted, &mut job.answer) {
                    let Isolating {
                        isolation,
                        part,
                        report,
                        blocks,
                    } = isolating;
                    self.report(state, job, isolation.stats(), part, report, Some(blocks));
                    return Next::Step;
                }
                (Phase::Isolating(isolating), Next::Step)
            }
        };
        state.current = Some(Current { job, phase });
        next
    }

    /// Takes the next part of the window. What is found from here on is for the request, as that
    /// was read before.
    fn begin_part(&self, job: &mut Job, mut report: OutBitmap<RawReport>) -> Phase {
        let bitmap = report.bitmap();
        let part = job.wanted.window.next_part(bitmap.capacity());
        bitmap.reset(part.bits);
        let order = job.wanted.order();
        if !job.wanted.isolated {
            let walk = FreeWalk::new(order, self.policy.walk_batch);
            return Phase::Walking(Walking { walk, part, report });
        }
        let start = usize::try_from(part.start_pfn >> PAGE_FRAMES_SHIFT).unwrap_or(usize::MAX);
        let end = start.saturating_add(part.bits.checked_shl(order).unwrap_or(0));
        Phase::Isolating(Isolating {
            isolation: Isolation::new(start, end, order, self.policy.walk_batch),
            part,
            report,
            blocks: self.isolated.open(),
        })
    }

    /// Reports a part of the window.
    fn report(
        &self,
        state: &mut State,
        mut job: Job,
        stats: &WalkStats,
        part: Part,
        mut report: OutBitmap<RawReport>,
        blocks: Option<Entered<IsolatedRuns>>,
    ) {
        self.counters.walked(stats);
        self.counters.reports.add(1);
        self.counters.bits.add(part.bits);
        let set = report.bitmap().count_set();
        self.counters.blocks.add(set);
        let status = match part.outcome {
            Outcome::More => Status::More,
            Outcome::Done => Status::Done,
        };
        let header = job
            .wanted
            .report(status, part.bits, part.start_pfn, &job.dropped);
        let bytes = report.bitmap().bytes();
        job.answer.reported(status, &part, set, bytes);
        let buffer = BitmapBuffer::Report(report.seal(header), blocks);
        state.outbox.push(buffer);
        match part.outcome {
            Outcome::More => {
                state.current = Some(Current {
                    job,
                    phase: Phase::NextPart,
                });
            }
            Outcome::Done => {
                state.finished = Some(job.slot);
                job.answer.end(Ending::Completed);
            }
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
            let next = self.step(state);
            self.counters.state.set(state.shown());
            let then = match next {
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
                state.give_up();
                self.counters.state.set(state.shown());
                Then::Done
            }
        }
    }
}
