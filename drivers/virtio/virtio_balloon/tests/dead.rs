// SPDX-License-Identifier: GPL-2.0

//! A device that stops answering, at each of the things that the driver may wait for.
//!
//! Unbinding ends all the same, in two ways: the reset completes, and what the device had is free
//! again; or it does not, and what the device had is lost on purpose.

use kernel::{
    mm::{
        MemInfo,
        Nodes,
        OomHandler,
        PageRun,
        MAX_PAGE_ORDER, //
    },
    prelude::*,
    time::{
        ClockSource,
        Monotonic, //
    },
    virtio::{
        mock::Setup,
        Feature, //
    }, //
};

use super::host::{
    ensure,
    everything,
    Host,
    DEFLATE,
    FREE_PAGE,
    INFLATE,
    STATS, //
};
use crate::{
    device::REPORTING,
    moving::testing::move_page,
    policy::testing::Choice, //
};

/// How long the end of a device may take, in nanoseconds.
const LIMIT: i64 = 10_000_000_000;

/// Pages that a test gives away: many more than what else changes meanwhile.
const PAGES: usize = 32768;

/// What the driver waits for when the device stops answering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// The first buffer of an inflation.
    Inflation,
    /// An inflated balloon, of which nothing is taken back.
    Balloon,
    /// The first buffer of a deflation.
    Deflation,
    /// The statistics' buffer, which is the device's most of the time.
    Statistics,
    /// The command id that opens a round of hints.
    HintId,
    /// Pages that are held.
    HeldPages,
    /// A request buffer for the bitmap.
    BitmapRequest,
}

impl Wait {
    const ALL: [Self; 7] = [
        Self::Inflation,
        Self::Balloon,
        Self::Deflation,
        Self::Statistics,
        Self::HintId,
        Self::HeldPages,
        Self::BitmapRequest,
    ];

    /// Returns a host with a driver that waits for it.
    fn reach(self) -> Result<Host> {
        let choice = Choice {
            bitmap: self == Self::BitmapRequest,
            ..Choice::default()
        };
        let host = Host::new(choice, everything_but_reports())?;
        match self {
            Self::Inflation => {
                host.set_target(PAGES as u32);
                host.wait_for(INFLATE)?;
            }
            Self::Balloon | Self::Deflation => {
                host.device.set_eager(1 << INFLATE);
                host.set_target(PAGES as u32);
                host.wait_until(|| Ok(host.actual() == PAGES as u32))?;
                if self == Self::Deflation {
                    host.set_target(0);
                    host.wait_for(DEFLATE)?;
                }
            }
            Self::Statistics => {
                host.wait_for(STATS)?;
            }
            Self::HintId => {
                host.set_command(7);
                host.wait_for(FREE_PAGE)?;
            }
            Self::HeldPages => {
                host.set_command(7);
                while !host.wait_for(FREE_PAGE)?.is_writable() {}
            }
            Self::BitmapRequest => {
                host.wait_for(FREE_PAGE)?;
            }
        }
        Ok(host)
    }
}

/// A report would take blocks out of the free memory in the middle of a test.
fn everything_but_reports() -> Setup {
    let mut setup = everything();
    setup.features &= !Setup::new(0).offer(REPORTING).features;
    setup.offer(Feature::VERSION_1)
}

/// Takes all memory but about `leave` pages, until it is dropped.
fn take_memory(leave: u64) -> Result<KVec<PageRun>> {
    let mut taken = KVec::new();
    for node in Nodes::new() {
        while MemInfo::read().free > leave {
            let Some(block) = PageRun::alloc(&node, MAX_PAGE_ORDER) else {
                break;
            };
            taken.push(block, GFP_KERNEL)?;
        }
    }
    Ok(taken)
}

/// Unbinds the driver, which must not take long.
fn unbind(host: &Host) -> Result {
    let begin = Monotonic::ktime_get();
    host.device.unbind();
    let took = Monotonic::ktime_get().saturating_sub(begin);
    pr_info!("test: unbound after {} ms\n", took / 1_000_000);
    ensure(took < LIMIT, "unbinding took too long")?;
    ensure(!host.device.is_bound(), "the driver is still bound")
}

#[kunit_tests(rust_virtio_balloon_mock_dead)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_gives_all_back() -> Result {
        for wait in Wait::ALL {
            pr_info!("test: the device stops answering: {:?}\n", wait);
            let host = wait.reach()?;
            let before = MemInfo::read().free;
            unbind(&host)?;
            if matches!(wait, Wait::Balloon | Wait::Deflation) {
                // A CPU's list may take all of them at first: up to an eighth of the memory,
                // divided by the number of CPUs. They do not count as free until it shrinks, which
                // takes seconds.
                host.wait_until(|| Ok(MemInfo::read().free > before + PAGES as u64 / 4))?;
            }
            // Another driver, or this one, can take the device.
            assert!(host.device.bind());
        }
        Ok(())
    }

    /// Somebody in the guest waits for these two, and gets on without the host.
    #[test]
    fn nobody_waits_for_long() -> Result {
        const SHORT: i64 = 3_000_000_000;
        let host = Wait::Balloon.reach()?;
        host.device.set_eager(0);
        let begin = Monotonic::ktime_get();
        let freed = host.with(|balloon| balloon.resizing.free_pages())?;
        assert_eq!(freed, 0);
        assert!(Monotonic::ktime_get() - begin < SHORT);
        let begin = Monotonic::ktime_get();
        let moved = host.with(|balloon| move_page(&balloon.resizing.0))?;
        assert_eq!(moved, Err(EAGAIN));
        assert!(Monotonic::ktime_get() - begin < SHORT);
        unbind(&host)
    }

    #[test]
    fn without_a_reset_all_is_lost() -> Result {
        // The balloon's last: what the test before gave back may be in the list of a CPU, and
        // counts as free little by little, for some seconds.
        for wait in Wait::ALL.into_iter().rev() {
            pr_info!("test: the device does not reset: {:?}\n", wait);
            // What is held here is lost to all tests after this one.
            let memory = match wait {
                Wait::HintId | Wait::HeldPages => take_memory(24576)?,
                _ => KVec::new(),
            };
            let host = wait.reach()?;
            drop(memory);
            host.device
                .set_defects(|defects| defects.never_resets = true);
            let before = MemInfo::read().free;
            unbind(&host)?;
            let after = MemInfo::read().free;
            if matches!(wait, Wait::Balloon | Wait::Deflation) {
                assert!(after < before + PAGES as u64 / 4);
            }
        }
        Ok(())
    }
}
