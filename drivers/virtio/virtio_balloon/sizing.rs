// SPDX-License-Identifier: GPL-2.0

//! Inflating and deflating: the balloon follows the host's target. Contract: *held*.
//!
//! Specification: section 5.5.6, "Device Operation". A page is nobody's from the moment it is
//! given to the host until the host has acknowledged that it comes back, whether the host asked to
//! be told or not (`VIRTIO_BALLOON_F_MUST_TELL_HOST`). It is in a [`PageBuffer`] while the host has
//! to acknowledge it, and in the kernel's list of balloon pages in between. A page that the host
//! never acknowledges is free again only after the device was reset.
//!
//! The work item never waits for the host: it does what can be done and is queued again when the
//! host returns buffers. Those who need an answer at once ([`oom`](crate::oom),
//! [`moving`], and the end of the device) wait for a bounded time, and hold no lock
//! meanwhile.
//!
//! Lock order: `state`, then a virtqueue or the kernel's list of balloon pages.

use core::mem::offset_of;
use kernel::{
    bindings, device,
    kvec::try_filled,
    mm::{
        self,
        BalloonOwner,
        BalloonPage,
        Node,
        Nodes,
        PageBalloon,
        PageRun,
        Run, //
    },
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            AtomicFlag,
            Full, //
        },
        Arc,
        Event,
        Mutex, //
    },
    time::{
        Msecs,
        NSEC_PER_MSEC, //
    },
    virtio::{
        self,
        ConfigField,
        DeviceAccess,
        DeviceWorkItem,
        Queue,
        Refused,
        Stop,
        Then,
        Virtqueue, //
    },
};

use crate::{
    awake::{
        Awake,
        RESIZING, //
    },
    clock::{
        after,
        elapsed,
        now,
        slice,
        Silence, //
    },
    counters::BalloonCounters,
    events::{
        Deflate,
        GiveUp,
        Inflate,
        Size,
        Wait, //
    },
    failure,
    moving::{
        self,
        Moving, //
    },
    page_buffer::{
        Format,
        PageBuffer,
        Purpose,
        BLOCK_ORDER,
        BLOCK_PAGES,
        MAX_BLOCKS,
        MAX_PAGES, //
    },
    shown::BalloonState,
    target::{
        balloon_pages,
        pages_for_target,
        Sizes,
        Step, //
    },
};

const NUM_PAGES: ConfigField<u32> =
    ConfigField::at::<{ offset_of!(bindings::virtio_balloon_config, num_pages) }>();
const ACTUAL: ConfigField<u32> =
    ConfigField::at::<{ offset_of!(bindings::virtio_balloon_config, actual) }>();

/// Buffers of a device.
const BUFFERS: usize = 32;

/// Those of them that following the target leaves to others: a move needs two.
const RESERVED_BUFFERS: usize = 2;

/// Most buffers for which the host is notified once. With as many more it is kept busy while the
/// next ones are filled.
const BUFFERS_PER_KICK: usize = (BUFFERS - RESERVED_BUFFERS) / 2;

/// The pause when memory is short, the C driver's.
const RETRY_MS: Msecs = 200;

/// The pause when the kernel is about to move all pages that could be taken out.
const BUSY_MS: Msecs = 10;

/// How long to wait for the host once more while it acknowledges nothing, before the device is
/// reset.
const GIVE_UP_MS: Msecs = 3000;

/// How long to wait for it altogether, however often it acknowledges something.
const GIVE_UP_AT_LAST_MS: Msecs = 6000;

/// Balloon pages after which the host is told the size although the target is not reached. Each
/// time is a trap into the host; the specification allows to put several changes together.
const PAGES_PER_REPORT: u32 = 8192;

/// Pages after which the kernel's counters are looked at again: there are some for each zone of
/// each node.
const PAGES_PER_LOOK: usize = 64;

/// The balloon of a device.
pub(crate) type Balloon = PageBalloon<Sizing>;

/// Access to both virtqueues.
pub(crate) struct Queues<'a> {
    pub(crate) inflate: Queue<'a, PageBuffer>,
    pub(crate) deflate: Queue<'a, PageBuffer>,
    /// The number of the device.
    index: c_int,
}

impl Queues<'_> {
    /// Gives the host pages for the balloon. It has to be notified.
    #[expect(clippy::result_large_err, reason = "the buffer itself comes back")]
    pub(crate) fn put_in(&self, buffer: PageBuffer) -> Result<(), Refused<PageBuffer>> {
        let event = Inflate::is_wanted().then(|| buffer.as_inflate(self.index));
        self.inflate.lock().add(buffer)?;
        // Without the lock: whoever listens may take his time.
        if let Some(event) = event {
            Inflate::trace(|| event);
        }
        Ok(())
    }

    /// Tells the host of pages that are to come back. It has to be notified.
    #[expect(clippy::result_large_err, reason = "the buffer itself comes back")]
    pub(crate) fn take_out(&self, buffer: PageBuffer) -> Result<(), Refused<PageBuffer>> {
        let event = Deflate::is_wanted().then(|| buffer.as_deflate(self.index));
        self.deflate.lock().add(buffer)?;
        // As above.
        if let Some(event) = event {
            Deflate::trace(|| event);
        }
        Ok(())
    }
}

/// What a balloon needs besides its pages.
#[pin_data]
pub(crate) struct Sizing {
    inflate: Arc<Virtqueue<PageBuffer>>,
    deflate: Arc<Virtqueue<PageBuffer>>,
    pub(crate) access: Arc<DeviceAccess>,
    awake: Arc<Awake>,
    pub(crate) counters: Arc<BalloonCounters>,
    /// Whether the guest gives memory away at all.
    gives: bool,
    /// The configuration has changed since the target was read.
    target_is_stale: AtomicFlag,
    /// The host has returned a buffer.
    #[pin]
    acknowledged: Event,
    #[pin]
    pub(crate) state: Mutex<State>,
}

/// Where the balloon is between two sizes.
pub(crate) struct State {
    /// The buffers that nobody uses.
    idle: KVec<Option<PageBuffer>>,
    pub(crate) moving: Moving,
    sizes: Sizes,
    /// Pages for [`Purpose::Oom`] that the host has not acknowledged.
    pub(crate) urgent: usize,
    /// The guest had no memory left: no more of it before the host asks again.
    pub(crate) held_back: bool,
    /// Memory was short; said in the log once until the target changes.
    short: bool,
    /// Keeps the log short, whatever the host does.
    short_silence: Silence,
    pub(crate) late_silence: Silence,
    /// When to try again, in nanoseconds of the monotonic clock. The host cannot bring it forward.
    pub(crate) retry_at: i64,
    /// The size that the host was told.
    actual: Option<u32>,
    /// Buffers that the host has acknowledged, to see that there is progress.
    acknowledgments: usize,
    /// The device is about to be reset.
    closed: bool,
    /// The device is broken.
    failed: bool,
}

impl State {
    fn new(format: Format) -> Result<Self> {
        Ok(Self {
            idle: try_filled(BUFFERS, |_| PageBuffer::new(format).map(Some))?,
            moving: Moving::None,
            sizes: Sizes::default(),
            urgent: 0,
            held_back: false,
            short: false,
            short_silence: Silence::default(),
            late_silence: Silence::default(),
            retry_at: 0,
            actual: None,
            acknowledgments: 0,
            closed: false,
            failed: false,
        })
    }

    /// Returns whether the device can be used.
    pub(crate) fn is_open(&self) -> bool {
        !self.closed && !self.failed
    }

    /// Returns how many buffers there are that nobody uses.
    fn idle(&self) -> usize {
        let idle = self.idle.iter().flatten();
        idle.fold(0usize, |sum, _| sum.saturating_add(1))
    }

    /// Takes an empty buffer, if that leaves as many.
    pub(crate) fn take_buffer(&mut self, leave: usize) -> Option<PageBuffer> {
        if self.idle() <= leave {
            return None;
        }
        self.idle.iter_mut().find_map(Option::take)
    }

    /// Puts a buffer back, and gives up what is in it.
    pub(crate) fn put_buffer(&mut self, mut buffer: PageBuffer) {
        buffer.clear();
        if let Some(slot) = self.idle.iter_mut().find(|slot| slot.is_none()) {
            *slot = Some(buffer);
        }
    }
}

impl Sizing {
    /// Creates what a balloon needs. Without `gives` the target is taken to be 0 always.
    pub(crate) fn new(
        inflate: Arc<Virtqueue<PageBuffer>>,
        deflate: Arc<Virtqueue<PageBuffer>>,
        access: Arc<DeviceAccess>,
        awake: Arc<Awake>,
        counters: Arc<BalloonCounters>,
        format: Format,
        gives: bool,
    ) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(move || {
            let state = State::new(format)?;
            Ok(try_pin_init!(Self {
                inflate,
                deflate,
                access,
                awake,
                counters,
                gives,
                target_is_stale: AtomicFlag::new(true),
                acknowledged <- Event::new(),
                state <- new_mutex!(state),
            }))
        })
    }

    /// There is something to do, and the work is to be queued after this: the device has become
    /// live, or the configuration has changed.
    ///
    /// May be called from any context.
    pub(crate) fn target_changed(&self) {
        self.target_is_stale.xchg(true, Full);
        self.awake.begin(RESIZING);
    }

    /// The host has returned buffers. May be called from any context.
    pub(crate) fn wake(&self) {
        self.acknowledged.signal();
    }

    /// Gives access to the virtqueues.
    pub(crate) fn queues<'a>(
        &'a self,
        dev: &'a virtio::Device<device::Bound>,
    ) -> Result<Queues<'a>> {
        Ok(Queues {
            inflate: self.inflate.bind(dev)?,
            deflate: self.deflate.bind(dev)?,
            index: dev.index(),
        })
    }

    /// Starts anew with a device that was reset. The work must not run.
    pub(crate) fn restore(this: &Balloon, format: Format) -> Result {
        // What the host never acknowledged is free now.
        this.release_all();
        let fresh = State::new(format)?;
        let old = core::mem::replace(&mut *this.state.lock(), fresh);
        drop(old);
        Self::publish(this);
        Ok(())
    }

    /// Takes back what the host has returned.
    pub(crate) fn reap(
        this: &Balloon,
        dev: &virtio::Device<device::Bound>,
        queues: &Queues<'_>,
        state: &mut State,
    ) {
        while let Some(buffer) = queues.inflate.get() {
            state.acknowledgments = state.acknowledgments.wrapping_add(1);
            match buffer.purpose() {
                Purpose::Move => moving::arrived(this, dev, queues, state, buffer),
                _ => Self::arrived(this, state, buffer),
            }
        }
        while let Some(buffer) = queues.deflate.get() {
            state.acknowledgments = state.acknowledgments.wrapping_add(1);
            match buffer.purpose() {
                Purpose::Move | Purpose::Undo => moving::left(this, state, buffer),
                Purpose::Target | Purpose::Oom => Self::left(this, state, buffer),
            }
        }
        Self::publish(this);
    }

    /// Pages are in the balloon.
    fn arrived(this: &Balloon, state: &mut State, mut buffer: PageBuffer) {
        let pages = buffer.len();
        put_in(this, &mut buffer);
        state.sizes.entering = state.sizes.entering.saturating_sub(pages);
        this.counters.inflated.add(pages);
        state.put_buffer(buffer);
    }

    /// Pages are out of the balloon.
    fn left(this: &Balloon, state: &mut State, buffer: PageBuffer) {
        let pages = buffer.len();
        state.sizes.leaving = state.sizes.leaving.saturating_sub(pages);
        this.counters.deflated.add(pages);
        if buffer.purpose() == Purpose::Oom {
            state.urgent = state.urgent.saturating_sub(pages);
            this.counters.oom_deflated.add(pages);
        }
        state.put_buffer(buffer);
    }

    /// Gives pages to the host, which has to be notified.
    ///
    /// Returns [`ENOSPC`] if it has to return a buffer first, and [`ERANGE`] if the host cannot be
    /// told of a page. The pages are free then.
    fn inflate(
        this: &Balloon,
        dev: &virtio::Device<device::Bound>,
        queues: &Queues<'_>,
        state: &mut State,
        mut buffer: PageBuffer,
    ) -> Result {
        let pages = buffer.len();
        if let Err(error) = buffer.set_numbers(dev, Purpose::Target) {
            state.put_buffer(buffer);
            return Err(error);
        }
        if let Err(refused) = queues.put_in(buffer) {
            // The host has not seen it.
            state.put_buffer(refused.buffer);
            return Err(refused.error);
        }
        state.sizes.entering = state.sizes.entering.saturating_add(pages);
        this.counters.requests.add(1);
        Ok(())
    }

    /// Takes at most `pages` pages out of the balloon. Returns how many are on the way; the host
    /// has to be notified.
    ///
    /// Returns [`EAGAIN`] if no buffer is idle but those that are to be left to others, and
    /// [`ENOSPC`] if the host has to return a buffer first. The pages stay in the balloon then.
    pub(crate) fn deflate(
        this: &Balloon,
        dev: &virtio::Device<device::Bound>,
        queues: &Queues<'_>,
        state: &mut State,
        pages: usize,
        purpose: Purpose,
        leave: usize,
    ) -> Result<usize> {
        let mut buffer = state.take_buffer(leave).ok_or(EAGAIN)?;
        take_out(this, &mut buffer, pages);
        let taken = buffer.len();
        let result = match buffer.set_numbers(dev, purpose) {
            Ok(()) if taken == 0 => Err((buffer, EAGAIN)),
            Ok(()) => {
                let added = queues.take_out(buffer);
                added.map_err(|refused| (refused.buffer, refused.error))
            }
            Err(error) => Err((buffer, error)),
        };
        match result {
            Ok(()) => {
                state.sizes.leaving = state.sizes.leaving.saturating_add(taken);
                this.counters.requests.add(1);
                Ok(taken)
            }
            Err((mut buffer, error)) => {
                // The host still takes them to be in the balloon.
                put_in(this, &mut buffer);
                state.put_buffer(buffer);
                if taken == 0 {
                    return Ok(0);
                }
                Err(error)
            }
        }
    }

    /// Tells the host the size, if it does not know it.
    pub(crate) fn report_size(
        this: &Balloon,
        dev: &virtio::Device<device::Bound>,
        state: &mut State,
    ) -> Result {
        let actual = Self::sizes(this, state).actual();
        if state.actual != Some(actual) {
            dev.write_config(ACTUAL, actual)?;
            state.actual = Some(actual);
            Size::trace(|| Size {
                dev: dev.index(),
                num_pages: u32::try_from(this.counters.target.get()).unwrap_or(u32::MAX),
                actual,
            });
        }
        Ok(())
    }

    /// Waits for the host until `done`, for at most `timeout` milliseconds.
    ///
    /// `done` is asked with what the host has returned taken back. Returns whether it was done in
    /// time. Nothing is locked while it waits.
    pub(crate) fn wait(
        this: &Balloon,
        timeout: Msecs,
        mut done: impl FnMut(&mut State) -> bool,
    ) -> bool {
        let deadline = after(timeout);
        loop {
            this.acknowledged.arm();
            // After a reset there is nothing to take back.
            let _ = this.access.with(|dev| {
                let queues = this.queues(dev)?;
                Self::reap(this, dev, &queues, &mut this.state.lock());
                Ok::<(), Error>(())
            });
            if done(&mut this.state.lock()) {
                return true;
            }
            // By the clock: a host that calls back all the time does not prolong it.
            if now() >= deadline {
                return false;
            }
            // Somebody else who waits may have armed the event again.
            this.acknowledged.wait(slice());
        }
    }

    /// Returns all pages to the guest before the device is reset. The work does nothing any more.
    ///
    /// That takes as long as the host goes on to acknowledge. What it does not acknowledge is free
    /// after the reset.
    pub(crate) fn empty(this: &Balloon, dev: &virtio::Device<device::Bound>) -> Result {
        this.state.lock().closed = true;
        this.counters.state.set(BalloonState::Leaving);
        let queues = this.queues(dev)?;
        let mut acknowledgments = None;
        let begun = now();
        let mut deadline = after(GIVE_UP_MS);
        let last_deadline = after(GIVE_UP_AT_LAST_MS);
        loop {
            this.acknowledged.arm();
            let mut state = this.state.lock();
            Self::reap(this, dev, &queues, &mut state);
            while let Ok(1..) = Self::deflate(
                this,
                dev,
                &queues,
                &mut state,
                usize::MAX,
                Purpose::Target,
                0,
            ) {}
            queues.deflate.kick()?;
            let sizes = Self::sizes(this, &state);
            let left = sizes
                .inside
                .saturating_add(sizes.entering)
                .saturating_add(sizes.leaving)
                // One that came for a move that was given up has to go again.
                .saturating_add(usize::from(state.moving.is_under_way()));
            if left == 0 {
                return Self::report_size(this, dev, &mut state);
            }
            if acknowledgments != Some(state.acknowledgments) {
                acknowledgments = Some(state.acknowledgments);
                deadline = after(GIVE_UP_MS).min(last_deadline);
            }
            drop(state);
            if now() >= deadline || queues.deflate.is_broken() {
                dev_warn!(
                    dev,
                    "the host does not take {} balloon pages back; they are used again after the \
                     device was reset\n",
                    balloon_pages(left)
                );
                GiveUp::trace(|| GiveUp {
                    dev: dev.index(),
                    wait: Wait::Unbind,
                    pages: left,
                    ns: elapsed(begun),
                });
                return Ok(());
            }
            this.acknowledged.wait(slice());
        }
    }

    fn sizes(this: &Balloon, state: &State) -> Sizes {
        Sizes {
            inside: this.pages().saturating_add(this.block_pages()),
            ..state.sizes
        }
    }

    /// Reads the target, if it may have changed.
    fn follow(&self, dev: &virtio::Device<device::Bound>, state: &mut State) -> Result {
        if !self.target_is_stale.xchg(false, Full) {
            return Ok(());
        }
        let wanted = dev.read_config(NUM_PAGES)?;
        let wanted = pages_for_target(wanted);
        // CAST: 32 bits fit into a `usize`.
        self.counters.target.set(balloon_pages(wanted) as usize);
        let target = if self.gives { wanted } else { 0 };
        if target != state.sizes.target {
            state.sizes.target = target;
            state.short = false;
        }
        // Also if it is the same again: the host insists.
        state.held_back = false;
        Ok(())
    }

    /// Memory is short: puts the next attempt off.
    fn pause(&self, dev: &virtio::Device<device::Bound>, state: &mut State, sizes: Sizes) {
        self.counters.retries.add(1);
        state.retry_at = after(RETRY_MS);
        if !core::mem::replace(&mut state.short, true) && state.short_silence.is_over() {
            dev_info!(
                dev,
                "memory is short: {} of {} balloon pages; trying again every {} ms\n",
                sizes.actual(),
                balloon_pages(sizes.target),
                RETRY_MS
            );
        }
    }

    /// Goes on towards the target until something has to be waited for.
    fn advance(
        this: &Balloon,
        dev: &virtio::Device<device::Bound>,
        queues: &Queues<'_>,
        stop: Stop<'_>,
    ) -> Result<Then> {
        queues.inflate.kick_owed()?;
        queues.deflate.kick_owed()?;
        let mut unseen = Unseen::default();
        let then = Self::steps(this, dev, queues, stop, &mut unseen);
        // Whatever ended it: nobody else sees to these.
        unseen.kick(queues)?;
        then
    }

    fn steps(
        this: &Balloon,
        dev: &virtio::Device<device::Bound>,
        queues: &Queues<'_>,
        stop: Stop<'_>,
        unseen: &mut Unseen,
    ) -> Result<Then> {
        while !stop.requested() {
            mm::cond_resched();
            unseen.kick_if_enough(queues)?;
            let mut state = this.state.lock();
            if !state.is_open() {
                break;
            }
            Self::reap(this, dev, queues, &mut state);
            this.follow(dev, &mut state)?;
            let sizes = Self::sizes(this, &state);
            if sizes.actual().abs_diff(state.actual.unwrap_or(0)) >= PAGES_PER_REPORT {
                Self::report_size(this, dev, &mut state)?;
            }
            match sizes.step() {
                Step::Inflate(_) if state.held_back => {
                    this.counters.state.set(BalloonState::HeldBack);
                    Self::report_size(this, dev, &mut state)?;
                    this.awake.end();
                    return Ok(Then::Done);
                }
                Step::Inflate(pages) => {
                    let pause = state.retry_at.saturating_sub(now());
                    if pause > 0 {
                        this.counters.state.set(BalloonState::Short);
                        Self::report_size(this, dev, &mut state)?;
                        this.awake.end();
                        let pause = pause.wrapping_div(NSEC_PER_MSEC).saturating_add(1);
                        return Ok(Then::After(Msecs::try_from(pause).unwrap_or(RETRY_MS)));
                    }
                    this.counters.state.set(BalloonState::Inflating);
                    if !has_room(&queues.inflate, &state, unseen.inflate) {
                        return Self::wait_for_host(queues);
                    }
                    let Some(mut buffer) = state.take_buffer(RESERVED_BUFFERS) else {
                        return Self::wait_for_host(queues);
                    };
                    // Allocating may reclaim memory: nobody is to wait for that.
                    drop(state);
                    let filled = fill(&mut buffer, pages);
                    let mut state = this.state.lock();
                    if !state.is_open() || buffer.is_empty() {
                        state.put_buffer(buffer);
                    } else {
                        match Self::inflate(this, dev, queues, &mut state, buffer) {
                            Ok(()) => unseen.inflate = unseen.inflate.saturating_add(1),
                            Err(ENOSPC) => return Self::wait_for_host(queues),
                            // There is memory, but none that the host can be told of.
                            Err(ERANGE) => this.pause(dev, &mut state, sizes),
                            Err(error) => return Err(error),
                        }
                    }
                    if !filled {
                        this.pause(dev, &mut state, sizes);
                    }
                }
                Step::Deflate(pages) => {
                    this.counters.state.set(BalloonState::Deflating);
                    if !has_room(&queues.deflate, &state, unseen.deflate) {
                        return Self::wait_for_host(queues);
                    }
                    let result = Self::deflate(
                        this,
                        dev,
                        queues,
                        &mut state,
                        pages,
                        Purpose::Target,
                        RESERVED_BUFFERS,
                    );
                    match result {
                        Ok(0) => return Ok(Then::After(BUSY_MS)),
                        Ok(_) => unseen.deflate = unseen.deflate.saturating_add(1),
                        Err(EAGAIN | ENOSPC) => return Self::wait_for_host(queues),
                        Err(error) => return Err(error),
                    }
                }
                Step::Wait => {
                    this.counters.state.set(BalloonState::Waiting);
                    return Self::wait_for_host(queues);
                }
                Step::Settled => {
                    this.counters.state.set(BalloonState::Settled);
                    state.short = false;
                    Self::report_size(this, dev, &mut state)?;
                    this.awake.end();
                    return Ok(Then::Done);
                }
            }
        }
        Ok(Then::Done)
    }

    /// Ends a run of the work until the host returns a buffer.
    fn wait_for_host(queues: &Queues<'_>) -> Result<Then> {
        // A broken queue returns nothing.
        if queues.inflate.is_broken() || queues.deflate.is_broken() {
            return Err(EIO);
        }
        Ok(Then::Done)
    }

    /// Shows the size in debugfs.
    fn publish(this: &Balloon) {
        // CAST: 32 bits fit into a `usize`.
        let pages = this.pages().saturating_add(this.block_pages());
        this.counters.pages.set(balloon_pages(pages) as usize);
        let pages = balloon_pages(this.block_pages());
        // CAST: As above.
        this.counters.block_pages.set(pages as usize);
    }
}

/// Buffers that were added to each queue since the host was notified.
#[derive(Default)]
struct Unseen {
    inflate: usize,
    deflate: usize,
}

impl Unseen {
    /// Notifies the host where there are as many as it is notified for at once.
    fn kick_if_enough(&mut self, queues: &Queues<'_>) -> Result {
        kick_from(
            &queues.inflate,
            &mut self.inflate,
            per_kick(&queues.inflate),
        )?;
        kick_from(
            &queues.deflate,
            &mut self.deflate,
            per_kick(&queues.deflate),
        )
    }

    /// Notifies the host where there are any.
    fn kick(&mut self, queues: &Queues<'_>) -> Result {
        let inflate = kick_from(&queues.inflate, &mut self.inflate, 1);
        kick_from(&queues.deflate, &mut self.deflate, 1).and(inflate)
    }
}

/// Notifies the host if it has not seen as many buffers as `least`.
fn kick_from(queue: &Queue<'_, PageBuffer>, unseen: &mut usize, least: usize) -> Result {
    if *unseen >= least {
        *unseen = 0;
        queue.kick()?;
    }
    Ok(())
}

/// Returns for how many buffers the host is notified at once: with a small ring for half of it.
fn per_kick(queue: &Queue<'_, PageBuffer>) -> usize {
    (queue.size() / 2).clamp(1, BUFFERS_PER_KICK)
}

/// Returns whether to go on: always with what the host is not yet notified of, otherwise only if
/// that becomes as many buffers as it is notified for at once. Else it would be notified of each
/// single one as soon as it has returned another.
///
/// Where there is less room the host has buffers, so there will be a callback.
fn has_room(queue: &Queue<'_, PageBuffer>, state: &State, unseen: usize) -> bool {
    let ring = queue.size().saturating_sub(queue.lock().lent());
    let room = state.idle().saturating_sub(RESERVED_BUFFERS).min(ring);
    room >= if unseen > 0 { 1 } else { per_kick(queue) }
}

/// Puts the pages of a buffer into the balloon.
fn put_in(this: &Balloon, buffer: &mut PageBuffer) {
    this.enqueue_all(buffer.pages_mut());
    while let Some(run) = buffer.take_run() {
        this.enqueue_run(run);
    }
}

/// Takes at most `pages` pages out of the balloon, as far as a buffer holds them: whole blocks
/// while there are some and that many pages are wanted.
fn take_out(this: &Balloon, buffer: &mut PageBuffer, pages: usize) {
    if pages >= BLOCK_PAGES {
        let mut left = pages;
        while let Some(run) = this.dequeue_run(left.min(BLOCK_PAGES)) {
            left = left.saturating_sub(run.range().pages());
            if let Err(run) = buffer.add_run(run) {
                this.enqueue_run(run);
                break;
            }
        }
        if !buffer.is_empty() {
            return;
        }
    }
    if this.pages() == 0 {
        // The host need not know: these pages stay where they are, as single ones.
        this.break_block();
    }
    this.dequeue(pages, buffer.pages_mut());
}

/// Puts at most `pages` pages into a buffer: whole blocks if it takes some and there are any, else
/// single pages. Returns whether that is all that a buffer can hold, and no memory was missing.
fn fill(buffer: &mut PageBuffer, pages: usize) -> bool {
    if buffer.takes_blocks() && fill_with_blocks(buffer, pages / BLOCK_PAGES) {
        return true;
    }
    let mut left = pages.min(MAX_PAGES);
    while left > 0 {
        if reserves_are_low() {
            return false;
        }
        let got = buffer.pages_mut().alloc(left.min(PAGES_PER_LOOK));
        if got == 0 {
            return false;
        }
        left = left.saturating_sub(got);
    }
    true
}

/// Puts at most `blocks` blocks into a buffer. Returns whether there were any.
///
/// Nothing is reclaimed or compacted for them: where there is none, single pages do.
fn fill_with_blocks(buffer: &mut PageBuffer, blocks: usize) -> bool {
    let mut left = blocks.min(MAX_BLOCKS);
    // The node with most of it first, which then comes up once more in vain.
    let first = Nodes::new().max_by_key(Node::free_pages).into_iter();
    for node in Iterator::chain(first, Nodes::new()) {
        while left > 0 && !reserves_are_low() {
            let Some(block) = PageRun::alloc(&node, BLOCK_ORDER) else {
                break;
            };
            if buffer.add_run(block).is_err() {
                break;
            }
            left = left.saturating_sub(1);
            // The kernel may zero each of them.
            mm::cond_resched();
        }
    }
    !buffer.is_empty()
}

/// Returns whether the guest has less free memory than the kernel keeps for those who cannot wait.
///
/// The allocator should not give us any then. But its watermarks are those of single zones, and do
/// not follow what the balloon takes out of them: it was seen to go on until nothing was left to
/// start a process with.
fn reserves_are_low() -> bool {
    let (free, least) = Nodes::new().fold((0usize, 0usize), |(free, least), node| {
        (
            free.saturating_add(node.free_pages()),
            least.saturating_add(node.min_watermark()),
        )
    });
    free < least
}

impl BalloonOwner for Sizing {
    fn migrate(balloon: &Balloon, new: BalloonPage, old: BalloonPage) -> Result {
        moving::replace(balloon, new, old)
    }
}

/// The work that follows the target.
pub(crate) struct Resizing(pub(crate) Arc<Balloon>);

impl DeviceWorkItem for Resizing {
    fn run(&self, dev: &virtio::Device<device::Bound>, stop: Stop<'_>) -> Then {
        let this = &*self.0;
        this.awake.take(RESIZING);
        if this.state.lock().failed {
            this.awake.end();
            return Then::Done;
        }
        let Ok(queues) = this.queues(dev) else {
            return Then::Done;
        };
        Sizing::advance(this, dev, &queues, stop).unwrap_or_else(|error| {
            this.awake.end();
            if !queues.inflate.is_broken() && !queues.deflate.is_broken() {
                return Then::After(failure::RETRY_MS);
            }
            failure::report(dev, "the balloon", error);
            this.state.lock().failed = true;
            this.counters.state.set(BalloonState::Failed);
            Then::Done
        })
    }

    fn abandon(&self) -> usize {
        let this = &*self.0;
        // The host may still do what it likes with a page that it was given.
        let moving = core::mem::replace(&mut this.state.lock().moving, Moving::None);
        let lost = this.lose_all().saturating_add(moving.lose());
        Sizing::publish(this);
        lost
    }
}
