// SPDX-License-Identifier: GPL-2.0

//! Suspend and resume, in each state. The device is the one from before.

use kernel::{
    mm,
    prelude::*,
    virtio::mock::Setup, //
};

use super::{
    bitmap,
    extents,
    hint::{
        self,
        HOLD, //
    },
    host::{
        ensure,
        everything,
        managed_pages,
        same,
        Host,
        FREE_PAGE,
        INFLATE,
        QUEUES,
        STATS, //
    },
    inflate::{
        self,
        Inside, //
    },
    reporting,
    stats, //
};
use crate::{
    device::FREE_PAGE_BITMAP,
    policy::testing::Choice,
    target::BALLOON_PAGES_PER_PAGE, //
};

/// Goes to sleep and wakes up, with a host that goes along.
pub(super) fn sleep(host: &Host) -> Result {
    sleep_and(host, |_| ())
}

fn fall_asleep(host: &Host) -> Result {
    host.device.settle();
    host.let_go();
    host.device.freeze()?;
    same(
        host.device.status(),
        0u8,
        "the status of a device that was reset",
    )?;
    same(host.device.queue_size(INFLATE), 0u16, "it has no queues")
}

/// The same as [`sleep`], and something about the device changes meanwhile.
fn sleep_and(host: &Host, change: impl FnOnce(&mut Setup)) -> Result {
    fall_asleep(host)?;
    host.device.set_up(change);
    host.device.set_eager(0);
    host.device.restore()
}

/// A device with everything but reporting, which comes when it likes.
fn quiet() -> Setup {
    let mut setup = everything();
    setup.features &= !(1 << crate::device::REPORTING.bit());
    setup
}

/// All that there is to do works, with a balloon that is empty.
fn works(host: &Host, hint: i32) -> Result {
    works_with(host, hint, &mut Inside::new()?)
}

fn works_with(host: &Host, hint: i32, inside: &mut Inside) -> Result {
    inflate::resize(host, inside, 300)?;
    inflate::resize(host, inside, 0)?;
    stats::script(host)?;
    if host.has(FREE_PAGE_BITMAP) {
        bitmap::script(host)
    } else {
        hint::round(host, hint, 1234)?;
        host.set_command(hint::DONE);
        host.wait_until(|| Ok(hint::counter(host, |c| c.held_pages.get())? == 0))
    }
}

#[kunit_tests(rust_virtio_balloon_mock_suspend)]
mod tests {
    use super::*;

    #[test]
    fn idle() -> Result {
        let strategies = hint::strategies().iter().map(|&hint| hint::choice(hint));
        for choice in Iterator::chain(strategies, [bitmap::choice(), extents::choice()]) {
            let host = Host::new(choice, quiet())?;
            for _ in 0..3 {
                sleep(&host)?;
            }
            works(&host, choice.hint)?;
        }
        Ok(())
    }

    /// The balloon is empty while the machine sleeps, and goes to its target afterwards.
    #[test]
    fn with_a_balloon() -> Result {
        for (choice, target) in [
            (Choice::default(), 2000),
            (extents::choice(), 4 * extents::BLOCK + 5),
        ] {
            let before = managed_pages();
            let mut setup = quiet();
            setup.features &= !(1 << crate::device::DEFLATE_ON_OOM.bit());
            let host = Host::new(choice, setup)?;
            inflate::resize(&host, &mut Inside::new()?, target)?;
            let given = target as usize / BALLOON_PAGES_PER_PAGE;
            same(managed_pages() + given, before, "pages")?;
            let blocks = host.counter(|c| c.block_pages.get())?;
            let whole = if choice.extents { target - 5 } else { 0 };
            same(blocks, whole, "pages in blocks")?;
            host.let_go();
            host.device.freeze()?;
            same(managed_pages(), before, "pages while it sleeps")?;
            host.device.set_eager(0);
            host.device.restore()?;
            let mut inside = Inside::new()?;
            inflate::follow(&host, &mut inside, target)?;
            works_with(&host, HOLD, &mut inside)?;
            same(managed_pages(), before, "pages")?;
        }
        Ok(())
    }

    /// The host has pages of the balloon that are on the way.
    #[test]
    fn while_inflating() -> Result {
        let host = Host::new(Choice::default(), quiet())?;
        host.set_target(2000);
        let chain = host.wait_for(INFLATE)?;
        sleep(&host)?;
        drop(chain);
        let mut inside = Inside::new()?;
        inflate::follow(&host, &mut inside, 2000)?;
        works_with(&host, HOLD, &mut inside)
    }

    /// The host does not return what it has: it is free after the reset.
    #[test]
    fn with_a_host_that_does_not_answer() -> Result {
        let before = managed_pages();
        let mut setup = quiet();
        setup.features &= !(1 << crate::device::DEFLATE_ON_OOM.bit());
        let host = Host::new(Choice::default(), setup)?;
        inflate::resize(&host, &mut Inside::new()?, 3000)?;
        host.device.freeze()?;
        host.device.restore()?;
        same(managed_pages(), before, "pages")?;
        let mut inside = Inside::new()?;
        inflate::follow(&host, &mut inside, 3000)?;
        works_with(&host, HOLD, &mut inside)
    }

    #[test]
    fn in_a_round_of_hinting() -> Result {
        for &hint in hint::strategies() {
            for keep in [true, false] {
                let host = Host::new(hint::choice(hint), quiet())?;
                host.set_command(9);
                hint::opened(&host, 9)?;
                let (chain, _) = hint::take(&host)?;
                if !keep {
                    host.finish(chain)?;
                }
                sleep(&host)?;
                // The id is still there, and the device has forgotten that it was answered.
                hint::opened(&host, 9)?;
                hint::closed(&host, hint)?;
                works(&host, hint)?;
            }
        }
        Ok(())
    }

    #[test]
    fn with_pages_that_are_held() -> Result {
        let host = Host::new(hint::choice(HOLD), quiet())?;
        hint::round(&host, HOLD, 9)?;
        host.set_command(hint::STOP);
        sleep(&host)?;
        same(hint::counter(&host, |c| c.held_pages.get())?, 0u64, "held")?;
        works(&host, HOLD)
    }

    #[test]
    fn with_a_request_for_the_bitmap() -> Result {
        let host = Host::new(bitmap::choice(), quiet())?;
        for _ in 0..3 {
            // Ids may be used again after each reset.
            bitmap::script(&host)?;
            sleep(&host)?;
        }
        works(&host, HOLD)
    }

    #[test]
    fn with_a_report_that_is_not_answered() -> Result {
        let host = Host::new(Choice::default(), reporting::reporting())?;
        reporting::churn()?;
        reporting::take(&host)?;
        sleep(&host)?;
        reporting::script(&host)?;
        host.unbind()
    }

    /// The ring for reports is smaller afterwards: what does not fit is not put into it, of which
    /// the kernel would warn.
    #[test]
    fn the_ring_of_reports_shrinks() -> Result {
        let host = Host::new(Choice::default(), reporting::reporting())?;
        sleep_and(&host, |setup| setup.sizes.fill(4))?;
        reporting::churn()?;
        let has = || Ok(host.device.has_available(2));
        if host.device.wait_until(4000, has).is_ok() {
            ensure(reporting::take(&host)?.descriptors().len() <= 4, "it fits")?;
        }
        host.unbind()?;
        reporting::churn()?;
        host.bind()?;
        reporting::script(&host)
    }

    /// Rings may have another size afterwards.
    #[test]
    fn the_rings_change() -> Result {
        let strategies = hint::strategies().iter().map(|&hint| hint::choice(hint));
        for choice in Iterator::chain(strategies, [bitmap::choice(), extents::choice()]) {
            for size in [256, 64] {
                let host = Host::new(choice, quiet())?;
                sleep_and(&host, |setup| setup.sizes.fill(size))?;
                same(host.device.queue_size(STATS), size, "the size")?;
                works(&host, choice.hint)?;
            }
        }
        Ok(())
    }

    /// The ring for the bitmap is smaller afterwards: as it would be with such a ring from the
    /// start.
    #[test]
    fn the_ring_of_the_bitmap_shrinks() -> Result {
        for size in [16, 8, 4] {
            let host = Host::new(bitmap::choice(), quiet())?;
            sleep_and(&host, |setup| setup.sizes[FREE_PAGE] = size)?;
            bitmap::everything(&host)?;
        }
        Ok(())
    }

    /// Blocks that are isolated are free again by the time that the machine sleeps.
    #[test]
    fn nothing_is_isolated_meanwhile() -> Result {
        if !mm::can_isolate() {
            return Ok(());
        }
        let host = Host::new(bitmap::choice(), quiet())?;
        bitmap::isolated_in_flight(&host)?;
        let account = host.with(|balloon| balloon.isolated.clone())?;
        ensure(account.pages() > 0, "the host has some")?;
        fall_asleep(&host)?;
        same(account.pages(), 0usize, "isolated meanwhile")?;
        host.device.restore()?;
        bitmap::script(&host)?;

        let host = Host::new(hint::choice(hint::ISOLATE), quiet())?;
        host.set_command(9);
        hint::opened(&host, 9)?;
        let _kept = hint::take(&host)?;
        let account = host.with(|balloon| balloon.isolated.clone())?;
        ensure(account.pages() > 0, "the host has some")?;
        fall_asleep(&host)?;
        same(account.pages(), 0usize, "isolated meanwhile")?;
        host.device.restore()
    }

    /// It is too small for the bitmap afterwards.
    #[test]
    fn the_ring_of_the_bitmap_is_too_small() -> Result {
        let host = Host::new(bitmap::choice(), quiet())?;
        sleep_and(&host, |setup| setup.sizes[FREE_PAGE] = 2)?;
        host.device.settle();
        ensure(
            !host.device.has_available(FREE_PAGE),
            "there is nothing in it",
        )?;
        stats::script(&host)
    }

    /// It does not come back: the driver can still go.
    #[test]
    fn no_queues_any_more() -> Result {
        for rebind in [true, false] {
            let mut host = Host::new(hint::choice(HOLD), everything())?;
            inflate::resize(&host, &mut Inside::new()?, 300)?;
            hint::round(&host, HOLD, 9)?;
            host.let_go();
            host.device.freeze()?;
            host.device.set_defects(|defects| defects.no_queues = true);
            ensure(host.device.restore().is_err(), "it does not come back")?;
            if rebind {
                host.device.unbind();
                ensure(!host.device.is_bound(), "the driver unbinds")?;
                host.device.set_defects(|defects| defects.no_queues = false);
                host.device.set_eager(0);
                host.bind()?;
                hint::opened(&host, 9)?;
                hint::closed(&host, HOLD)?;
                let mut inside = Inside::new()?;
                inflate::follow(&host, &mut inside, 300)?;
                works_with(&host, HOLD, &mut inside)?;
            } else {
                host.device.unplug();
            }
        }
        Ok(())
    }

    #[test]
    fn features_refused_at_last() -> Result {
        let host = Host::new(hint::choice(HOLD), quiet())?;
        host.device.freeze()?;
        host.device
            .set_defects(|defects| defects.refuses_features = true);
        ensure(host.device.restore().is_err(), "it does not come back")?;
        host.device.unbind();
        host.device
            .set_defects(|defects| defects.refuses_features = false);
        host.bind()?;
        works(&host, HOLD)
    }

    /// The device is taken away while the machine sleeps.
    #[test]
    fn removed_in_its_sleep() -> Result {
        for count in [0, QUEUES] {
            let mut host = Host::new(hint::choice(HOLD), everything())?;
            if count > 0 {
                hint::round(&host, HOLD, 9)?;
            }
            host.device.freeze()?;
            if count > 0 {
                host.device.unbind();
                host.bind()?;
            }
            host.device.unplug();
        }
        Ok(())
    }

    #[test]
    fn the_machine_goes_down() -> Result {
        for choice in [hint::choice(HOLD), bitmap::choice()] {
            let mut host = Host::new(choice, everything())?;
            inflate::resize(&host, &mut Inside::new()?, 300)?;
            if !choice.bitmap {
                hint::round(&host, HOLD, 9)?;
            }
            host.device.shut_down();
            host.set_target(1000);
            host.set_command(10);
            ensure(!host.device.has_available(INFLATE), "it is over")?;
            host.device.unplug();
        }
        Ok(())
    }
}
