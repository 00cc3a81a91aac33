// SPDX-License-Identifier: GPL-2.0

//! Free page hinting.

use kernel::{
    mm::{
        self,
        Nodes,
        OomHandler,
        PageRun,
        Shrinker,
        MAX_PAGE_ORDER, //
    },
    page::PAGE_SIZE,
    prelude::*,
    virtio::mock::{
        Chain,
        Setup, //
    }, //
};

use super::host::{
    ensure,
    free_pages,
    offering,
    same,
    with_rings,
    with_size,
    Host,
    COMMAND_ID,
    FREE_PAGE,
    RINGS, //
};
use crate::{
    counters::{
        HintCounters,
        IsolationCounters, //
    },
    device::{
        FREE_PAGE_HINT,
        STATS_VQ, //
    },
    policy::{
        testing::Choice,
        DEFAULT_ORDER, //
    },
};

pub(super) const STOP: u32 = 0;
pub(super) const DONE: u32 = 1;

/// The order of blocks that are hinted at.
const BLOCK: usize = PAGE_SIZE << DEFAULT_ORDER;

/// What a strategy is called in the parameters.
pub(super) const HOLD: i32 = 1;
pub(super) const WALK: i32 = 2;
pub(super) const ISOLATE: i32 = 3;

/// The strategies that this kernel has.
pub(super) fn strategies() -> &'static [i32] {
    if mm::can_isolate() {
        &[HOLD, WALK, ISOLATE]
    } else {
        &[HOLD, WALK]
    }
}

/// A device with hinting.
pub(super) fn hinting() -> Setup {
    offering(&[STATS_VQ, FREE_PAGE_HINT])
}

pub(super) fn choice(hint: i32) -> Choice {
    Choice {
        hint,
        ..Choice::default()
    }
}

/// What is in the queue.
pub(super) enum Hint {
    Id(u32),
    Pages(usize),
}

/// Takes a buffer, and looks at what it is.
pub(super) fn take(host: &Host) -> Result<(Chain, Hint)> {
    let chain = host.wait_for(FREE_PAGE)?;
    same(chain.descriptors().len(), 1usize, "a buffer has one entry")?;
    if !chain.is_writable() {
        same(chain.bytes(), 4usize, "the size of an id")?;
        let id = host.device.read_u32(&chain, 0).ok_or(EIO)?;
        return Ok((chain, Hint::Id(id)));
    }
    for entry in chain.descriptors() {
        let (address, len) = (entry.address as usize, entry.len as usize);
        ensure(len > 0, "a hint is not empty")?;
        ensure(
            address % BLOCK == 0 && len % BLOCK == 0,
            "a hint has whole blocks",
        )?;
    }
    let pages = chain.bytes() / PAGE_SIZE;
    Ok((chain, Hint::Pages(pages)))
}

/// Takes the id with which a round begins.
pub(super) fn opened(host: &Host, wanted: u32) -> Result {
    match take(host)? {
        (chain, Hint::Id(id)) => {
            same(id, wanted, "the id of the round")?;
            host.finish(chain)
        }
        _ => ensure(false, "a round begins with its id"),
    }
}

/// Takes pages until the id with which a round ends. Returns how many there were.
pub(super) fn closed(host: &Host, hint: i32) -> Result<usize> {
    let mut all = 0;
    loop {
        let (chain, what) = take(host)?;
        match what {
            Hint::Id(id) => {
                same(id, STOP, "the id that ends a round")?;
                host.finish(chain)?;
                return Ok(all);
            }
            Hint::Pages(pages) => {
                all += pages;
                if hint == HOLD {
                    // A host may discard them; those of a walk are not its business.
                    host.device.scribble(&chain);
                }
                host.finish(chain)?;
            }
        }
    }
}

/// A whole round.
pub(super) fn round(host: &Host, hint: i32, id: u32) -> Result<usize> {
    host.set_command(id);
    opened(host, id)?;
    closed(host, hint)
}

/// A round, what ends it, and the beginning of another one.
pub(super) fn script(host: &Host, hint: i32) -> Result {
    round(host, hint, 5)?;
    host.set_command(DONE);
    host.set_command(6);
    opened(host, 6)
}

pub(super) fn counter(host: &Host, read: impl FnOnce(&HintCounters) -> u64) -> Result<u64> {
    host.with(|balloon| {
        let hinting = balloon.hinting.as_ref();
        hinting.map_or(0, |hinting| read(&hinting.work.counters))
    })
}

pub(super) fn isolated(host: &Host, read: impl FnOnce(&IsolationCounters) -> u64) -> Result<u64> {
    host.with(|balloon| read(&balloon.isolated.counters))
}

/// Takes every second block of some memory, so that there are several runs.
pub(super) fn fragment() -> Result<KVec<PageRun>> {
    const BLOCKS: usize = 32;
    let node = Nodes::new().next().ok_or(ENODEV)?;
    let mut blocks = KVec::with_capacity(BLOCKS, GFP_KERNEL)?;
    let mut others = KVec::with_capacity(BLOCKS, GFP_KERNEL)?;
    for nth in 0..BLOCKS {
        let block = PageRun::alloc(&node, MAX_PAGE_ORDER).ok_or(ENOMEM)?;
        if nth % 2 == 0 {
            blocks.push(block, GFP_KERNEL)?;
        } else {
            others.push(block, GFP_KERNEL)?;
        }
    }
    Ok(blocks)
}

#[kunit_tests(rust_virtio_balloon_mock_hint)]
mod tests {
    use super::*;

    /// On every ring, however small, most of the free memory is hinted at, and held or not.
    #[test]
    fn a_round_on_every_ring() -> Result {
        for &hint in strategies() {
            for ring in RINGS {
                for size in [1, 2, 16] {
                    let free = free_pages();
                    let host = Host::new(choice(hint), with_rings(hinting(), ring, size))?;
                    let pages = round(&host, hint, 7)?;
                    ensure(pages > free / 2, "most of the free memory")?;
                    same(counter(&host, |c| c.pages.get())?, pages, "counted")?;
                    same(counter(&host, |c| c.completed.get())?, 1u64, "rounds")?;
                    host.device.settle();
                    let held = if hint == HOLD { pages } else { 0 };
                    same(counter(&host, |c| c.held_pages.get())?, held, "held")?;
                    host.set_command(DONE);
                    host.wait_until(|| Ok(counter(&host, |c| c.held_pages.get())? == 0))?;
                    ensure(free_pages() > free / 4 * 3, "they are free again")?;
                    host.device.settle();
                    ensure(!host.device.has_available(FREE_PAGE), "nothing more")?;
                }
            }
        }
        Ok(())
    }

    /// Blocks are out of use while the host has them, a part of the memory at a time.
    #[test]
    fn isolated_pages_are_out_of_use() -> Result {
        if !mm::can_isolate() {
            return Ok(());
        }
        for (ring, size) in [
            (RINGS[0], 1),
            (RINGS[1], 16),
            (RINGS[2], 2),
            (RINGS[3], 128),
        ] {
            let free = free_pages();
            let host = Host::new(choice(ISOLATE), with_rings(hinting(), ring, size))?;
            host.set_command(7);
            opened(&host, 7)?;
            let (first, what) = take(&host)?;
            ensure(matches!(what, Hint::Pages(1..)), "pages follow")?;
            host.device.settle();
            let out = isolated(&host, |c| c.pages.get())?;
            ensure(
                out >= (first.bytes() / PAGE_SIZE) as u64,
                "they are isolated",
            )?;
            ensure(out <= free as u64 / 4, "no more than a quarter")?;
            ensure(
                free_pages() < free - out as usize / 4 * 3,
                "they are not free",
            )?;
            host.finish(first)?;
            closed(&host, ISOLATE)?;
            host.wait_until(|| Ok(isolated(&host, |c| c.pages.get())? == 0))?;
            ensure(free_pages() > free / 16 * 15, "they are free again")?;
            let most = isolated(&host, |c| c.pages_max.get())?;
            ensure(most <= free as u64 / 4, "never more than a quarter")?;
            let all = isolated(&host, |c| c.isolated_pages.get())?;
            same(all, counter(&host, |c| c.pages.get())?, "all were sent")?;
        }
        Ok(())
    }

    /// A round that ends early, and a device that goes, give all of it back.
    #[test]
    fn isolated_pages_come_back() -> Result {
        if !mm::can_isolate() {
            return Ok(());
        }
        let free = free_pages();
        for command in [STOP, DONE, 9] {
            let host = Host::new(choice(ISOLATE), with_size(hinting(), FREE_PAGE, 2))?;
            host.set_command(7);
            opened(&host, 7)?;
            let (first, _) = take(&host)?;
            host.set_command(command);
            host.device.settle();
            ensure(isolated(&host, |c| c.pages.get())? > 0, "the host has some")?;
            if command == 9 {
                // It has them to the end.
                drop(host);
            } else {
                host.finish(first)?;
                closed(&host, ISOLATE)?;
                host.wait_until(|| Ok(isolated(&host, |c| c.pages.get())? == 0))?;
            }
            ensure(free_pages() > free / 16 * 15, "they are free again")?;
        }
        Ok(())
    }

    /// Somebody looks for memory while the host has it: that waits, for a limited time.
    #[test]
    fn no_memory_left_while_some_is_isolated() -> Result {
        if !mm::can_isolate() {
            return Ok(());
        }
        let host = Host::new(choice(ISOLATE), hinting())?;
        host.set_command(7);
        opened(&host, 7)?;
        let (chain, _) = take(&host)?;
        host.device.settle();
        let look = |host: &Host| host.with(|balloon| balloon.isolated.free_pages());
        same(look(&host)?, 0usize, "nothing came back")?;
        let pages = chain.bytes() / PAGE_SIZE;
        host.finish(chain)?;
        host.device.settle();
        ensure(look(&host)? >= pages, "it came back")?;
        closed(&host, ISOLATE)?;
        host.wait_until(|| Ok(isolated(&host, |c| c.pages.get())? == 0))?;
        ensure(look(&host)? > 0, "so did the rest")?;
        same(look(&host)?, 0usize, "once")
    }

    /// What the host has acknowledged, and what it has not, is kept until it says so.
    #[test]
    fn held_pages_are_out_of_use() -> Result {
        let host = Host::new(choice(HOLD), hinting())?;
        let free = free_pages();
        let pages = round(&host, HOLD, 7)?;
        ensure(free_pages() < free - pages / 4 * 3, "they are not free")?;
        host.set_command(STOP);
        host.device.settle();
        same(
            counter(&host, |c| c.held_pages.get())?,
            pages,
            "a stop does not free",
        )?;
        host.set_command(8);
        opened(&host, 8)?;
        closed(&host, HOLD)?;
        ensure(
            counter(&host, |c| c.held_pages.get())? >= pages as u64,
            "nor a round",
        )?;
        host.set_command(DONE);
        host.wait_until(|| Ok(counter(&host, |c| c.held_pages.get())? == 0))
    }

    #[test]
    fn an_id_is_answered_once() -> Result {
        for &hint in strategies() {
            let host = Host::new(choice(hint), hinting())?;
            for (id, end) in [(7, STOP), (7, DONE), (u32::MAX, DONE), (2, STOP)] {
                round(&host, hint, id)?;
                host.set_command(id);
                host.device.settle();
                ensure(!host.device.has_available(FREE_PAGE), "the same id again")?;
                host.set_command(end);
                host.device.settle();
                ensure(!host.device.has_available(FREE_PAGE), "the end of a round")?;
            }
            same(counter(&host, |c| c.requests.get())?, 4u64, "rounds")?;
        }
        Ok(())
    }

    /// The host says something else in the middle: the round ends, and what it has comes back.
    #[test]
    fn interrupted() -> Result {
        let fragments = fragment()?;
        for command in [STOP, DONE, 9] {
            for ring in RINGS {
                let setup = with_size(with_rings(hinting(), ring, 128), FREE_PAGE, 2);
                let host = Host::new(choice(HOLD), setup)?;
                host.set_command(7);
                opened(&host, 7)?;
                let (first, what) = take(&host)?;
                ensure(matches!(what, Hint::Pages(1..)), "pages follow")?;
                host.device.settle();
                host.set_command(command);
                host.device.settle();
                host.device.scribble(&first);
                let mut chains = 1;
                host.finish(first)?;
                loop {
                    let (chain, what) = take(&host)?;
                    host.finish(chain)?;
                    match what {
                        Hint::Pages(_) => chains += 1,
                        Hint::Id(id) => {
                            same(id, STOP, "the end")?;
                            break;
                        }
                    }
                }
                ensure(chains <= 2, "no more than the ring had")?;
                same(
                    counter(&host, |c| c.interrupted.get())?,
                    1u64,
                    "interrupted",
                )?;
                if command == 9 {
                    opened(&host, 9)?;
                    closed(&host, HOLD)?;
                }
                host.set_command(DONE);
                host.wait_until(|| Ok(counter(&host, |c| c.held_pages.get())? == 0))?;
            }
        }
        drop(fragments);
        Ok(())
    }

    /// Pages that come back after DONE are free at once.
    #[test]
    fn done_before_the_pages_come_back() -> Result {
        let host = Host::new(choice(HOLD), hinting())?;
        host.set_command(7);
        opened(&host, 7)?;
        let mut chains = KVec::new();
        let stop = loop {
            match take(&host)? {
                (chain, Hint::Pages(_)) => chains.push(chain, GFP_KERNEL)?,
                (chain, Hint::Id(_)) => break chain,
            }
        };
        host.set_command(DONE);
        host.device.settle();
        let mut held = counter(&host, |c| c.held_pages.get())?;
        ensure(held > 0, "the host has them")?;
        for chain in chains {
            held -= (chain.bytes() / PAGE_SIZE) as u64;
            host.device.scribble(&chain);
            host.finish(chain)?;
            host.wait_until(|| Ok(counter(&host, |c| c.held_pages.get())? == held))?;
        }
        same(held, 0u64, "all of them")?;
        host.finish(stop)
    }

    /// Whoever looks for memory in the guest gets what the host has acknowledged.
    #[test]
    fn the_guest_gets_its_memory_back() -> Result {
        let host = Host::new(choice(HOLD), hinting())?;
        let pages = round(&host, HOLD, 7)?;
        host.device.settle();
        let held = |host: &Host| counter(host, |c| c.held_pages.get());
        let with = |f: &dyn Fn(&crate::held::HeldPages) -> usize| {
            host.with(|balloon| balloon.hinting.as_ref().map_or(0, |h| f(&h.work.held)))
        };
        same(with(&|h| h.count())?, pages, "what can be had")?;
        let freed = with(&|h| h.scan(1000).unwrap_or(0))?;
        ensure(
            (1000..1000 + (1 << MAX_PAGE_ORDER)).contains(&freed),
            "as much as is wanted",
        )?;
        same(held(&host)?, pages - freed, "held")?;
        // Somebody looked for memory: there is no more to be had for the host.
        let runs = counter(&host, |c| c.runs.get())?;
        same(
            with(&|h| h.free_pages())?,
            pages,
            "before a kill, since the last time",
        )?;
        same(held(&host)?, 0u64, "held")?;
        same(with(&|h| h.free_pages())?, 0usize, "there is no more")?;
        same(counter(&host, |c| c.runs.get())?, runs, "runs")?;
        same(counter(&host, |c| c.shrunk_pages.get())?, pages, "counted")?;
        host.set_command(DONE);
        // Another round starts anew.
        ensure(round(&host, HOLD, 8)? > pages / 2, "most of it again")
    }

    /// Somebody looks for memory while the host has it: that waits, for a limited time.
    #[test]
    fn no_memory_left_while_the_host_has_it() -> Result {
        let host = Host::new(choice(HOLD), hinting())?;
        host.set_command(7);
        opened(&host, 7)?;
        let (chain, _) = take(&host)?;
        host.device.settle();
        let freed = host.with(|balloon| {
            let hinting = balloon.hinting.as_ref();
            hinting.map_or(usize::MAX, |hinting| hinting.work.held.free_pages())
        })?;
        same(freed, 0usize, "nothing came back")?;
        host.finish(chain)?;
        closed(&host, HOLD)?;
        host.set_command(DONE);
        host.wait_until(|| Ok(counter(&host, |c| c.held_pages.get())? == 0))
    }

    /// An id that was set before the driver came is answered.
    #[test]
    fn a_request_from_before() -> Result {
        for &hint in strategies() {
            let mut setup = hinting();
            setup.config[COMMAND_ID] = 77;
            let host = Host::new(choice(hint), setup)?;
            opened(&host, 77)?;
            closed(&host, hint)?;
        }
        Ok(())
    }
}
