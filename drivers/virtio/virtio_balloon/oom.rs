// SPDX-License-Identifier: GPL-2.0

//! Deflating when the guest has no memory left (`VIRTIO_BALLOON_F_DEFLATE_ON_OOM`).

use kernel::{
    mm::OomHandler,
    prelude::*,
    time::{
        delay::fsleep,
        Delta,
        Msecs, //
    },
};

use crate::{
    clock::{
        after,
        elapsed,
        now, //
    },
    events::{
        GiveUp,
        Wait, //
    },
    page_buffer::{
        Purpose,
        MAX_PAGES, //
    },
    resizing::Resizing,
    sizing::Sizing, //
};

/// Before most others that free memory, as the balloon is the cheapest: the C driver's.
pub(crate) const PRIORITY: i32 = 80;

/// Before the balloon: what hinting holds is free memory.
pub(crate) const PRIORITY_OF_HINTS: i32 = PRIORITY + 1;

/// How often to look whether the host has acknowledged something that is free memory, when the
/// guest has no memory left: for a second at most.
const ATTEMPTS: u32 = 50;
const ATTEMPT_PAUSE_MS: i64 = 20;

/// Waits for memory that the host has for a while, and that comes back by itself.
///
/// `look` returns how many pages are not back yet, and how many came since the last look. Returns
/// how many came.
pub(crate) fn wait_for_hints(look: impl Fn() -> (usize, usize)) -> usize {
    for _ in 0..ATTEMPTS {
        let (missing, back) = look();
        if back > 0 || missing == 0 {
            return back;
        }
        fsleep(Delta::from_millis(ATTEMPT_PAUSE_MS));
    }
    0
}

/// How long to wait for the host while nobody in the guest gets memory.
const TIMEOUT_MS: Msecs = 1000;

/// How long the host gets no more memory, even if it changes its target at once.
const PAUSE_MS: Msecs = 2000;

impl OomHandler for Resizing {
    fn free_pages(&self) -> usize {
        let this = &*self.0;
        let taken = this.access.with(|dev| {
            let queues = this.queues(dev)?;
            let mut state = this.state.lock();
            if !state.is_open() {
                return Ok(0);
            }
            Sizing::reap(this, dev, &queues, &mut state);
            // More memory for the host would be more of the same.
            state.held_back = true;
            state.retry_at = after(PAUSE_MS);
            let taken =
                Sizing::deflate(this, dev, &queues, &mut state, MAX_PAGES, Purpose::Oom, 0)?;
            state.urgent = state.urgent.saturating_add(taken);
            queues.deflate.kick()?;
            Ok::<_, Error>(taken)
        });
        let Ok(Ok(taken @ 1..)) = taken else {
            return 0;
        };
        let begun = now();
        if !Sizing::wait(this, TIMEOUT_MS, |state| state.urgent == 0) {
            // They are free when the host gets round to it.
            GiveUp::trace(|| GiveUp {
                dev: this.access.index(),
                wait: Wait::Oom,
                pages: taken,
                ns: elapsed(begun),
            });
            if this.state.lock().late_silence.is_over() {
                pr_warn!(
                    "no memory is left, and the host did not take {} pages back within {} ms\n",
                    taken,
                    TIMEOUT_MS
                );
            }
            return 0;
        }
        let _ = this
            .access
            .with(|dev| Sizing::report_size(this, dev, &mut this.state.lock()));
        taken
    }
}
