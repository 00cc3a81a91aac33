// SPDX-License-Identifier: GPL-2.0

//! Work queues: a queue of one's own, and work that can be stopped.
//!
//! What the kernel's [`workqueue`](kernel::workqueue) module has is re-exported. Its work items own
//! a reference to themselves while they are queued and cannot be cancelled; what follows is for
//! work that belongs to a device, has to end before the device goes, and may go on after a suspend.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use crate::{
    bindings,
    container_of,
    prelude::*,
    sync::{
        atomic::{
            AtomicFlag,
            Relaxed, //
        },
        Arc,
        LockClassKey, //
    },
    time::{
        msecs_to_jiffies,
        Jiffies,
        Msecs, //
    },
    types::Opaque, //
};
use core::{
    ops::Deref,
    ptr::NonNull, //
};

pub use kernel::workqueue::*;

/// A work queue of one's own.
///
/// Dropping it runs what is queued, and then destroys it.
///
/// # Invariants
///
/// The pointer is to a valid work queue that belongs to this value.
pub struct OwnedQueue(NonNull<bindings::workqueue_struct>);

// SAFETY: Work queues may be used from any thread.
unsafe impl Send for OwnedQueue {}
// SAFETY: Work queues may be used from any thread.
unsafe impl Sync for OwnedQueue {}

impl OwnedQueue {
    /// Allocates a queue whose work stops over a suspend, and that the scheduler may run anywhere.
    ///
    /// For work that can go on for long.
    pub fn new_freezable_unbound(name: &'static CStr) -> Result<Arc<Self>> {
        let flags = bindings::wq_flags_WQ_FREEZABLE | bindings::wq_flags_WQ_UNBOUND;
        // SAFETY: Both strings end with a NUL, and the format takes one string.
        let queue = unsafe {
            bindings::alloc_workqueue_noprof(c"%s".as_char_ptr(), flags, 0, name.as_char_ptr())
        };
        // INVARIANT: The queue was just allocated.
        let queue = Self(NonNull::new(queue).ok_or(ENOMEM)?);
        Ok(Arc::new(queue, GFP_KERNEL)?)
    }
}

impl Drop for OwnedQueue {
    fn drop(&mut self) {
        // SAFETY: By the type invariants the queue is valid and nobody else's.
        unsafe { bindings::destroy_workqueue(self.0.as_ptr()) };
    }
}

// CAST: A small constant.
const ANY_CPU: c_int = bindings::wq_misc_consts_WORK_CPU_UNBOUND as c_int;

/// What a [`StoppableWork`] does.
pub trait StoppableWorkItem: Send + Sync + 'static {
    /// Runs the work, in process context, never twice at a time.
    ///
    /// It may take long if it asks [`Stop::requested`] now and then.
    fn run(&self, stop: Stop<'_>) -> Then;
}

/// What is to happen when work has run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It runs when it is queued the next time.
    Done,
    /// It runs again after a pause in milliseconds, or when it is queued before.
    After(Msecs),
}

/// Tells running work that it is to end.
#[derive(Clone, Copy)]
pub struct Stop<'a>(&'a AtomicFlag);

impl Stop<'_> {
    /// Returns whether somebody waits for the work to end.
    pub fn requested(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// A work item, with its data and its queue, that can be stopped, and started again.
///
/// Dropping it stops it.
#[pin_data(PinnedDrop)]
pub struct StoppableWork<T: StoppableWorkItem> {
    #[pin]
    work: Opaque<bindings::delayed_work>,
    stopped: AtomicFlag,
    queue: Arc<OwnedQueue>,
    #[pin]
    item: T,
}

// SAFETY: The work may be queued and stopped from any thread, and so may `T` be used.
unsafe impl<T: StoppableWorkItem> Send for StoppableWork<T> {}
// SAFETY: As above.
unsafe impl<T: StoppableWorkItem> Sync for StoppableWork<T> {}

impl<T: StoppableWorkItem> StoppableWork<T> {
    /// Creates a work item that runs on `queue`.
    pub fn new(
        queue: Arc<OwnedQueue>,
        item: impl PinInit<T, Error>,
        name: &'static CStr,
        work_key: Pin<&'static LockClassKey>,
        timer_key: Pin<&'static LockClassKey>,
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            work <- Opaque::ffi_init(|slot: *mut bindings::delayed_work| {
                // SAFETY: `slot` is valid for writes. `run_callback` fits, as the work is that of
                // a `StoppableWork<T>`.
                unsafe {
                    bindings::init_work_with_key(
                        &raw mut (*slot).work,
                        Some(Self::run_callback),
                        false,
                        name.as_char_ptr(),
                        work_key.as_ptr(),
                    )
                };
                // SAFETY: `slot` is valid for writes. The function fits, as the timer is that of
                // a `struct delayed_work`.
                unsafe {
                    bindings::timer_init_key(
                        &raw mut (*slot).timer,
                        Some(bindings::delayed_work_timer_fn),
                        bindings::TIMER_IRQSAFE,
                        name.as_char_ptr(),
                        timer_key.as_ptr(),
                    )
                };
            }),
            stopped: AtomicFlag::new(false),
            queue,
            item <- item,
        })
    }

    /// Queues the work, also if it was to wait.
    ///
    /// Does nothing if it is queued already or was stopped. If it is running, it runs once more.
    /// May be called from any context.
    pub fn enqueue(&self) {
        // SAFETY: The queue is valid by its invariants, and the work is initialised. It stays
        // where it is, as `self` is pinned, until `drop()` has stopped it.
        unsafe {
            bindings::mod_delayed_work_on(ANY_CPU, self.queue.0.as_ptr(), self.work.get(), 0)
        };
    }

    /// Queues the work to run after a pause of `delay` milliseconds.
    ///
    /// Does nothing if it is queued or waiting already, or was stopped. May be called from any
    /// context.
    pub fn enqueue_after(&self, delay: Msecs) {
        let delay: Jiffies = msecs_to_jiffies(delay);
        // SAFETY: As in `enqueue()`.
        unsafe {
            bindings::queue_delayed_work_on(ANY_CPU, self.queue.0.as_ptr(), self.work.get(), delay)
        };
    }

    /// Stops the work: it is not run again, and is not running when this returns.
    ///
    /// Must be called from a context that may sleep, and not from the work itself.
    pub fn stop(&self) {
        if !self.stopped.xchg(true, Relaxed) {
            // SAFETY: The work is initialised.
            unsafe { bindings::disable_delayed_work_sync(self.work.get()) };
        }
    }

    /// Allows the work to be queued again after [`StoppableWork::stop`], which must have returned.
    pub fn restart(&self) {
        if self.stopped.xchg(false, Relaxed) {
            // SAFETY: The work is initialised, and was disabled by `stop()`.
            unsafe { bindings::enable_delayed_work(self.work.get()) };
        }
    }

    /// Waits until the work has run if it is queued, and not only waits for its time.
    #[cfg(CONFIG_RUST_KERNEL_NEXT_KUNIT_TEST)]
    pub(crate) fn flush(&self) {
        // SAFETY: The work is initialised.
        unsafe { bindings::flush_work(&raw mut (*self.work.get()).work) };
    }

    /// # Safety
    ///
    /// To be called by the kernel alone, for the work of a `StoppableWork<T>` that was queued.
    unsafe extern "C" fn run_callback(work: *mut bindings::work_struct) {
        // SAFETY: By the safety requirement the work is that of a `struct delayed_work`.
        let work = unsafe { container_of!(work, bindings::delayed_work, work) };
        // SAFETY: By the safety requirement; `Opaque` is `repr(transparent)`.
        let this = unsafe { container_of!(Opaque::cast_from(work), Self, work) };
        // SAFETY: The work does not go away while it runs: `drop()` waits for it.
        let this = unsafe { &*this };
        if let Then::After(delay) = this.item.run(Stop(&this.stopped)) {
            this.enqueue_after(delay);
        }
    }
}

impl<T: StoppableWorkItem> Deref for StoppableWork<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.item
    }
}

#[pinned_drop]
impl<T: StoppableWorkItem> PinnedDrop for StoppableWork<T> {
    fn drop(self: Pin<&mut Self>) {
        self.stop();
    }
}

/// Creates a [`StoppableWork`] with lock classes of its own.
#[macro_export]
macro_rules! new_stoppable_work {
    ($queue:expr, $item:expr $(, $name:literal)? $(,)?) => {
        $crate::workqueue::StoppableWork::new(
            $queue,
            $item,
            $crate::optional_name!($($name)?),
            $crate::static_lock_class!(),
            $crate::static_lock_class!(),
        )
    };
}

#[cfg(CONFIG_RUST_KERNEL_NEXT_KUNIT_TEST)]
#[kunit_tests(rust_kernel_workqueue)]
mod tests {
    use super::*;
    use crate::sync::atomic::Atomic;

    struct Counter {
        runs: Atomic<u32>,
        until_stopped: bool,
    }

    impl StoppableWorkItem for Counter {
        fn run(&self, stop: Stop<'_>) -> Then {
            self.runs.fetch_add(1, Relaxed);
            while self.until_stopped && !stop.requested() {
                crate::mm::cond_resched();
            }
            Then::Done
        }
    }

    fn counter(until_stopped: bool) -> Result<Arc<StoppableWork<Counter>>> {
        let queue = OwnedQueue::new_freezable_unbound(c"rust-kunit")?;
        let counter = Counter {
            runs: Atomic::new(0),
            until_stopped,
        };
        Arc::pin_init(new_stoppable_work!(queue, Ok(counter)), GFP_KERNEL)
    }

    #[test]
    fn stops_work_that_would_go_on_for_ever() -> Result {
        let work = counter(true)?;
        work.enqueue();
        while work.runs.load(Relaxed) == 0 {
            crate::mm::cond_resched();
        }
        work.stop();
        assert_eq!(work.runs.load(Relaxed), 1);
        work.enqueue();
        drop(work);
        Ok(())
    }

    #[test]
    fn runs_again_after_a_restart() -> Result {
        let work = counter(false)?;
        work.stop();
        work.enqueue();
        work.restart();
        work.enqueue();
        while work.runs.load(Relaxed) == 0 {
            crate::mm::cond_resched();
        }
        work.stop();
        assert_eq!(work.runs.load(Relaxed), 1);
        Ok(())
    }

    /// An hour's pause ends when the work is queued, and does not hold up a stop.
    #[test]
    fn a_pause_can_be_cut_short() -> Result {
        const HOUR: Msecs = 3_600_000;
        let work = counter(false)?;
        work.enqueue_after(HOUR);
        work.enqueue();
        while work.runs.load(Relaxed) == 0 {
            crate::mm::cond_resched();
        }
        work.enqueue_after(HOUR);
        work.stop();
        assert_eq!(work.runs.load(Relaxed), 1);
        Ok(())
    }

    #[test]
    fn drops_with_work_that_is_queued() -> Result {
        let work = counter(false)?;
        work.enqueue();
        drop(work);
        let never_queued = counter(false)?;
        drop(never_queued);
        Ok(())
    }
}
