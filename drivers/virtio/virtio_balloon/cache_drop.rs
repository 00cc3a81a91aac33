// SPDX-License-Identifier: GPL-2.0

//! Dropping caches on the host's command, as far as the owner of the guest allows it.
//!
//! It may take long, or wait for a file system for ever, so a thread of its own does it, which
//! nobody waits for without a limit: neither the answer to the host, nor the end of the device,
//! nor a suspend.

use kernel::{
    bindings,
    mm::{
        self,
        Caches,
        MemInfo, //
    },
    module::this_module,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            AtomicFlag,
            Full,
            Relaxed,
            Release, //
        },
        Arc, //
    },
    thread,
    time::Msecs, //
};

use crate::{
    bitmap_request::{
        DropResult,
        Dropped,
        PAGE_FRAMES_SHIFT, //
    },
    clock::now, //
};

static_assert!(Caches::ALL.bits() as u32 == bindings::VIRTIO_BALLOON_BITMAP_ALL_CACHES);
static_assert!(Caches::SLAB.bits() as u32 == bindings::VIRTIO_BALLOON_BITMAP_SLAB);

/// When caches were dropped last, in nanoseconds since the machine was started; 0 for never.
///
/// For all devices together: a host must not get more by unplugging and plugging its balloon.
static LAST: Atomic<i64> = Atomic::new(0);

/// Whether caches are being dropped now.
static RUNNING: AtomicFlag = AtomicFlag::new(false);

/// What the owner of the guest allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DropPolicy {
    /// Which caches the host may drop.
    pub(crate) allowed: Caches,
    /// Seconds from one time to the next, at least.
    pub(crate) interval_s: u32,
    /// How long an answer waits for it at most, in milliseconds.
    pub(crate) wait_ms: Msecs,
}

/// How far the thread is.
struct Progress {
    state: Atomic<u32>,
}

const GOING_ON: u32 = 0;
const SUCCEEDED: u32 = 1;
const FAILED: u32 = 2;

/// Caches that are being dropped.
pub(crate) struct Dropping {
    progress: Arc<Progress>,
    caches: Caches,
    /// The host wanted more than this.
    restricted: bool,
    free_before: u64,
    /// When it began, in nanoseconds since the machine was started.
    pub(crate) begun: i64,
    /// The same for when to wait no longer.
    deadline: i64,
}

/// What a command leads to.
pub(crate) enum Command {
    /// Nothing has to be waited for.
    Finished(Dropped),
    /// This has.
    Started(Dropping),
}

impl DropPolicy {
    /// Starts to drop caches, if they are allowed.
    pub(crate) fn start(&self, wanted: Caches) -> Command {
        if wanted.is_empty() {
            return Command::Finished(Dropped::none(DropResult::None));
        }
        let caches = wanted.and(self.allowed);
        if caches.is_empty() {
            return Command::Finished(Dropped::none(DropResult::Refused));
        }
        let now = now();
        if !self.claim(now) {
            return Command::Finished(Dropped::none(DropResult::TooSoon));
        }
        match self.run(caches, wanted, now) {
            Ok(dropping) => Command::Started(dropping),
            Err(_) => {
                RUNNING.store(false, Release);
                Command::Finished(Dropped::none(DropResult::Failed))
            }
        }
    }

    /// Whether enough time has passed, and nobody else is at it. Then it counts as done now.
    fn claim(&self, now: i64) -> bool {
        let last = LAST.load(Relaxed);
        if !is_due(last, now, self.interval_s) || RUNNING.xchg(true, Full) {
            return false;
        }
        // Another device's may have been quicker.
        if LAST.cmpxchg(last, now, Full).is_err() {
            RUNNING.store(false, Release);
            return false;
        }
        true
    }

    fn run(&self, caches: Caches, wanted: Caches, now: i64) -> Result<Dropping> {
        let progress = Arc::new(
            Progress {
                state: Atomic::new(GOING_ON),
            },
            GFP_KERNEL,
        )?;
        let dropping = Dropping {
            progress: progress.clone(),
            caches,
            restricted: caches != wanted,
            free_before: MemInfo::read().free,
            begun: now,
            deadline: now.saturating_add(i64::from(self.wait_ms).saturating_mul(1_000_000)),
        };
        thread::run_detached(
            this_module::<crate::LocalModule>(),
            c"virtio-balloon-drop",
            move || {
                let state = match mm::drop_caches(caches) {
                    Ok(()) => SUCCEEDED,
                    Err(_) => FAILED,
                };
                RUNNING.store(false, Release);
                progress.state.store(state, Release);
            },
        )?;
        Ok(dropping)
    }
}

/// Returns whether caches may be dropped again. Times are in nanoseconds.
fn is_due(last: i64, now: i64, interval_s: u32) -> bool {
    let interval = i64::from(interval_s).saturating_mul(1_000_000_000);
    last == 0 || now.saturating_sub(last) >= interval
}

impl Dropping {
    /// Returns what was dropped, or [`None`] as long as that is to be waited for.
    pub(crate) fn poll(&self) -> Option<Dropped> {
        self.outcome()
            .or_else(|| (now() >= self.deadline).then(|| self.timeout()))
    }

    /// Waits no longer.
    pub(crate) fn leave(&self) -> Dropped {
        self.outcome().unwrap_or_else(|| self.timeout())
    }

    fn outcome(&self) -> Option<Dropped> {
        match self.progress.state.load(Acquire) {
            GOING_ON => None,
            SUCCEEDED => Some(Dropped {
                caches: self.caches,
                result: if self.restricted {
                    DropResult::Refused
                } else {
                    DropResult::Dropped
                },
                pages: self.pages(),
            }),
            _ => Some(Dropped::none(DropResult::Failed)),
        }
    }

    fn timeout(&self) -> Dropped {
        Dropped {
            pages: self.pages(),
            ..Dropped::none(DropResult::Timeout)
        }
    }

    /// Returns how much more free memory there is than before, in balloon pages.
    fn pages(&self) -> u64 {
        let pages = MemInfo::read().free.saturating_sub(self.free_before);
        pages.checked_shl(PAGE_FRAMES_SHIFT).unwrap_or(0)
    }
}

#[cfg(CONFIG_VIRTIO_BALLOON_KUNIT_TEST)]
#[kunit_tests(rust_virtio_balloon_cache_drop)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn refused(allowed: Caches, wanted: Caches) -> Option<DropResult> {
        let policy = DropPolicy {
            allowed,
            interval_s: 0,
            wait_ms: 0,
        };
        match policy.start(wanted) {
            Command::Finished(dropped) => {
                assert!(dropped.caches.is_empty());
                Some(dropped.result)
            }
            Command::Started(_) => None,
        }
    }

    #[test]
    fn only_what_is_allowed() {
        assert_eq!(
            refused(Caches::NONE, Caches::ALL),
            Some(DropResult::Refused)
        );
        assert_eq!(
            refused(Caches::SLAB, Caches::PAGE_CACHE),
            Some(DropResult::Refused)
        );
        assert_eq!(refused(Caches::ALL, Caches::NONE), Some(DropResult::None));
    }

    #[test]
    fn not_before_it_is_due() {
        assert!(is_due(0, 1, 60));
        assert!(!is_due(SECOND, 2 * SECOND, 60));
        assert!(!is_due(SECOND, 61 * SECOND - 1, 60));
        assert!(is_due(SECOND, 61 * SECOND, 60));
        assert!(is_due(SECOND, SECOND, 0));
        assert!(!is_due(SECOND, 4_000_000_000 * SECOND, u32::MAX));
    }
}
