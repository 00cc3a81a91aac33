// SPDX-License-Identifier: GPL-2.0

//! Features, and what depends on them.

use kernel::{
    prelude::*,
    virtio::{
        mock::{
            Defects,
            Setup, //
        },
        Feature, //
    }, //
};

use super::{
    host::{
        ensure,
        everything,
        offering,
        same,
        Host,
        DEFLATE,
        FEATURES,
        INFLATE, //
    },
    inflate::{
        self,
        Inside, //
    },
    stats,
};
use crate::{
    device::{
        EXTENTS,
        FREE_PAGE_BITMAP,
        FREE_PAGE_HINT,
        PAGE_POISON,
        REPORTING,
        STATS_VQ, //
    },
    policy::testing::Choice, //
};

/// Looks whether a device that offers some features is understood.
fn check(host: &Host, choice: Choice, offered: &[Feature]) -> Result {
    let offers = |feature| offered.contains(&feature);
    for &feature in offered {
        let accepted = match feature {
            FREE_PAGE_HINT => choice.hint != 0 && !(choice.bitmap && offers(FREE_PAGE_BITMAP)),
            FREE_PAGE_BITMAP => choice.bitmap,
            EXTENTS => choice.extents,
            _ => true,
        };
        ensure(
            host.has(feature) == accepted,
            "a feature is accepted or not",
        )?;
    }
    // The device numbers its queues by what it offers.
    let mut next = DEFLATE + 1;
    let mut number = |offered: bool| {
        let number = next;
        next += usize::from(offered);
        offered.then_some(number)
    };
    let stats = number(offers(STATS_VQ));
    let free_page = number(offers(FREE_PAGE_HINT) || offers(FREE_PAGE_BITMAP));
    let _reports = number(offers(REPORTING));
    for queue in 0..8 {
        let exists = host.device.queue_size(queue) > 0;
        ensure(exists == (queue < next), "what is offered has its queue")?;
    }
    if let Some(queue) = stats {
        let chain = host.wait_for(queue)?;
        same(chain.bytes(), stats::bytes(), "statistics")?;
    }
    if let Some(queue) = free_page {
        host.device.settle();
        if host.has(FREE_PAGE_BITMAP) {
            let chain = host.wait_for(queue)?;
            ensure(chain.is_writable() && chain.bytes() == 32, "a slot")?;
        } else {
            ensure(!host.device.has_available(queue), "nothing was asked for")?;
            host.set_command(99);
            if host.has(FREE_PAGE_HINT) {
                let chain = host.wait_for(queue)?;
                same(host.device.read_u32(&chain, 0).ok_or(EIO)?, 99u32, "the id")?;
            } else {
                host.device.settle();
                ensure(!host.device.has_available(queue), "there is no hinting")?;
            }
        }
    }
    host.set_target(1);
    let chain = host.wait_for(INFLATE)?;
    let number = if host.has(EXTENTS) { 16usize } else { 4 };
    same(chain.bytes(), number, "a page")?;
    host.finish(chain)?;
    host.wait_until(|| Ok(host.actual() == 1))?;
    host.let_go();
    Ok(())
}

#[kunit_tests(rust_virtio_balloon_mock_negotiation)]
mod tests {
    use super::*;

    /// Every set of features, with the bitmap allowed and not.
    #[test]
    fn any_set_of_features() -> Result {
        for bitmap in [false, true] {
            // The last one is the bitmap.
            let first = if bitmap { 1 << (FEATURES.len() - 1) } else { 0 };
            for set in first..1u32 << FEATURES.len() {
                let mut offered = KVec::new();
                for (nth, &feature) in FEATURES.iter().enumerate() {
                    if set & (1 << nth) != 0 {
                        offered.push(feature, GFP_KERNEL)?;
                    }
                }
                let choice = Choice {
                    bitmap,
                    // Each second time hinting is off.
                    hint: i32::from((set >> 3) % 2 == set % 2),
                    extents: set % 3 != 0,
                    ..Choice::default()
                };
                let host = Host::new(choice, offering(&offered))?;
                check(&host, choice, &offered)
                    .inspect_err(|_| pr_err!("test: features {set:#x}, {choice:?}\n"))?;
            }
        }
        Ok(())
    }

    #[test]
    fn features_that_would_break_something() -> Result {
        for feature in [
            Feature::ACCESS_PLATFORM,
            Feature::RING_INDIRECT_DESC,
            PAGE_POISON,
        ] {
            let host = Host::new(Choice::default(), everything().offer(feature))?;
            ensure(
                host.has(feature) == (feature == PAGE_POISON && mm_has_content()),
                "refused",
            )?;
            ensure(host.has(Feature::VERSION_1), "version 1 is accepted")?;
            let mut inside = Inside::new()?;
            inflate::resize(&host, &mut inside, 300)?;
            inflate::resize(&host, &mut inside, 0)?;
        }
        Ok(())
    }

    fn mm_has_content() -> bool {
        kernel::mm::free_pages_have_content()
    }

    /// A legacy device.
    #[test]
    fn without_version_1() -> Result {
        let mut setup = everything();
        setup.features &= !(1 << Feature::VERSION_1.bit());
        let host = Host::new(Choice::default(), setup)?;
        let mut inside = Inside::new()?;
        inflate::resize(&host, &mut inside, 300)?;
        inflate::resize(&host, &mut inside, 0)
    }

    /// The driver does not bind, and does as soon as the device is as it should be.
    #[test]
    fn a_device_that_is_no_good() -> Result {
        let defects = [
            Defects {
                no_queues: true,
                ..Defects::default()
            },
            Defects {
                refuses_features: true,
                ..Defects::default()
            },
        ];
        for defects in defects {
            let host = Host::with_defects(Choice::default(), everything(), defects)?;
            ensure(!host.device.is_bound(), "the driver does not bind")?;
            ensure(!host.device.bind(), "nor if it is asked")?;
            host.device
                .set_defects(|defects| *defects = Defects::default());
            host.bind()?;
            inflate::resize(&host, &mut Inside::new()?, 3)?;
            host.unbind()?;
        }
        Ok(())
    }

    /// Not all queues are there.
    #[test]
    fn a_queue_is_missing() -> Result {
        for missing in 0..5 {
            let mut setup: Setup = everything();
            setup.sizes[missing] = 0;
            let host = Host::with_defects(Choice::default(), setup, Defects::default())?;
            ensure(!host.device.is_bound(), "the driver does not bind")?;
            host.device.set_up(|setup| setup.sizes[missing] = 1);
            host.bind()?;
        }
        Ok(())
    }
}
