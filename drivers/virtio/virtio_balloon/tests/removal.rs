// SPDX-License-Identifier: GPL-2.0

//! The driver goes at each step of each protocol.

use kernel::{
    mm,
    prelude::*,
    virtio::{
        mock::Setup,
        Feature, //
    }, //
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
        free_pages,
        managed_pages,
        offering,
        same,
        with_rings,
        with_size,
        Host,
        EVENT_IDX,
        FREE_PAGE,
        PACKED,
        STATS, //
    },
    inflate,
    stats, //
};
use crate::{
    device::{
        EXTENTS,
        FREE_PAGE_BITMAP,
        FREE_PAGE_HINT,
        STATS_VQ, //
    },
    policy::testing::Choice, //
};

/// Most steps of a protocol that are looked at.
const STEPS: usize = 200;

/// How the driver goes.
#[derive(Clone, Copy)]
enum End {
    /// It is unbound, and bound again.
    Unbind,
    /// The device is pulled out.
    Surprise,
    /// The machine sleeps.
    #[cfg(CONFIG_PM_SLEEP)]
    Suspend,
}

fn remove(host: &mut Host, end: End) -> Result {
    match end {
        End::Unbind => {
            host.unbind()?;
            host.bind()?;
        }
        End::Surprise => {
            host.device.break_queues();
            host.device.unplug();
            return Ok(());
        }
        #[cfg(CONFIG_PM_SLEEP)]
        End::Suspend => super::suspend::sleep(host)?,
    }
    // It is as new.
    host.interrupt_after(usize::MAX);
    stats::take(host)?;
    host.unbind()
}

/// Runs a script, interrupts it after each step once, and lets the driver go there.
fn at_each_step(
    end: End,
    choice: Choice,
    setup: &Setup,
    script: impl Fn(&Host) -> Result,
) -> Result {
    let (managed, free) = (managed_pages(), free_pages());
    let mut steps = 0;
    loop {
        let mut host = Host::new(choice, setup.clone())?;
        host.interrupt_after(steps);
        let result = script(&host);
        if !matches!(result, Ok(()) | Err(EINTR)) {
            return result;
        }
        remove(&mut host, end)?;
        drop(host);
        same(managed_pages(), managed, "the guest has its pages again")?;
        if result.is_ok() {
            break;
        }
        steps += 1;
        ensure(steps < STEPS, "a script ends")?;
    }
    ensure(steps > 3, "there were steps")?;
    // Had each step lost what it had on the way, it were much more than this.
    ensure(free_pages() + 8192 > free, "nothing is lost")
}

/// A device with features, of some kind of ring, that has statistics to see whether it is alive.
fn device(features: &[Feature], ring: &[Feature]) -> Setup {
    let setup = features
        .iter()
        .copied()
        .fold(offering(&[STATS_VQ]), Setup::offer);
    let mut setup = with_rings(setup, ring, 128);
    setup.sizes[STATS] = 1;
    setup
}

#[cfg(CONFIG_PM_SLEEP)]
const ENDS: [End; 3] = [End::Unbind, End::Surprise, End::Suspend];
#[cfg(not(CONFIG_PM_SLEEP))]
const ENDS: [End; 2] = [End::Unbind, End::Surprise];

#[kunit_tests(rust_virtio_balloon_mock_removal)]
mod tests {
    use super::*;

    #[test]
    fn while_the_balloon_changes() -> Result {
        for (end, ring) in ENDS.into_iter().zip([&[][..], &[EVENT_IDX], &[PACKED]]) {
            at_each_step(end, Choice::default(), &device(&[], ring), inflate::script)?;
        }
        Ok(())
    }

    #[test]
    fn while_blocks_come_and_go() -> Result {
        for (end, ring) in ENDS.into_iter().zip([&[][..], &[EVENT_IDX], &[PACKED]]) {
            let setup = device(&[EXTENTS], ring);
            at_each_step(end, extents::choice(), &setup, extents::script)?;
        }
        Ok(())
    }

    #[test]
    fn while_statistics_are_asked_for() -> Result {
        for (end, ring) in ENDS.into_iter().zip([&[][..], &[EVENT_IDX], &[PACKED]]) {
            at_each_step(end, Choice::default(), &device(&[], ring), stats::script)?;
        }
        Ok(())
    }

    #[test]
    fn in_a_round_of_hinting() -> Result {
        for (end, ring) in ENDS.into_iter().zip([&[][..], &[EVENT_IDX], &[PACKED]]) {
            let mut setup = device(&[FREE_PAGE_HINT], ring);
            setup.sizes[FREE_PAGE] = 4;
            at_each_step(end, hint::choice(HOLD), &setup, |host| {
                hint::script(host, HOLD)
            })?;
        }
        let setup = with_size(device(&[FREE_PAGE_HINT], &[]), FREE_PAGE, 4);
        for &hint in hint::strategies().iter().filter(|&&hint| hint != HOLD) {
            at_each_step(End::Surprise, hint::choice(hint), &setup, |host| {
                hint::script(host, hint)
            })?;
        }
        Ok(())
    }

    #[test]
    fn with_a_request_for_the_bitmap() -> Result {
        for (end, ring) in ENDS.into_iter().zip([&[][..], &[EVENT_IDX], &[PACKED]]) {
            let mut setup = device(&[FREE_PAGE_BITMAP], ring);
            setup.sizes[FREE_PAGE] = 8;
            at_each_step(end, bitmap::choice(), &setup, bitmap::script)?;
            if mm::can_isolate() && matches!(end, End::Surprise) {
                at_each_step(end, bitmap::choice(), &setup, bitmap::isolated_script)?;
            }
        }
        Ok(())
    }
}
