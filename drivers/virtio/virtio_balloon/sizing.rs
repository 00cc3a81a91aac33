// SPDX-License-Identifier: GPL-2.0

//! Inflating and deflating: the balloon follows the host's target. Contract: *held*.
//!
//! Specification: section 5.5.6, "Device Operation". A page is nobody's from the moment it is
//! given to the host until the host has acknowledged that it comes back, whether the host asked to
//! be told or not (`VIRTIO_BALLOON_F_MUST_TELL_HOST`). It is in a [`PageBuffer`] while the host has
//! to acknowledge it, and in the kernel's list of balloon pages in between. A page that the host
//! never acknowledges is free again only after the device was reset.
//!
//! The work item ([`resizing`](crate::resizing)) never waits for the host: it does what can be done
//! and is queued again when the host returns buffers. Those who need an answer at once
//! ([`oom`](crate::oom), [`moving`], and the end of the device) wait for a bounded time, and hold
//! no lock meanwhile.
//!
//! Lock order: `state`, then a virtqueue or the kernel's list of balloon pages.

use core::mem::offset_of;
use kernel::{
    bindings, device,
    kvec::try_filled,
    mm::{
        BalloonOwner,
        BalloonPage,
        PageBalloon, //
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
    time::Msecs,
    virtio::{
        self,
        ConfigField,
        DeviceAccess,
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
        GiveUp,
        Size,
        Wait, //
    },
    filling::{
        put_in,
        take_out, //
    },
    moving::{
        self,
        Moving, //
    },
    page_buffer::{
        Format,
        PageBuffer,
        Purpose, //
    },
    page_queues::Queues,
    shown::BalloonState,
    target::{
        balloon_pages,
        Sizes, //
    },
};

const ACTUAL: ConfigField<u32> =
    ConfigField::at::<{ offset_of!(bindings::virtio_balloon_config, actual) }>();

/// Buffers of a device.
pub(crate) const BUFFERS: usize = 32;

/// Those of them that following the target leaves to others: a move needs two.
pub(crate) const RESERVED_BUFFERS: usize = 2;

/// How long to wait for the host once more while it acknowledges nothing, before the device is
/// reset.
const GIVE_UP_MS: Msecs = 3000;

/// How long to wait for it altogether, however often it acknowledges something.
const GIVE_UP_AT_LAST_MS: Msecs = 6000;

/// The balloon of a device.
pub(crate) type Balloon = PageBalloon<Sizing>;

/// What a balloon needs besides its pages.
#[pin_data]
pub(crate) struct Sizing {
    inflate: Arc<Virtqueue<PageBuffer>>,
    deflate: Arc<Virtqueue<PageBuffer>>,
    pub(crate) access: Arc<DeviceAccess>,
    pub(crate) awake: Arc<Awake>,
    pub(crate) counters: Arc<BalloonCounters>,
    /// Whether the guest gives memory away at all.
    pub(crate) gives: bool,
    /// The configuration has changed since the target was read.
    pub(crate) target_is_stale: AtomicFlag,
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
    pub(crate) sizes: Sizes,
    /// Pages for [`Purpose::Oom`] that the host has not acknowledged.
    pub(crate) urgent: usize,
    /// The guest had no memory left: no more of it before the host asks again.
    pub(crate) held_back: bool,
    /// Memory was short; said in the log once until the target changes.
    pub(crate) short: bool,
    /// Keeps the log short, whatever the host does.
    pub(crate) short_silence: Silence,
    pub(crate) late_silence: Silence,
    /// When to try again, in nanoseconds of the monotonic clock. The host cannot bring it forward.
    pub(crate) retry_at: i64,
    /// The size that the host was told.
    pub(crate) actual: Option<u32>,
    /// Buffers that the host has acknowledged, to see that there is progress.
    acknowledgments: usize,
    /// The device is about to be reset.
    closed: bool,
    /// The device is broken.
    pub(crate) failed: bool,
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
    pub(crate) fn idle(&self) -> usize {
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
        moving::go_on(this, queues, state);
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
    pub(crate) fn inflate(
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

    pub(crate) fn sizes(this: &Balloon, state: &State) -> Sizes {
        Sizes {
            inside: this.pages().saturating_add(this.block_pages()),
            ..state.sizes
        }
    }

    /// Shows the size in debugfs.
    pub(crate) fn publish(this: &Balloon) {
        // CAST: 32 bits fit into a `usize`.
        let pages = this.pages().saturating_add(this.block_pages());
        this.counters.pages.set(balloon_pages(pages) as usize);
        let pages = balloon_pages(this.block_pages());
        // CAST: As above.
        this.counters.block_pages.set(pages as usize);
    }
}

impl BalloonOwner for Sizing {
    fn migrate(balloon: &Balloon, new: BalloonPage, old: BalloonPage) -> Result {
        moving::replace(balloon, new, old)
    }
}
