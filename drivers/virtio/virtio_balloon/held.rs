// SPDX-License-Identifier: GPL-2.0

//! Pages that are held for the host.
//!
//! A page that is held may be used again when the host has acknowledged it, by returning the
//! buffer that it was in. Pages that it has not acknowledged are in the virtqueue and cannot be
//! had from there. So the two cannot be mistaken for each other.

use kernel::{
    mm::{
        self,
        OomHandler,
        PageRun,
        PageRunStack,
        Run,
        Shrinker, //
    },
    new_spinlock,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            AtomicFlag,
            Full,
            Relaxed, //
        },
        Arc,
        SpinLock, //
    }, //
};

use crate::{
    counters::HintCounters,
    oom, //
};

/// Pages that the host has acknowledged, kept until it is done.
#[pin_data]
pub(crate) struct HeldPages {
    counters: Arc<HintCounters>,
    /// Somebody in the guest looked for memory.
    pressure: AtomicFlag,
    /// Pages that were given back since the guest last had no memory left.
    given_back: Atomic<usize>,
    #[pin]
    acknowledged: SpinLock<PageRunStack>,
}

impl HeldPages {
    /// Creates an empty set.
    pub(crate) fn new(counters: Arc<HintCounters>) -> impl PinInit<Self> {
        pin_init!(Self {
            counters,
            pressure: AtomicFlag::new(false),
            given_back: Atomic::new(0),
            acknowledged <- new_spinlock!(PageRunStack::new()),
        })
    }

    /// Keeps a run that the host has acknowledged.
    pub(crate) fn keep(&self, run: PageRun) {
        self.acknowledged.lock().push(run);
    }

    /// Gives a run back to the guest.
    pub(crate) fn release(&self, run: PageRun) {
        let pages = run.range().pages();
        drop(run);
        // In this order: who sees that nothing is held any more has to see what became of it.
        self.given_back.fetch_add(pages, Full);
        self.counters.held_pages.sub(pages);
    }

    /// Gives all runs back to the guest.
    ///
    /// Must be called from a context that may sleep.
    pub(crate) fn release_all(&self) {
        let mut all = self.acknowledged.lock().take();
        while let Some(run) = all.pop() {
            self.release(run);
            mm::cond_resched();
        }
    }

    /// Forgets that memory was short.
    pub(crate) fn clear_pressure(&self) {
        self.pressure.store(false, Relaxed);
    }

    /// Returns whether memory was short since [`HeldPages::clear_pressure`].
    pub(crate) fn under_pressure(&self) -> bool {
        self.pressure.load(Relaxed)
    }
}

/// An object is a page.
impl Shrinker for HeldPages {
    fn count(&self) -> usize {
        self.pressure.store(true, Relaxed);
        self.acknowledged.lock().pages()
    }

    fn scan(&self, objects: usize) -> Option<usize> {
        let mut freed = 0usize;
        while freed < objects {
            // Freed without the lock; nothing is allocated under it.
            let Some(mut run) = self.acknowledged.lock().pop() else {
                break;
            };
            // At least a block: a run cannot give less.
            let block = run.range().pages().checked_div(run.blocks()).unwrap_or(0);
            let wanted = objects.saturating_sub(freed).max(block);
            if let Some(rest) = run.split_off(wanted) {
                self.acknowledged.lock().push(rest);
            }
            freed = freed.saturating_add(run.range().pages());
            self.release(run);
        }
        self.counters.shrunk_pages.add(freed);
        (freed > 0).then_some(freed)
    }
}

/// The shrinker can only give back what the host has acknowledged. Before somebody is killed for
/// want of memory, it is worth to wait for that: the host has free memory of ours, after all.
///
/// The host may say that it is done, and all may have been given back, between the kernel's last
/// look for memory and this. Then it has to look once more, although nothing is held.
impl OomHandler for HeldPages {
    fn free_pages(&self) -> usize {
        self.pressure.store(true, Relaxed);
        oom::wait_for_hints(|| {
            let _ = self.scan(usize::MAX);
            let held = self.counters.held_pages.get();
            let given_back = self.given_back.xchg(0, Full);
            (usize::try_from(held).unwrap_or(usize::MAX), given_back)
        })
    }
}

#[cfg(CONFIG_VIRTIO_BALLOON_KUNIT_TEST)]
#[kunit_tests(rust_virtio_balloon_held)]
mod tests {
    use super::*;
    use crate::{
        policy::Strategy,
        shown::{
            HintState,
            Shown, //
        }, //
    };
    use kernel::mm::Nodes;

    const ORDER: u32 = 2;

    fn held(blocks: usize) -> Result<Arc<HeldPages>> {
        let counters = Arc::new(
            HintCounters::new(Strategy::Hold, 1, Shown::new(HintState::Idle)),
            GFP_KERNEL,
        )?;
        let held = Arc::pin_init(HeldPages::new(counters), GFP_KERNEL)?;
        let node = Nodes::new().next().ok_or(ENODEV)?;
        let mut whole: Option<PageRun> = None;
        for _ in 0..blocks {
            let block = PageRun::alloc(&node, ORDER).ok_or(ENOMEM)?;
            held.counters.hold(block.range().pages());
            // Runs of as many blocks as the allocator happens to return in a row.
            if let Some(run) = whole.as_mut() {
                if let Err(block) = run.join(block) {
                    held.keep(core::mem::replace(run, block));
                }
            } else {
                whole = Some(block);
            }
        }
        if let Some(run) = whole {
            held.keep(run);
        }
        Ok(held)
    }

    #[test]
    fn shrinking_gives_back_what_is_asked_and_no_block_more() -> Result {
        let held = held(32)?;
        assert_eq!(held.count(), 32 << ORDER);
        assert!(held.under_pressure());
        assert_eq!(held.scan(1), Some(1 << ORDER));
        assert_eq!(held.scan(3 << ORDER), Some(3 << ORDER));
        assert_eq!(held.count(), 28 << ORDER);
        assert_eq!(held.counters.held_pages.get(), 28 << ORDER);
        assert_eq!(held.scan(usize::MAX), Some(28 << ORDER));
        assert_eq!(held.scan(1), None);
        assert_eq!(held.counters.shrunk_pages.get(), 32 << ORDER);
        assert_eq!(held.counters.held_pages.get(), 0);
        Ok(())
    }

    #[test]
    fn done_gives_all_back() -> Result {
        let held = held(9)?;
        held.release_all();
        assert_eq!(held.count(), 0);
        assert_eq!(held.counters.held_pages.get(), 0);
        assert_eq!(held.counters.shrunk_pages.get(), 0);
        Ok(())
    }

    /// Whoever has no memory left looks again if there was any in the meantime, but not for ever.
    #[test]
    fn what_was_given_back_counts_once_before_a_kill() -> Result {
        let held = held(9)?;
        held.release_all();
        assert_eq!(held.free_pages(), 9 << ORDER);
        assert_eq!(held.free_pages(), 0);
        Ok(())
    }

    #[test]
    fn what_is_held_is_given_back_before_a_kill() -> Result {
        let held = held(9)?;
        assert_eq!(held.free_pages(), 9 << ORDER);
        assert_eq!(held.counters.held_pages.get(), 0);
        assert_eq!(held.free_pages(), 0);
        Ok(())
    }
}
