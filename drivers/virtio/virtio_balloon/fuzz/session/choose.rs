// SPDX-License-Identifier: GPL-2.0

//! What a session plays: which device, and what the guest's owner allows.

use kernel::{
    bindings,
    virtio::{
        mock::Setup,
        Feature, //
    }, //
};

use crate::{
    device::{
        DEFLATE_ON_OOM,
        EXTENTS,
        FREE_PAGE_BITMAP,
        FREE_PAGE_HINT,
        MUST_TELL_HOST,
        PAGE_POISON,
        REPORTING,
        STATS_VQ, //
    },
    fuzz::random::Random,
    policy::testing::Choice,
    tests::host::{
        COMMAND_ID,
        EVENT_IDX,
        NUM_PAGES,
        PACKED, //
    }, //
};

pub(super) fn policy(random: &mut Random) -> Choice {
    Choice {
        // CAST: Less than five.
        hint: random.below(5) as i32 - 1,
        walk_batch: random.one_of(&[1, 7, 512], 512),
        inflate: !random.once_in(12),
        extents: random.once_in(2),
        bitmap: random.once_in(2),
        drop_caches: if random.once_in(4) {
            random.below(4)
        } else {
            0
        },
        ..Choice::default()
    }
}

pub(super) fn setup(random: &mut Random) -> Setup {
    let mut setup = Setup::new(bindings::VIRTIO_ID_BALLOON);
    for (feature, once_in) in [
        (EVENT_IDX, 2),
        (PACKED, 2),
        (Feature::RING_INDIRECT_DESC, 4),
        (Feature::IN_ORDER, 5),
        (Feature::ACCESS_PLATFORM, 6),
        (MUST_TELL_HOST, 2),
        (DEFLATE_ON_OOM, 2),
        (PAGE_POISON, 2),
        (EXTENTS, 2),
    ] {
        if random.once_in(once_in) {
            setup = setup.offer(feature);
        }
    }
    for feature in [STATS_VQ, FREE_PAGE_HINT, FREE_PAGE_BITMAP, REPORTING] {
        if !random.once_in(4) {
            setup = setup.offer(feature);
        }
    }
    let packed = offers(&setup, PACKED);
    let same = random.once_in(2);
    let first = ring_size(random, packed);
    for size in setup.sizes.iter_mut() {
        *size = if same {
            first
        } else {
            ring_size(random, packed)
        };
    }
    for (at, value) in [
        (NUM_PAGES, random.below(300)),
        (COMMAND_ID, random.below(5)),
    ] {
        if random.once_in(2) {
            for (nth, byte) in value.to_le_bytes().into_iter().enumerate() {
                if let Some(slot) = setup.config.get_mut(at + nth) {
                    *slot = byte;
                }
            }
        }
    }
    setup
}

fn ring_size(random: &mut Random, packed: bool) -> u16 {
    if random.once_in(200) {
        return 0;
    }
    if packed && random.once_in(3) {
        return random.one_of(&[3, 5, 6, 7, 100, 255], 7);
    }
    random.one_of(&[1, 2, 4, 8, 64, 256, 1024], 64)
}

fn offers(setup: &Setup, feature: Feature) -> bool {
    setup.features & (1u64 << feature.bit()) != 0
}

/// The device's numbers of the queues.
pub(super) fn numbers(setup: &Setup) -> [Option<usize>; 5] {
    let free_pages = offers(setup, FREE_PAGE_HINT) || offers(setup, FREE_PAGE_BITMAP);
    let there = [
        true,
        true,
        offers(setup, STATS_VQ),
        free_pages,
        offers(setup, REPORTING),
    ];
    let mut next = 0;
    there.map(|there| {
        let number = there.then_some(next);
        next += usize::from(there);
        number
    })
}
