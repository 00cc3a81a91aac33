// SPDX-License-Identifier: GPL-2.0

//! The free page bitmap.

use kernel::{
    mm::{
        self,
        Nodes,
        PageRun,
        Run, //
    },
    prelude::*,
    virtio::{
        mock::{
            Chain,
            Setup, //
        },
        Feature, //
    }, //
};

use super::hint;
use super::host::{
    ensure,
    free_pages,
    offering,
    same,
    with_rings,
    with_size,
    Host,
    FREE_PAGE,
    RINGS, //
};
use crate::{
    counters::BitmapCounters,
    device::{
        FREE_PAGE_BITMAP,
        FREE_PAGE_HINT,
        STATS_VQ, //
    },
    policy::testing::Choice, //
};

/// Request buffers of a device with a ring that is large enough.
const SLOTS: usize = 4;

// What a report says.
pub(super) const FINISHED: u8 = 0;
const MORE: u8 = 1;
const CANCELLED: u8 = 2;
const ERROR: u8 = 3;

pub(super) fn bitmap() -> Setup {
    offering(&[STATS_VQ, FREE_PAGE_HINT, FREE_PAGE_BITMAP])
}

pub(super) fn choice() -> Choice {
    Choice {
        bitmap: true,
        ..Choice::default()
    }
}

/// A request.
#[derive(Clone, Copy)]
pub(super) struct Request {
    pub(super) id: u32,
    kind: u8,
    pub(super) caches: u8,
    order: u8,
    flags: u8,
    start: u64,
    end: u64,
    reserved: u64,
    /// The length that the device says to have written.
    len: u32,
}

impl Request {
    /// For all blocks of an order.
    pub(super) fn all(id: u32, order: u8) -> Self {
        Self {
            id,
            kind: 1,
            caches: 0,
            order,
            flags: 0,
            start: 0,
            end: 1 << 52,
            reserved: 0,
            len: 32,
        }
    }

    /// The same, isolated.
    fn isolated(id: u32, order: u8) -> Self {
        Self {
            flags: 1,
            ..Self::all(id, order)
        }
    }

    fn cancel(id: u32) -> Self {
        Self {
            kind: 2,
            end: 0,
            ..Self::all(id, 0)
        }
    }

    fn bytes(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[0..4].copy_from_slice(&self.id.to_le_bytes());
        bytes[4..8].copy_from_slice(&[self.kind, self.caches, self.order, self.flags]);
        bytes[8..16].copy_from_slice(&self.start.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.end.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.reserved.to_le_bytes());
        bytes
    }
}

/// The head of a report.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    id: u32,
    pub(super) status: u8,
    error: u8,
    order: u8,
    flags: u8,
    pub(super) caches: u8,
    pub(super) caches_result: u8,
    bits: usize,
    start: u64,
    pub(super) dropped: u64,
}

/// The host's place at the queue: what the driver has made available, by kinds.
pub(super) struct Desk<'a> {
    host: &'a Host,
    slots: KVec<Chain>,
    reports: KVec<Chain>,
}

impl<'a> Desk<'a> {
    pub(super) fn new(host: &'a Host) -> Self {
        Self {
            host,
            slots: KVec::new(),
            reports: KVec::new(),
        }
    }

    /// Takes the next buffer.
    fn take(&mut self) -> Result {
        let chain = self.host.wait_for(FREE_PAGE)?;
        if chain.is_writable() {
            same(chain.bytes(), 32usize, "room for a request")?;
            let mut bytes = [1; 32];
            same(
                self.host.device.read(&chain, 0, &mut bytes),
                32usize,
                "bytes",
            )?;
            ensure(bytes == [0; 32], "a slot is zeroed")?;
            self.slots.push(chain, GFP_KERNEL)?;
        } else {
            ensure(chain.bytes() >= 32, "a report has a head")?;
            self.reports.push(chain, GFP_KERNEL)?;
        }
        let all = usize::from(self.host.device.queue_size(FREE_PAGE));
        let entries =
            |chains: &KVec<Chain>| chains.iter().map(|c| c.descriptors().len()).sum::<usize>();
        let used = entries(&self.slots) + entries(&self.reports);
        ensure(self.slots.len() <= SLOTS && used <= all, "it all fits")
    }

    /// Takes what is there by now.
    fn take_all(&mut self) -> Result {
        self.host.device.settle();
        while self.host.device.has_available(FREE_PAGE) {
            self.take()?;
        }
        Ok(())
    }

    pub(super) fn ask(&mut self, request: Request) -> Result {
        while self.slots.is_empty() {
            self.take()?;
        }
        let slot = self.slots.remove(0)?;
        self.host.device.write(&slot, 0, &request.bytes());
        self.host.finish_written(slot, request.len)
    }

    /// Waits for a report, which the host keeps.
    pub(super) fn look(&mut self) -> Result<(Chain, Head)> {
        while self.reports.is_empty() {
            self.take()?;
        }
        let chain = self.reports.remove(0)?;
        let mut bytes = [0u8; 32];
        self.host.device.read(&chain, 0, &mut bytes);
        let long = |at: usize| {
            let mut value = [0; 8];
            value.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(value)
        };
        let head = Head {
            id: long(0) as u32,
            status: bytes[4],
            error: bytes[5],
            order: bytes[6],
            flags: bytes[7],
            caches: bytes[8],
            caches_result: bytes[9],
            bits: (long(8) >> 32) as usize,
            start: long(16),
            dropped: long(24),
        };
        ensure(bytes[10] == 0 && bytes[11] == 0, "zeroes")?;
        same(chain.bytes(), 32 + head.bits.div_ceil(64) * 8, "the length")?;
        ensure(
            (head.error != 0) == (head.status == ERROR),
            "an error has a code",
        )?;
        if matches!(head.status, CANCELLED | ERROR) {
            ensure(head.bits == 0 && head.start == 0, "no bitmap")?;
            same(head.flags, 0u8, "no flags")?;
        }
        Ok((chain, head))
    }

    /// Waits for a report, and gives its buffer back.
    pub(super) fn read(&mut self) -> Result<Head> {
        let (chain, head) = self.look()?;
        self.host.finish(chain)?;
        Ok(head)
    }

    /// Takes all reports on a request, and calls `f` with the PFN of each free block.
    pub(super) fn answer(&mut self, request: &Request, mut f: impl FnMut(u64)) -> Result<Found> {
        let mut found = Found::default();
        let mut next = None;
        loop {
            let (chain, head) = self.look()?;
            same(head.id, request.id, "the id")?;
            same(head.order, request.order, "the order")?;
            same(head.flags, request.flags, "isolated if that was asked for")?;
            ensure(matches!(head.status, FINISHED | MORE), "it is a bitmap")?;
            if let Some(next) = next {
                same(head.start, next, "it goes on where it was")?;
            }
            next = Some(head.start + ((head.bits as u64) << head.order));
            if head.status == MORE {
                ensure(head.bits > 0, "it says something")?;
                ensure(
                    head.bits % 64 == 0 || head.flags != 0,
                    "whole words, unless memory was short",
                )?;
            }
            let mut bytes = [0u8; 512];
            let mut at = 32;
            while at < chain.bytes() {
                let read = self.host.device.read(&chain, at, &mut bytes);
                ensure(read > 0, "the bitmap is there")?;
                for (nth, byte) in bytes
                    .iter()
                    .take(read)
                    .enumerate()
                    .filter(|(_, b)| **b != 0)
                {
                    for bit in (0..8).filter(|bit| byte & (1 << bit) != 0) {
                        let bit = (at - 32 + nth) * 8 + bit;
                        ensure(bit < head.bits, "no bit beyond the end")?;
                        found.set += 1;
                        f(head.start + ((bit as u64) << head.order));
                    }
                }
                at += read;
            }
            found.reports += 1;
            found.bits += head.bits;
            self.host.finish(chain)?;
            if head.status == FINISHED {
                return Ok(found);
            }
        }
    }
}

/// What the reports on a request said.
#[derive(Default)]
pub(super) struct Found {
    reports: usize,
    bits: usize,
    set: usize,
}

/// The page frame after the last one that there is.
fn end_pfn() -> u64 {
    Nodes::end_pfn() as u64
}

/// A request in two reports, one that is refused, one that is overtaken and one that is cancelled.
pub(super) fn script(host: &Host) -> Result {
    let mut desk = Desk::new(host);
    let first = Request::all(1, 9);
    desk.ask(first)?;
    desk.answer(&first, |_| ())?;
    desk.ask(Request::all(1, 9))?;
    desk.read()?;
    desk.ask(Request::all(2, 0))?;
    desk.look()?;
    desk.ask(Request::all(3, 0))?;
    desk.ask(Request::cancel(3))?;
    desk.read()?;
    Ok(())
}

/// A request with isolated blocks that is answered, one that is overtaken while the host has
/// blocks, and one that is cancelled.
pub(super) fn isolated_script(host: &Host) -> Result {
    let mut desk = Desk::new(host);
    let first = Request::isolated(1, 9);
    desk.ask(first)?;
    desk.answer(&first, |_| ())?;
    desk.ask(Request::isolated(2, 0))?;
    let (part, _) = desk.look()?;
    desk.ask(Request::isolated(3, 9))?;
    host.finish(part)?;
    desk.read()?;
    desk.ask(Request::cancel(3))?;
    desk.read()?;
    Ok(())
}

/// Has a part of the memory isolated, which the host keeps, and asks for more.
#[cfg(CONFIG_PM_SLEEP)]
pub(super) fn isolated_in_flight(host: &Host) -> Result {
    let mut desk = Desk::new(host);
    desk.ask(Request::isolated(1, 9))?;
    desk.look()?;
    desk.ask(Request::isolated(2, 9))
}

/// Asks for all blocks, in as many reports as it takes.
#[cfg(CONFIG_PM_SLEEP)]
pub(super) fn everything(host: &Host) -> Result {
    let mut desk = Desk::new(host);
    for (id, order) in [(1, 9), (2, 0)] {
        let request = Request::all(id, order);
        desk.ask(request)?;
        let found = desk.answer(&request, |_| ())?;
        same(found.bits as u64, end_pfn() >> order, "all blocks")?;
    }
    Ok(())
}

fn counter(host: &Host, read: impl FnOnce(&BitmapCounters) -> u64) -> Result<u64> {
    host.with(|balloon| {
        let bitmap = balloon.bitmap.as_ref();
        bitmap.map_or(0, |bitmap| read(&bitmap.work.counters))
    })
}

#[kunit_tests(rust_virtio_balloon_mock_bitmap)]
mod tests {
    use super::*;

    /// On every ring: the blocks of an order, none of them one that is in use.
    #[test]
    fn tells_what_is_free() -> Result {
        let node = Nodes::new().next().ok_or(ENODEV)?;
        let used = PageRun::alloc(&node, 10).ok_or(ENOMEM)?;
        let start = used.range().start() as u64;
        let end = used.range().end() as u64;
        for ring in RINGS {
            for (size, orders) in [
                (4, &[9][..]),
                (8, &[9]),
                (64, &[0, 3, 9, 10]),
                (256, &[0, 9]),
            ] {
                let setup = with_size(with_rings(bitmap(), ring, 128), FREE_PAGE, size);
                let host = Host::new(choice(), setup)?;
                ensure(host.has(FREE_PAGE_BITMAP), "the bitmap is accepted")?;
                ensure(!host.has(FREE_PAGE_HINT), "and hinting is not")?;
                let mut desk = Desk::new(&host);
                let (mut bits, mut set) = (0, 0);
                for (&order, id) in orders.iter().zip(1..) {
                    let request = Request::all(id, order);
                    desk.ask(request)?;
                    let mut lies = 0;
                    let found = desk.answer(&request, |pfn| {
                        if pfn < end && pfn + (1 << order) > start {
                            lies += 1;
                        }
                    })?;
                    same(lies, 0u32, "blocks in use that are told to be free")?;
                    ensure(found.set > 0, "some memory is free")?;
                    same(found.bits as u64, end_pfn() >> order, "all blocks")?;
                    bits += found.bits;
                    set += found.set;
                }
                desk.take_all()?;
                let slots = if size < 8 { 2 } else { SLOTS };
                same(desk.slots.len(), slots, "all slots are back")?;
                same(counter(&host, |c| c.bits.get())?, bits, "counted")?;
                same(counter(&host, |c| c.blocks.get())?, set, "counted")?;
            }
        }
        Ok(())
    }

    /// A small ring makes many reports, which go on where the one before ended.
    #[test]
    fn tells_it_in_several_reports() -> Result {
        for ring in RINGS {
            let setup = with_size(with_rings(bitmap(), ring, 128), FREE_PAGE, 4);
            let host = Host::new(choice(), setup)?;
            let mut desk = Desk::new(&host);
            let request = Request {
                start: 3,
                end: 100_001,
                ..Request::all(1, 0)
            };
            desk.ask(request)?;
            let found = desk.answer(&request, |_| ())?;
            same(found.bits, 99_998usize, "the whole window")?;
            same(
                found.reports,
                4usize,
                "as much as fits into a page each time",
            )?;
        }
        Ok(())
    }

    #[test]
    fn small_windows() -> Result {
        let host = Host::new(choice(), bitmap())?;
        let mut desk = Desk::new(&host);
        for ((start, end, order, bits), id) in [
            (1000, 1001, 0, 1),
            (1000, 1065, 0, 65),
            (513, 1024, 9, 0),
            (512, 1024, 9, 1),
            (511, 1025, 9, 1),
            (1, 2047, 9, 2),
            (end_pfn() - 1, 1 << 52, 0, 1),
            (end_pfn() - 1, 1 << 52, 9, 0),
        ]
        .into_iter()
        .zip(1..)
        {
            let request = Request {
                start,
                end,
                ..Request::all(id, order)
            };
            desk.ask(request)?;
            let found = desk.answer(&request, |_| ())?;
            same(found.bits, bits as usize, "blocks within the window")?;
            same(found.reports, 1usize, "reports")?;
        }
        Ok(())
    }

    /// Each thing that can be wrong with a request, while another one is in progress.
    #[test]
    fn refuses_what_is_not_in_order() -> Result {
        type Change = fn(&mut Request);
        let changes: [(Change, u8); 19] = [
            (|r| r.len = 0, 1),
            (|r| r.len = 31, 1),
            (|r| r.len = 33, 1),
            (|r| r.len = u32::MAX, 1),
            (|r| r.kind = 0, 3),
            (|r| r.kind = 255, 3),
            (|r| r.flags = 2, 4),
            (|r| r.reserved = 1 << 63, 4),
            (|r| (r.kind, r.end, r.order) = (2, 0, 1), 4),
            (|r| r.id = 0, 2),
            (|r| r.id = 7, 2),
            (|r| (r.kind, r.end, r.id) = (2, 0, 6), 2),
            (|r| r.caches = 4, 5),
            (|r| r.order = 11, 6),
            (|r| r.order = 255, 6),
            (|r| (r.start, r.end) = (5, 5), 7),
            (|r| (r.start, r.end) = (6, 5), 7),
            (|r| r.end += 1, 7),
            (|r| r.start = (1 << 52) - 1, 7),
        ];
        let host = Host::new(choice(), with_size(bitmap(), FREE_PAGE, 4))?;
        let mut desk = Desk::new(&host);
        let progressing = Request {
            end: 100_000,
            ..Request::all(7, 0)
        };
        desk.ask(progressing)?;
        // It cannot go on until its first report comes back.
        let (part, head) = desk.look()?;
        same(head.status, MORE, "the first part")?;
        for (change, error) in changes {
            let mut request = Request::all(9, 0);
            change(&mut request);
            desk.ask(request)?;
            let head = desk.read()?;
            same(head.status, ERROR, "the status")?;
            same(head.error, error, "the error")?;
            let id = if request.len < 4 { 0 } else { request.id };
            same(head.id, id, "the id")?;
            let order = if error == 1 { 0 } else { request.order.min(10) };
            same(head.order, order, "the order")?;
            ensure(
                (head.caches, head.caches_result, head.dropped) == (0, 0, 0),
                "no caches",
            )?;
        }
        same(counter(&host, |c| c.refused.get())?, 19u64, "counted")?;
        host.finish(part)?;
        let found = desk.answer(&progressing, |_| ())?;
        same(
            found.bits,
            100_000 - head.bits,
            "the rest of the one in progress",
        )?;
        // An id that was used last is taken.
        desk.ask(progressing)?;
        same(desk.read()?.error, 2u8, "the id that was used last")
    }

    /// Blocks are out of use while the host has the report with them, a part of the memory at a
    /// time; all of it gets its turn.
    #[test]
    fn isolates_what_is_free() -> Result {
        if !mm::can_isolate() {
            let host = Host::new(choice(), bitmap())?;
            let mut desk = Desk::new(&host);
            desk.ask(Request::isolated(1, 9))?;
            return same(desk.read()?.error, 8u8, "this kernel cannot");
        }
        for ring in RINGS {
            for (size, order) in [(4, 9), (64, 10), (64, 9), (64, 5)] {
                let setup = with_size(with_rings(bitmap(), ring, 128), FREE_PAGE, size);
                let free = free_pages();
                let host = Host::new(choice(), setup)?;
                let mut desk = Desk::new(&host);
                desk.ask(Request::isolated(1, order))?;
                let (part, head) = desk.look()?;
                same(head.status, MORE, "not all at once")?;
                let out = hint::isolated(&host, |c| c.pages.get())?;
                ensure(out > 0 && out <= free as u64 / 4, "up to a quarter")?;
                ensure(
                    free_pages() < free - out as usize / 4 * 3,
                    "they are not free",
                )?;
                // The next request gets nothing before those are back.
                let all = Request::isolated(2, order);
                desk.ask(all)?;
                host.device.settle();
                same(hint::isolated(&host, |c| c.pages.get())?, out, "no more")?;
                let before = hint::isolated(&host, |c| c.isolated_pages.get())?;
                host.finish(part)?;
                same(desk.read()?.status, CANCELLED, "the first")?;
                let found = desk.answer(&all, |_| ())?;
                same(found.bits as u64, end_pfn() >> order, "all blocks")?;
                host.wait_until(|| Ok(hint::isolated(&host, |c| c.pages.get())? == 0))?;
                let all = hint::isolated(&host, |c| c.isolated_pages.get())? - before;
                same(all, found.set << order, "as many as were reported")?;
                ensure(found.set << order > free / 4 * 3, "most of the memory")?;
                let most = hint::isolated(&host, |c| c.pages_max.get())?;
                ensure(most <= free as u64 / 4, "never more than a quarter")?;
                ensure(free_pages() > free / 16 * 15, "they are free again")?;
            }
        }
        Ok(())
    }

    #[test]
    fn overtaken_and_cancelled() -> Result {
        for ring in RINGS {
            let setup = with_size(with_rings(bitmap(), ring, 128), FREE_PAGE, 8);
            let host = Host::new(choice(), setup)?;
            let mut desk = Desk::new(&host);
            desk.ask(Request::all(1, 0))?;
            let (part, head) = desk.look()?;
            same(head.status, MORE, "the first part")?;
            desk.ask(Request::all(2, 0))?;
            let head = desk.read()?;
            ensure(
                (head.id, head.status) == (1, CANCELLED),
                "the first is over",
            )?;
            desk.ask(Request::cancel(1))?;
            let head = desk.read()?;
            ensure(
                (head.id, head.error) == (1, 2),
                "it cannot be cancelled now",
            )?;
            desk.ask(Request::cancel(2))?;
            let head = desk.read()?;
            ensure((head.id, head.status) == (2, CANCELLED), "the second can")?;
            desk.ask(Request::cancel(2))?;
            let head = desk.read()?;
            ensure((head.id, head.error) == (2, 2), "once")?;
            host.finish(part)?;
            let last = Request::all(3, 9);
            desk.ask(last)?;
            same(desk.answer(&last, |_| ())?.reports, 1usize, "reports")?;
            desk.take_all()?;
            same(desk.slots.len(), SLOTS, "all slots are back")?;
            same(counter(&host, |c| c.overtaken.get())?, 1u64, "overtaken")?;
            same(counter(&host, |c| c.cancelled.get())?, 1u64, "cancelled")?;
        }
        Ok(())
    }

    /// As many requests as there are slots for, all the time: each is answered once, in order.
    #[test]
    fn a_storm() -> Result {
        for ring in RINGS {
            for size in [4, 64] {
                let setup = with_size(with_rings(bitmap(), ring, 128), FREE_PAGE, size);
                let host = Host::new(choice(), setup)?;
                let mut desk = Desk::new(&host);
                let (mut asked, mut ended) = (0, 0);
                while ended < 60 {
                    desk.take_all()?;
                    while asked < 60 && !desk.slots.is_empty() {
                        asked += 1;
                        let order = if asked % 7 == 0 { 99 } else { 9 };
                        desk.ask(Request::all(asked, order))?;
                    }
                    while !desk.reports.is_empty() {
                        let head = desk.read()?;
                        if head.status != MORE {
                            ensure(head.id <= asked, "it was asked for")?;
                            ended += 1;
                        }
                    }
                }
                desk.take_all()?;
                ensure(desk.reports.is_empty(), "nothing more")?;
                same(counter(&host, |c| c.refused.get())?, 8u64, "refused")?;
                let requests = counter(&host, |c| c.requests.get())?;
                same(requests, 52u64, "requests")?;
            }
        }
        Ok(())
    }

    /// A host that asks and reads no answer runs out of slots.
    #[test]
    fn no_more_than_there_are_slots_for() -> Result {
        let host = Host::new(choice(), bitmap())?;
        let mut desk = Desk::new(&host);
        for id in 1..=4 {
            desk.ask(Request::all(id, 9))?;
        }
        desk.take_all()?;
        ensure(desk.slots.is_empty(), "there is no slot")?;
        // The last waits for the bitmap, which the first has.
        for _ in 1..=4 {
            desk.read()?;
        }
        desk.take_all()?;
        same(desk.slots.len(), SLOTS, "all slots are back")
    }

    #[test]
    fn what_it_needs() -> Result {
        let small = with_size(bitmap(), FREE_PAGE, 2);
        let host = Host::new(choice(), small)?;
        ensure(
            host.with(|balloon| balloon.bitmap.is_none())?,
            "the ring is too small",
        )?;
        ensure(
            !host.device.has_available(FREE_PAGE),
            "so there is nothing in it",
        )?;
        drop(host);

        let setup = bitmap().offer(Feature::IN_ORDER);
        let host = Host::new(choice(), setup.clone())?;
        ensure(!host.has(Feature::IN_ORDER), "not in order")?;
        script(&host)?;
        drop(host);

        let host = Host::new(Choice::default(), setup)?;
        ensure(
            !host.has(FREE_PAGE_BITMAP),
            "not unless the owner allows it",
        )?;
        ensure(host.has(Feature::IN_ORDER), "then buffers may be in order")
    }
}
