// SPDX-License-Identifier: GPL-2.0

//! The work that follows the host's target. It does what can be done without waiting for the host.

use core::mem::offset_of;
use kernel::{
    bindings, device, mm,
    prelude::*,
    sync::{
        atomic::Full,
        Arc, //
    },
    time::{
        Msecs,
        NSEC_PER_MSEC, //
    },
    virtio::{
        self,
        ConfigField,
        DeviceWorkItem,
        Stop,
        Then, //
    },
};

use crate::{
    awake::RESIZING,
    clock::{
        after,
        now, //
    },
    failure,
    filling::fill,
    moving::Moving,
    page_buffer::Purpose,
    page_queues::{
        has_room,
        Queues,
        UnseenPages, //
    },
    shown::BalloonState,
    sizing::{
        Balloon,
        Sizing,
        State,
        RESERVED_BUFFERS, //
    },
    target::{
        balloon_pages,
        pages_for_target,
        Sizes,
        Step, //
    },
};

const NUM_PAGES: ConfigField<u32> =
    ConfigField::at::<{ offset_of!(bindings::virtio_balloon_config, num_pages) }>();

/// The pause when memory is short, the C driver's.
const RETRY_MS: Msecs = 200;

/// The pause when the kernel is about to move all pages that could be taken out.
const BUSY_MS: Msecs = 10;

/// Balloon pages after which the host is told the size although the target is not reached. Each
/// time is a trap into the host; the specification allows to put several changes together.
const PAGES_PER_REPORT: u32 = 8192;

impl Sizing {
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
        let mut unseen = UnseenPages::default();
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
        unseen: &mut UnseenPages,
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
                    if !has_room(&queues.inflate, &state, &unseen.inflate) {
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
                            Ok(()) => unseen.inflate.add(),
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
                    if !has_room(&queues.deflate, &state, &unseen.deflate) {
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
                        Ok(_) => unseen.deflate.add(),
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
