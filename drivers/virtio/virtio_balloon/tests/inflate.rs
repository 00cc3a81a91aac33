// SPDX-License-Identifier: GPL-2.0

//! Inflating and deflating.

use kernel::{
    mm::{
        Nodes,
        OomHandler, //
    },
    prelude::*, //
};

use super::host::{
    ensure,
    everything,
    managed_pages,
    offering,
    same,
    with_rings,
    Host,
    DEFLATE,
    INFLATE,
    RINGS, //
};
use crate::{
    device::{
        DEFLATE_ON_OOM,
        MUST_TELL_HOST, //
    },
    policy::testing::Choice, //
};

const BOTH: u32 = 1 << INFLATE | 1 << DEFLATE;

/// The pages that the host takes to be in the balloon: a bit for each.
pub(super) struct Inside {
    bits: KVec<u64>,
    pub(super) count: u32,
}

impl Inside {
    /// None.
    pub(super) fn new() -> Result<Self> {
        let end = Nodes::end_pfn();
        let mut bits = KVec::new();
        bits.resize(end.div_ceil(64), 0, GFP_KERNEL)?;
        Ok(Self { bits, count: 0 })
    }

    fn flip(&mut self, pfn: u32, enters: bool) -> Result {
        let word = self.bits.get_mut(pfn as usize / 64);
        let word = word.ok_or(ERANGE)?;
        let bit = 1 << (pfn % 64);
        ensure(
            (*word & bit == 0) == enters,
            "a page enters and leaves once",
        )?;
        *word ^= bit;
        self.count = if enters {
            self.count + 1
        } else {
            self.count - 1
        };
        Ok(())
    }
}

/// Takes a buffer, does to the pages in it what a host may do, and gives it back.
pub(super) fn serve(host: &Host, inside: &mut Inside, queue: usize) -> Result {
    let chain = host.wait_for(queue)?;
    for &(start, pages) in host.ranges(&chain)?.iter() {
        for pfn in start..start + pages {
            let pfn = u32::try_from(pfn)?;
            inside.flip(pfn, queue == INFLATE)?;
            // Of a large range the first page and the last one of each 64 do.
            if pages < 64 || matches!(pfn % 64, 0 | 63) {
                host.device.scribble_page(queue, pfn);
            }
        }
    }
    host.finish(chain)
}

/// Serves the driver until the balloon has its target.
pub(super) fn follow(host: &Host, inside: &mut Inside, target: u32) -> Result {
    // A reset leaves the size there from before.
    let honest = host.actual() <= inside.count;
    loop {
        let mut queue = None;
        host.wait_until(|| {
            let mut queues = [INFLATE, DEFLATE].into_iter();
            queue = queues.find(|&queue| host.device.has_available(queue));
            Ok(queue.is_some() || (inside.count == target && host.actual() == target))
        })?;
        let Some(queue) = queue else {
            return Ok(());
        };
        let (before, told) = (inside.count, host.actual());
        serve(host, inside, queue)?;
        // What the host was told before it has acknowledged this was not more than it knew then.
        if honest && queue == INFLATE && before <= target {
            ensure(told <= before, "the size is told when it is acknowledged")?;
        }
    }
}

/// Sets the target and serves the driver until it is there.
pub(super) fn resize(host: &Host, inside: &mut Inside, target: u32) -> Result {
    host.set_target(target);
    follow(host, inside, target)
}

/// Sets one target after the other, serves a few buffers for each, and then the driver until it is
/// at the last one; then until the balloon is empty.
pub(super) fn change_on_the_way(host: &Host, targets: &[(u32, usize)]) -> Result {
    let mut inside = Inside::new()?;
    let mut last = 0;
    for &(target, buffers) in targets {
        host.set_target(target);
        for _ in 0..buffers {
            let has = |queue| host.device.has_available(queue);
            host.wait_until(|| Ok(has(INFLATE) || has(DEFLATE)))?;
            // What brings it nearer, if there is any.
            let (first, second) = if inside.count < target {
                (INFLATE, DEFLATE)
            } else {
                (DEFLATE, INFLATE)
            };
            serve(host, &mut inside, if has(first) { first } else { second })?;
        }
        last = target;
    }
    follow(host, &mut inside, last)?;
    resize(host, &mut inside, 0)
}

/// There and back.
pub(super) fn script(host: &Host) -> Result {
    let mut inside = Inside::new()?;
    resize(host, &mut inside, 700)?;
    resize(host, &mut inside, 0)
}

#[kunit_tests(rust_virtio_balloon_mock_inflate)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_target_on_every_ring() -> Result {
        for ring in RINGS {
            for size in [1, 2, 256] {
                for features in [&[][..], &[MUST_TELL_HOST]] {
                    let setup = with_rings(offering(features), ring, size);
                    let host = Host::new(Choice::default(), setup)?;
                    same(
                        host.device.queue_size(INFLATE),
                        size,
                        "the size of the queue",
                    )?;
                    let mut inside = Inside::new()?;
                    for target in [700, 1, 257, 0] {
                        resize(&host, &mut inside, target)?;
                    }
                    same(host.counter(|c| c.inflated.get())?, 956u64, "pages put in")?;
                    same(
                        host.counter(|c| c.deflated.get())?,
                        956u64,
                        "pages taken out",
                    )?;
                }
            }
        }
        Ok(())
    }

    /// Each page counts once, however often the host changes its mind.
    #[test]
    fn the_target_changes_on_the_way() -> Result {
        for ring in RINGS {
            let host = Host::new(Choice::default(), with_rings(everything(), ring, 128))?;
            let targets = [
                (5000, 3),
                (300, 2),
                (4000, 5),
                (0, 1),
                (u32::MAX, 4),
                (7, 1),
            ];
            change_on_the_way(&host, &targets)?;
        }
        Ok(())
    }

    /// More than there is: the driver takes what can be spared, and the guest lives.
    #[test]
    fn a_target_beyond_all_memory() -> Result {
        let host = Host::new(Choice::default(), everything())?;
        let managed = managed_pages();
        host.device.set_eager(BOTH);
        host.set_target(u32::MAX);
        // The host is notified once memory is short, and most of the pages count after that only.
        host.wait_until(|| {
            let given = host.counter(|c| c.pages.get())?;
            Ok(host.counter(|c| c.retries.get())? > 0 && given > managed as u64 / 4)
        })?;
        let most = host.counter(|c| c.pages.get())?;
        host.set_target(0);
        host.wait_until(|| Ok(host.counter(|c| c.pages.get())? == 0 && host.actual() == 0))?;
        ensure(most < managed as u64, "not all of it")?;
        // The last pages that went in may do so when the others have left.
        host.wait_until(|| {
            let inflated = host.counter(|c| c.inflated.get())?;
            Ok(inflated == host.counter(|c| c.deflated.get())?)
        })
    }

    #[test]
    fn nothing_is_given_unless_the_owner_allows_it() -> Result {
        let choice = Choice {
            inflate: false,
            ..Choice::default()
        };
        let host = Host::new(choice, everything())?;
        host.set_target(1000);
        host.wait_until(|| Ok(host.counter(|c| c.target.get())? == 1000))?;
        host.device.settle();
        ensure(!host.device.has_available(INFLATE), "no page is given")?;
        same(host.actual(), 0u32, "the size")
    }

    /// The guest has less memory when some is in the balloon, unless it gets that back in need.
    #[test]
    fn the_total_follows_the_size() -> Result {
        let before = managed_pages();
        for (features, less) in [(&[][..], 512), (&[DEFLATE_ON_OOM], 0)] {
            let host = Host::new(Choice::default(), offering(features))?;
            let mut inside = Inside::new()?;
            resize(&host, &mut inside, 512)?;
            same(
                managed_pages() + less,
                before,
                "pages while some are inside",
            )?;
            host.unbind()?;
            same(managed_pages(), before, "pages afterwards")?;
        }
        Ok(())
    }

    /// A host that does not want to be notified is not, and one that wants it again misses nothing.
    #[test]
    fn notifies_when_it_is_asked_to() -> Result {
        for ring in RINGS {
            let setup = with_rings(everything(), ring, 128);
            let host = Host::new(Choice::default(), setup)?;
            let mut inside = Inside::new()?;
            resize(&host, &mut inside, 1)?;
            host.device.settle();

            host.device.ask_for_notifications(INFLATE, false);
            let before = host.device.notifications(INFLATE);
            host.set_target(2);
            host.wait_until(|| Ok(host.device.has_available(INFLATE)))?;
            host.device.settle();
            same(
                host.device.notifications(INFLATE),
                before,
                "notifications unasked",
            )?;
            follow(&host, &mut inside, 2)?;

            for target in 3..20 {
                host.device.ask_for_notifications(INFLATE, true);
                host.device.settle();
                ensure(!host.device.has_available(INFLATE), "nothing is left")?;
                let before = host.device.notifications(INFLATE);
                host.set_target(target);
                let has = || host.device.has_available(INFLATE);
                // A ring without event indexes is notified without a reason, too.
                host.wait_until(|| Ok(has() && host.device.notifications(INFLATE) > before))?;
                follow(&host, &mut inside, target)?;
            }
        }
        Ok(())
    }

    /// A notification is a trap into the host, so it is worth to send many buffers with one.
    #[test]
    fn notifies_of_many_buffers_at_once() -> Result {
        const BUFFERS: u32 = 64;
        for ring in RINGS {
            let host = Host::new(Choice::default(), with_rings(offering(&[]), ring, 128))?;
            host.device.set_eager(BOTH);
            host.set_target(BUFFERS * 256);
            host.wait_until(|| Ok(host.actual() == BUFFERS * 256))?;
            same(host.counter(|c| c.requests.get())?, BUFFERS, "buffers")?;
            let up = host.device.notifications(INFLATE);
            ensure(up * 8 <= BUFFERS, "few notifications on the way up")?;
            host.set_target(0);
            host.wait_until(|| Ok(host.actual() == 0))?;
            let down = host.device.notifications(DEFLATE);
            ensure(down * 8 <= BUFFERS, "few notifications on the way down")?;
        }
        Ok(())
    }

    /// A host that is only there when it is notified gets everything.
    #[test]
    fn no_notification_is_lost() -> Result {
        for ring in RINGS {
            for size in [1, 256] {
                let setup = with_rings(offering(&[]), ring, size);
                let host = Host::new(Choice::default(), setup)?;
                host.device.set_eager(BOTH);
                for target in [3000, 17, 2000, 0] {
                    host.set_target(target);
                    host.wait_until(|| Ok(host.actual() == target))?;
                }
            }
        }
        Ok(())
    }

    #[test]
    fn gives_some_back_before_a_kill() -> Result {
        for eager in [true, false] {
            let host = Host::new(Choice::default(), everything())?;
            let mut inside = Inside::new()?;
            resize(&host, &mut inside, 1000)?;
            if eager {
                host.device.set_eager(BOTH);
            }
            let freed = host.with(|balloon| balloon.resizing.free_pages())?;
            same(
                freed,
                if eager { 256usize } else { 0 },
                "pages that are free",
            )?;
            if !eager {
                let told = host.actual();
                same(told, 1000u32, "the size before the host acknowledges")?;
                serve(&host, &mut inside, DEFLATE)?;
                same(inside.count, 744u32, "pages inside")?;
            }
            host.wait_until(|| Ok(host.actual() == 744))?;
            same(host.counter(|c| c.oom_deflated.get())?, 256u64, "counted")?;
            host.device.settle();
            ensure(
                !host.device.has_available(INFLATE),
                "no more before it is asked",
            )?;
            host.set_target(1001);
            host.device.set_eager(BOTH);
            host.wait_until(|| Ok(host.actual() == 1001))?;
            host.unbind()?;
        }
        Ok(())
    }
}
