// SPDX-License-Identifier: GPL-2.0

//! The inflate and deflate queues, and when the host is notified of what is in them.

use kernel::{
    prelude::*,
    virtio::{
        Queue,
        Refused, //
    }, //
};

use crate::{
    events::{
        Deflate,
        Inflate, //
    },
    page_buffer::PageBuffer,
    sizing::{
        State,
        BUFFERS,
        RESERVED_BUFFERS, //
    },
    unseen::Unseen, //
};

/// Most buffers for which the host is notified once. With as many more it is kept busy while the
/// next ones are filled.
const BUFFERS_PER_KICK: usize = (BUFFERS - RESERVED_BUFFERS) / 2;

/// Access to both virtqueues.
pub(crate) struct Queues<'a> {
    pub(crate) inflate: Queue<'a, PageBuffer>,
    pub(crate) deflate: Queue<'a, PageBuffer>,
    /// The number of the device.
    pub(crate) index: c_int,
}

impl Queues<'_> {
    /// Gives the host pages for the balloon. It has to be notified.
    #[allow(clippy::result_large_err, reason = "the buffer itself comes back")]
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
    #[allow(clippy::result_large_err, reason = "the buffer itself comes back")]
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

/// Buffers that were added to each queue since the host was notified.
#[derive(Default)]
pub(crate) struct UnseenPages {
    pub(crate) inflate: Unseen,
    pub(crate) deflate: Unseen,
}

impl UnseenPages {
    /// Notifies the host where there are as many as it is notified for at once.
    pub(crate) fn kick_if_enough(&mut self, queues: &Queues<'_>) -> Result {
        let (inflate, deflate) = (&queues.inflate, &queues.deflate);
        self.inflate.kick(inflate, per_kick(inflate))?;
        self.deflate.kick(deflate, per_kick(deflate))?;
        Ok(())
    }

    /// Notifies the host where there are any.
    pub(crate) fn kick(&mut self, queues: &Queues<'_>) -> Result {
        let inflate = self.inflate.kick(&queues.inflate, 1);
        self.deflate.kick(&queues.deflate, 1).and(inflate)?;
        Ok(())
    }
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
pub(crate) fn has_room(queue: &Queue<'_, PageBuffer>, state: &State, unseen: &Unseen) -> bool {
    let ring = queue.size().saturating_sub(queue.lock().lent());
    let room = state.idle().saturating_sub(RESERVED_BUFFERS).min(ring);
    let least = if unseen.is_empty() {
        per_kick(queue)
    } else {
        1
    };
    room >= least
}
