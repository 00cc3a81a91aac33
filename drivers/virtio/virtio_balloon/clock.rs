// SPDX-License-Identifier: GPL-2.0

//! Times, in nanoseconds of the monotonic clock.

use kernel::time::{
    ClockSource,
    Monotonic,
    Msecs,
    NSEC_PER_MSEC, //
};

/// The pause from one line in the log to the next like it.
const SILENCE_MS: Msecs = 10_000;

/// How long to wait before looking whether somebody else has taken what was waited for.
const SLICE_MS: Msecs = 20;

/// Returns that time.
pub(crate) fn slice() -> Msecs {
    #[cfg(CONFIG_VIRTIO_BALLOON_KUNIT_TEST)]
    return testing::shortened(SLICE_MS);
    #[cfg(not(CONFIG_VIRTIO_BALLOON_KUNIT_TEST))]
    SLICE_MS
}

pub(crate) fn now() -> i64 {
    Monotonic::ktime_get()
}

/// Returns how long ago a time was, in nanoseconds.
pub(crate) fn elapsed(since: i64) -> u64 {
    u64::try_from(now().saturating_sub(since)).unwrap_or(0)
}

/// Returns the time that is `pause` milliseconds from now.
pub(crate) fn after(pause: Msecs) -> i64 {
    #[cfg(CONFIG_VIRTIO_BALLOON_KUNIT_TEST)]
    let pause = testing::shortened(pause);
    now().saturating_add(i64::from(pause).saturating_mul(NSEC_PER_MSEC))
}

/// Patience for tests that do not have much: those that wait for nothing thousands of times.
#[cfg(CONFIG_VIRTIO_BALLOON_KUNIT_TEST)]
pub(crate) mod testing {
    use kernel::{
        sync::atomic::{
            Atomic,
            Relaxed, //
        },
        time::Msecs, //
    };

    static DIVISOR: Atomic<u32> = Atomic::new(1);

    /// Times are not shortened with this, but as many times longer: for a machine so slow that a
    /// host that goes along gets nothing done in the driver's time.
    const PATIENT: u32 = 0;
    const LONGER: Msecs = 20;

    /// All times to come are shortened until this is dropped. One in the other is possible.
    pub(crate) struct Haste(u32);

    impl Haste {
        pub(crate) fn new(divisor: u32) -> Self {
            Self(DIVISOR.xchg(divisor.max(1), Relaxed))
        }

        /// All times are longer.
        pub(crate) fn patient() -> Self {
            Self(DIVISOR.xchg(PATIENT, Relaxed))
        }
    }

    impl Drop for Haste {
        fn drop(&mut self) {
            DIVISOR.store(self.0, Relaxed);
        }
    }

    pub(super) fn shortened(pause: Msecs) -> Msecs {
        match DIVISOR.load(Relaxed) {
            PATIENT => pause.saturating_mul(LONGER),
            divisor => (pause / divisor).max(1),
        }
    }
}

/// Keeps the host from filling the log with what it can bring about again and again.
#[derive(Default)]
pub(crate) struct Silence {
    until: i64,
}

impl Silence {
    /// Returns whether something may be said, after which there is silence for a while.
    pub(crate) fn is_over(&mut self) -> bool {
        self.is_over_at(now())
    }

    fn is_over_at(&mut self, now: i64) -> bool {
        if now < self.until {
            return false;
        }
        self.until = now.saturating_add(i64::from(SILENCE_MS).saturating_mul(NSEC_PER_MSEC));
        true
    }
}

#[cfg(CONFIG_VIRTIO_BALLOON_KUNIT_TEST)]
#[kernel::prelude::kunit_tests(rust_virtio_balloon_clock)]
mod tests {
    use super::*;

    #[test]
    fn speaks_once_in_a_while() {
        let mut silence = Silence::default();
        let mut spoken = 0;
        // An hour, ten times a second.
        for tenth in 0..36_000i64 {
            if silence.is_over_at(tenth * 100 * NSEC_PER_MSEC) {
                spoken += 1;
            }
        }
        assert_eq!(spoken, 360);
    }

    #[test]
    fn a_time_to_come_comes() {
        let soon = after(1);
        assert!(after(60_000) > soon);
        while now() < soon {
            kernel::mm::cond_resched();
        }
        assert!(after(0) >= soon);
        assert_eq!(elapsed(after(60_000)), 0);
        assert!(elapsed(0) >= u64::try_from(soon).unwrap_or(u64::MAX));
    }
}
