// SPDX-License-Identifier: GPL-2.0

//! The kernel moves a page of the balloon, to make room for something large.
//!
//! The new page goes to the host first, then the old one comes back: the balloon is never smaller
//! than the host was told. Both pages have a reference here from the moment the host may do
//! something with them until it has acknowledged that it does not: the kernel cannot use them
//! before, even if the move was given up.

use kernel::{
    device,
    mm::BalloonPage,
    prelude::*,
    time::Msecs,
    virtio, //
};

use crate::{
    clock::{
        elapsed,
        now, //
    },
    events::{
        GiveUp,
        Wait, //
    },
    page_buffer::{
        PageBuffer,
        Purpose, //
    },
    page_queues::Queues,
    sizing::{
        Balloon,
        Sizing,
        State, //
    },
};

/// How long to wait for the host, with the page locked.
const TIMEOUT_MS: Msecs = 1000;

/// A move. There is one at a time.
pub(crate) enum Moving {
    /// There is none.
    None,
    /// The host has the new page. The buffer has the old one, which is still in the balloon.
    Arriving(PageBuffer),
    /// The host has acknowledged the new page.
    Arrived(PageBuffer),
    /// The host has both pages. It has to acknowledge that the old one comes back.
    Leaving,
    /// The host did not acknowledge the new page in time. When it does, the page goes again.
    Undoing,
    /// There was no room in the deflate queue for the buffer. Its page goes out of the balloon when
    /// the host has returned another one.
    Blocked(PageBuffer),
    /// The device went, or broke, before it could be told of the page in the buffer. The page is
    /// free when this goes, which is after a reset.
    Stuck(#[allow(dead_code, reason = "kept for its page")] PageBuffer),
}

impl Moving {
    /// Returns whether the host has a page that it has to give back, or is to get one.
    pub(crate) fn is_under_way(&self) -> bool {
        !matches!(self, Self::None | Self::Stuck(_))
    }

    /// Loses the pages that are not in a virtqueue: nobody will ever use them again. Returns how
    /// many they are.
    pub(crate) fn lose(self) -> usize {
        match self {
            Self::None | Self::Leaving | Self::Undoing => 0,
            Self::Arriving(buffer)
            | Self::Arrived(buffer)
            | Self::Blocked(buffer)
            | Self::Stuck(buffer) => {
                let pages = buffer.len();
                core::mem::forget(buffer);
                pages
            }
        }
    }
}

/// Replaces a page of the balloon by another one.
pub(crate) fn replace(this: &Balloon, new: BalloonPage, old: BalloonPage) -> Result {
    this.access.with(|dev| start(this, dev, new, old))??;

    let begun = now();
    Sizing::wait(this, TIMEOUT_MS, |state| {
        !matches!(state.moving, Moving::Arriving(_))
    });
    {
        let mut state = this.state.lock();
        if let Moving::Arriving(_) = state.moving {
            if let Moving::Arriving(buffer) = core::mem::replace(&mut state.moving, Moving::Undoing)
            {
                state.put_buffer(buffer);
            }
            GiveUp::trace(|| GiveUp {
                dev: this.access.index(),
                wait: Wait::Move,
                pages: 1,
                ns: elapsed(begun),
            });
            if state.late_silence.is_over() {
                pr_warn!(
                    "the host did not acknowledge a page that is to be moved within {} ms\n",
                    TIMEOUT_MS
                );
            }
            return Err(EAGAIN);
        }
    }

    // From here on the new page is in the balloon, so the old one has to leave it. If the device
    // is about to be reset its buffer stays where it is.
    let _ = this.access.with(|dev| send_old(this, dev));
    // That it is free when this returns is what those hope for who want it moved.
    Sizing::wait(this, TIMEOUT_MS, |state| {
        !matches!(state.moving, Moving::Leaving | Moving::Blocked(_))
    });
    Ok(())
}

/// Gives the new page to the host.
fn start(
    this: &Balloon,
    dev: &virtio::Device<device::Bound>,
    new: BalloonPage,
    old: BalloonPage,
) -> Result {
    let queues = this.queues(dev)?;
    // Whoever has the lock is at the balloon. It is easier to come back later.
    let mut state = this.state.try_lock().ok_or(EAGAIN)?;
    Sizing::reap(this, dev, &queues, &mut state);
    if !state.is_open() || !matches!(state.moving, Moving::None) {
        return Err(EAGAIN);
    }
    let mut arriving = state.take_buffer(0).ok_or(EAGAIN)?;
    let Some(mut leaving) = state.take_buffer(0) else {
        state.put_buffer(arriving);
        return Err(EAGAIN);
    };
    arriving.fill_one(new);
    leaving.fill_one(old);
    let sent = match arriving.set_numbers(dev, Purpose::Move) {
        Ok(()) => {
            let added = queues.put_in(arriving);
            added.map_err(|refused| refused.buffer)
        }
        Err(_) => Err(arriving),
    };
    if let Err(unsent) = sent {
        state.put_buffer(unsent);
        state.put_buffer(leaving);
        return Err(EAGAIN);
    }
    state.moving = Moving::Arriving(leaving);
    this.counters.requests.add(1);
    // The host may have seen it: from here on the outcome is its acknowledgment.
    let _ = queues.inflate.kick();
    Ok(())
}

/// Tells the host that the old page comes back.
fn send_old(this: &Balloon, dev: &virtio::Device<device::Bound>) -> Result {
    let queues = this.queues(dev)?;
    let mut state = this.state.lock();
    match core::mem::replace(&mut state.moving, Moving::None) {
        Moving::Arrived(buffer) => {
            state.moving = send_out(this, dev, &queues, buffer, Purpose::Move);
        }
        other => state.moving = other,
    }
    Ok(())
}

/// Sends a page out of the balloon, and returns where that leaves the move.
fn send_out(
    this: &Balloon,
    dev: &virtio::Device<device::Bound>,
    queues: &Queues<'_>,
    mut buffer: PageBuffer,
    purpose: Purpose,
) -> Moving {
    match buffer.set_numbers(dev, purpose) {
        Ok(()) => add_out(this, queues, buffer),
        Err(_) => Moving::Stuck(buffer),
    }
}

/// The same for a buffer that says which page it is.
fn add_out(this: &Balloon, queues: &Queues<'_>, buffer: PageBuffer) -> Moving {
    let purpose = buffer.purpose();
    if let Err(refused) = queues.take_out(buffer) {
        return if queues.deflate.is_broken() {
            Moving::Stuck(refused.buffer)
        } else {
            Moving::Blocked(refused.buffer)
        };
    }
    this.counters.requests.add(1);
    let _ = queues.deflate.kick();
    match purpose {
        Purpose::Undo => Moving::Undoing,
        _ => Moving::Leaving,
    }
}

/// The host may have made room in the deflate queue: a page that waits for that goes first.
pub(crate) fn go_on(this: &Balloon, queues: &Queues<'_>, state: &mut State) {
    // Asked whenever buffers are taken back: what is there is large, and nearly always stays.
    if !matches!(state.moving, Moving::Blocked(_)) {
        return;
    }
    if let Moving::Blocked(buffer) = core::mem::replace(&mut state.moving, Moving::None) {
        state.moving = add_out(this, queues, buffer);
    }
}

/// The host has acknowledged the new page.
pub(crate) fn arrived(
    this: &Balloon,
    dev: &virtio::Device<device::Bound>,
    queues: &Queues<'_>,
    state: &mut State,
    buffer: PageBuffer,
) {
    match core::mem::replace(&mut state.moving, Moving::None) {
        Moving::Arriving(old) => {
            state.moving = Moving::Arrived(old);
            // The kernel has a reference of its own.
            state.put_buffer(buffer);
        }
        // Nobody waits any more.
        _ => state.moving = send_out(this, dev, queues, buffer, Purpose::Undo),
    }
}

/// The host has acknowledged a page that is out of the balloon.
pub(crate) fn left(this: &Balloon, state: &mut State, buffer: PageBuffer) {
    if buffer.purpose() == Purpose::Move {
        this.counters.migrated.add(1);
    }
    state.moving = Moving::None;
    state.put_buffer(buffer);
}

/// What the kernel does when it compacts memory, for tests.
#[cfg(CONFIG_VIRTIO_BALLOON_KUNIT_TEST)]
pub(crate) mod testing {
    use super::*;
    use kernel::mm::BalloonPages;

    /// Moves a page of the balloon.
    pub(crate) fn move_page(balloon: &Balloon) -> Result {
        let mut out = BalloonPages::new(1)?;
        let new = BalloonPage::alloc().ok_or(ENOMEM)?;
        let theirs = new.again().ok_or(ENOMEM)?;
        balloon.dequeue(1, &mut out);
        let Some(old) = out.pop() else {
            return Ok(());
        };
        let back = old.again().ok_or(ENOMEM)?;
        match replace(balloon, new, old) {
            Ok(()) => balloon.enqueue(theirs),
            Err(error) => {
                balloon.enqueue(back);
                return Err(error);
            }
        }
        Ok(())
    }
}
