// SPDX-License-Identifier: GPL-2.0

//! What goes through the virtqueue of the free page bitmap: layouts, and the check of a request.
//!
//! Specification: `Documentation/virt/free-page-bitmap.rst`. Nothing here touches the device.

use core::mem::offset_of;
use kernel::{
    bindings,
    mm::{
        Caches,
        MAX_PAGE_ORDER, //
    },
    page::PAGE_SHIFT,
    prelude::*,
    scatter_bitmap::Window, //
};
use zerocopy::little_endian::{
    U16,
    U32,
    U64, //
};
use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes, //
};

/// A page of the kernel is `2^PAGE_FRAMES_SHIFT` page frames of 4 KiB.
// CAST: A small constant.
pub(crate) const PAGE_FRAMES_SHIFT: u32 = PAGE_SHIFT as u32 - bindings::VIRTIO_BALLOON_PFN_SHIFT;

/// The flag of requests and reports whose blocks are isolated.
// CAST: It fits into a byte.
const ISOLATED: u8 = bindings::VIRTIO_BALLOON_BITMAP_ISOLATED as u8;

/// The orders, in page frames of 4 KiB, that free blocks can be looked for at.
const LOWEST_ORDER: u32 = PAGE_FRAMES_SHIFT;
const HIGHEST_ORDER: u32 = PAGE_FRAMES_SHIFT + MAX_PAGE_ORDER;

/// `struct virtio_balloon_bitmap_request`.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct RawRequest {
    id: U32,
    kind: u8,
    caches: u8,
    order: u8,
    flags: u8,
    start_pfn: U64,
    end_pfn: U64,
    reserved: U64,
}

const REQUEST_BYTES: usize = size_of::<RawRequest>();

static_assert!(REQUEST_BYTES == size_of::<bindings::virtio_balloon_bitmap_request>());
static_assert!(REQUEST_BYTES == 32);
static_assert!(offset_of!(RawRequest, kind) == 4);
static_assert!(offset_of!(RawRequest, start_pfn) == 8);
static_assert!(offset_of!(RawRequest, reserved) == 24);

/// `struct virtio_balloon_bitmap_report`.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct RawReport {
    id: U32,
    status: u8,
    error: u8,
    order: u8,
    flags: u8,
    caches: u8,
    caches_result: u8,
    reserved: U16,
    nr_bits: U32,
    start_pfn: U64,
    dropped_pages: U64,
}

static_assert!(
    size_of::<RawReport>() == size_of::<bindings::virtio_balloon_bitmap_report>()
        && size_of::<RawReport>() == 32
);
static_assert!(offset_of!(RawReport, caches) == 8);
static_assert!(offset_of!(RawReport, nr_bits) == 12);
static_assert!(offset_of!(RawReport, start_pfn) == 16);
static_assert!(offset_of!(RawReport, dropped_pages) == 24);

/// What became of a command to drop caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DropResult {
    /// There was no such command.
    None,
    /// All was dropped.
    Dropped,
    /// The owner of the guest does not allow all of it.
    Refused,
    /// The owner of the guest does not allow it again yet.
    TooSoon,
    /// It was not finished in time, and may go on.
    Timeout,
    /// It did not work.
    Failed,
}

impl DropResult {
    /// Returns its number on the wire.
    pub(crate) fn code(self) -> u8 {
        let code = match self {
            Self::None => bindings::VIRTIO_BALLOON_BITMAP_CACHES_NONE,
            Self::Dropped => bindings::VIRTIO_BALLOON_BITMAP_CACHES_DROPPED,
            Self::Refused => bindings::VIRTIO_BALLOON_BITMAP_CACHES_REFUSED,
            Self::TooSoon => bindings::VIRTIO_BALLOON_BITMAP_CACHES_TOO_SOON,
            Self::Timeout => bindings::VIRTIO_BALLOON_BITMAP_CACHES_TIMEOUT,
            Self::Failed => bindings::VIRTIO_BALLOON_BITMAP_CACHES_FAILED,
        };
        // CAST: The codes fit into a byte.
        code as u8
    }
}

/// The caches that were dropped for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dropped {
    /// Which.
    pub(crate) caches: Caches,
    /// Whether those are the ones that were to be dropped.
    pub(crate) result: DropResult,
    /// How much free memory there is more of than before, in balloon pages (4 KiB).
    pub(crate) pages: u64,
}

impl Dropped {
    /// None, with this result.
    pub(crate) fn none(result: DropResult) -> Self {
        Self {
            caches: Caches::NONE,
            result,
            pages: 0,
        }
    }
}

/// Which of a window's reports it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// The last one.
    Done,
    /// Another one follows.
    More,
    /// There is no other, as the request is over.
    Cancelled,
}

impl Status {
    /// Returns its number on the wire.
    pub(crate) fn code(self) -> u8 {
        let code = match self {
            Self::Done => bindings::VIRTIO_BALLOON_BITMAP_DONE,
            Self::More => bindings::VIRTIO_BALLOON_BITMAP_MORE,
            Self::Cancelled => bindings::VIRTIO_BALLOON_BITMAP_CANCELLED,
        };
        // CAST: The codes fit into a byte.
        code as u8
    }
}

/// A request for reports that was found to be in order.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) id: u32,
    /// What is to be dropped first.
    pub(crate) caches: Caches,
    /// Whether the blocks are to be isolated until the report is returned.
    pub(crate) isolated: bool,
    /// In page frames of 4 KiB, as on the wire.
    wire_order: u8,
    /// What is left of the window, in page frames of 4 KiB.
    pub(crate) window: Window,
}

impl Wanted {
    /// The order of the blocks in pages of the kernel.
    pub(crate) fn order(&self) -> u32 {
        u32::from(self.wire_order).saturating_sub(PAGE_FRAMES_SHIFT)
    }

    /// Writes a report of `bits` bits, the first of them for the block at `start_pfn`.
    pub(crate) fn report(
        &self,
        status: Status,
        bits: usize,
        start_pfn: u64,
        dropped: &Dropped,
    ) -> RawReport {
        RawReport {
            id: U32::new(self.id),
            status: status.code(),
            order: self.wire_order,
            flags: if self.isolated && status != Status::Cancelled {
                ISOLATED
            } else {
                0
            },
            caches: dropped.caches.bits(),
            caches_result: dropped.result.code(),
            // A report is some megabits at most.
            nr_bits: U32::new(u32::try_from(bits).unwrap_or(0)),
            start_pfn: U64::new(start_pfn),
            dropped_pages: U64::new(dropped.pages),
            ..RawReport::default()
        }
    }

    /// Writes the report that the request is over.
    pub(crate) fn cancelled(&self, dropped: &Dropped) -> RawReport {
        self.report(Status::Cancelled, 0, 0, dropped)
    }
}

/// What the host wants.
#[derive(Debug)]
pub(crate) enum Request {
    /// Reports of free blocks.
    Report(Wanted),
    /// No more reports for the request in progress.
    Cancel,
}

/// A request that is not in order, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub(crate) id: u32,
    pub(crate) error: u32,
    order: u8,
}

impl Malformed {
    /// Writes the error report.
    pub(crate) fn report(&self) -> RawReport {
        RawReport {
            id: U32::new(self.id),
            // CAST: The codes fit into a byte.
            status: bindings::VIRTIO_BALLOON_BITMAP_ERROR as u8,
            // CAST: As above.
            error: self.error as u8,
            order: self.order,
            ..RawReport::default()
        }
    }
}

/// What a request is checked against, beside itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Situation {
    /// The request that is in progress.
    pub(crate) in_progress: Option<u32>,
    /// The last one that was in order.
    pub(crate) last: Option<u32>,
    /// The page frame (4 KiB) after the last one that there is.
    pub(crate) end_pfn: u64,
    /// Whether blocks can be isolated.
    pub(crate) can_isolate: bool,
}

impl RawRequest {
    /// Returns the id, which is there unless the request was found to be malformed.
    pub(crate) fn id(&self) -> u32 {
        self.id.get()
    }

    /// Checks a request of which the device says to have written `len` bytes.
    pub(crate) fn check(&self, len: u32, now: &Situation) -> Result<Request, Malformed> {
        let id = if len >= 4 { self.id.get() } else { 0 };
        let malformed = |error| Malformed {
            id,
            error,
            order: self.order,
        };
        if usize::try_from(len) != Ok(REQUEST_BYTES) {
            return Err(Malformed {
                // Was it written?
                order: 0,
                ..malformed(bindings::VIRTIO_BALLOON_BITMAP_E_SIZE)
            });
        }
        match u32::from(self.kind) {
            bindings::VIRTIO_BALLOON_BITMAP_REPORT => self.check_report(now),
            bindings::VIRTIO_BALLOON_BITMAP_CANCEL => self.check_cancel(now),
            _ => Err(bindings::VIRTIO_BALLOON_BITMAP_E_TYPE),
        }
        .map_err(|error| match error {
            bindings::VIRTIO_BALLOON_BITMAP_E_ORDER => Malformed {
                order: self.nearest_order(),
                ..malformed(error)
            },
            _ => malformed(error),
        })
    }

    fn check_cancel(&self, now: &Situation) -> Result<Request, u32> {
        let zeroes = Self {
            id: self.id,
            kind: self.kind,
            ..Self::default()
        };
        if self.as_bytes() != zeroes.as_bytes() {
            return Err(bindings::VIRTIO_BALLOON_BITMAP_E_RESERVED);
        }
        let id = self.id.get();
        if id == 0 || now.in_progress != Some(id) {
            return Err(bindings::VIRTIO_BALLOON_BITMAP_E_ID);
        }
        Ok(Request::Cancel)
    }

    fn check_report(&self, now: &Situation) -> Result<Request, u32> {
        let id = self.id.get();
        if self.flags & !ISOLATED != 0 || self.reserved.get() != 0 {
            return Err(bindings::VIRTIO_BALLOON_BITMAP_E_RESERVED);
        }
        let isolated = self.flags & ISOLATED != 0;
        if isolated && !now.can_isolate {
            return Err(bindings::VIRTIO_BALLOON_BITMAP_E_ISOLATED);
        }
        if id == 0 || now.in_progress == Some(id) || now.last == Some(id) {
            return Err(bindings::VIRTIO_BALLOON_BITMAP_E_ID);
        }
        let caches =
            Caches::from_bits(self.caches).ok_or(bindings::VIRTIO_BALLOON_BITMAP_E_CACHES)?;
        if self.order != self.nearest_order() {
            return Err(bindings::VIRTIO_BALLOON_BITMAP_E_ORDER);
        }
        let start = self.start_pfn.get();
        let end = self.end_pfn.get();
        if end > bindings::VIRTIO_BALLOON_BITMAP_MAX_PFN || start >= now.end_pfn {
            return Err(bindings::VIRTIO_BALLOON_BITMAP_E_WINDOW);
        }
        // The host need not know where the memory ends.
        let window = Window::new(start, end.min(now.end_pfn), u32::from(self.order))
            .map_err(|_| bindings::VIRTIO_BALLOON_BITMAP_E_WINDOW)?;
        Ok(Request::Report(Wanted {
            id,
            caches,
            isolated,
            wire_order: self.order,
            window,
        }))
    }

    /// Returns the order that the driver has, and that is nearest to the one of the request.
    fn nearest_order(&self) -> u8 {
        // CAST: Small constants.
        self.order.clamp(LOWEST_ORDER as u8, HIGHEST_ORDER as u8)
    }
}

#[cfg(CONFIG_VIRTIO_BALLOON_KUNIT_TEST)]
#[kunit_tests(rust_virtio_balloon_bitmap_request)]
mod tests {
    use super::*;
    use kernel::scatter_bitmap::Outcome;

    const GIB: u64 = 1 << 18;
    const NOW: Situation = Situation {
        in_progress: Some(5),
        last: Some(6),
        end_pfn: 4 * GIB,
        can_isolate: false,
    };

    fn good() -> RawRequest {
        RawRequest {
            id: U32::new(7),
            kind: 1,
            order: 9,
            end_pfn: U64::new(GIB),
            ..RawRequest::default()
        }
    }

    /// Changes a good request, and returns the error code.
    fn error(change: impl FnOnce(&mut RawRequest)) -> Option<u32> {
        let mut request = good();
        change(&mut request);
        request.check(32, &NOW).err().map(|m| m.error)
    }

    fn wanted(request: &RawRequest) -> Option<Wanted> {
        match request.check(32, &NOW) {
            Ok(Request::Report(wanted)) => Some(wanted),
            _ => None,
        }
    }

    #[test]
    fn takes_what_is_in_order() {
        let wanted = wanted(&good());
        assert!(wanted.is_some());
        if let Some(mut wanted) = wanted {
            assert_eq!(wanted.id, 7);
            assert_eq!(wanted.order(), 9 - PAGE_FRAMES_SHIFT);
            let part = wanted.window.next_part(usize::MAX);
            assert_eq!((part.start_pfn, part.bits), (0, 512));
            assert_eq!(part.outcome, Outcome::Done);
        }
    }

    #[test]
    fn names_what_is_wrong() {
        assert_eq!(error(|_| ()), None);
        assert_eq!(error(|r| r.kind = 0), Some(3));
        assert_eq!(error(|r| r.kind = 3), Some(3));
        assert_eq!(error(|r| r.flags = 1), Some(8));
        assert_eq!(error(|r| r.flags = 2), Some(4));
        assert_eq!(error(|r| r.flags = 3), Some(4));
        assert_eq!(error(|r| r.reserved = U64::new(1 << 63)), Some(4));
        for id in [0, 5, 6] {
            assert_eq!(error(|r| r.id = U32::new(id)), Some(2));
        }
        assert_eq!(error(|r| r.caches = 3), None);
        assert_eq!(error(|r| r.caches = 4), Some(5));
        assert_eq!(error(|r| r.order = 255), Some(6));
        assert_eq!(error(|r| r.start_pfn = U64::new(GIB)), Some(7));
        assert_eq!(error(|r| r.start_pfn = U64::new(2 * GIB)), Some(7));
        assert_eq!(error(|r| r.end_pfn = U64::new(0)), Some(7));
        assert_eq!(error(|r| r.end_pfn = U64::new(1 << 52)), None);
        assert_eq!(error(|r| r.end_pfn = U64::new((1 << 52) + 1)), Some(7));
        assert_eq!(
            error(|r| {
                r.start_pfn = U64::new(4 * GIB);
                r.end_pfn = U64::new(5 * GIB);
            }),
            Some(7)
        );
    }

    /// The first of several errors counts: size, type, reserved, isolated, id, caches, order,
    /// window.
    #[test]
    fn names_the_first_thing_that_is_wrong() {
        let mut request = RawRequest {
            id: U32::new(5),
            kind: 9,
            caches: 9,
            order: 99,
            flags: 9,
            ..RawRequest::default()
        };
        let code = |r: &RawRequest, len| r.check(len, &NOW).err().map(|m| m.error);
        assert_eq!(code(&request, 31), Some(1));
        assert_eq!(code(&request, 32), Some(3));
        request.kind = 1;
        assert_eq!(code(&request, 32), Some(4));
        request.flags = 1;
        assert_eq!(code(&request, 32), Some(8));
        request.flags = 0;
        assert_eq!(code(&request, 32), Some(2));
        request.id = U32::new(8);
        assert_eq!(code(&request, 32), Some(5));
        request.caches = 1;
        assert_eq!(code(&request, 32), Some(6));
        request.order = 10;
        assert_eq!(code(&request, 32), Some(7));
        request.end_pfn = U64::new(1);
        assert_eq!(code(&request, 32), None);
    }

    #[test]
    fn an_error_has_the_id_if_there_is_one() {
        let id = |len| good().check(len, &NOW).err().map(|m| m.id);
        for len in [0, 3] {
            assert_eq!(id(len), Some(0));
        }
        for len in [4, 31, 33, u32::MAX] {
            assert_eq!(id(len), Some(7));
        }
    }

    #[test]
    fn an_order_error_names_the_nearest() {
        let nearest = |order| {
            let request = RawRequest { order, ..good() };
            request.check(32, &NOW).err().map(|m| m.order)
        };
        // CAST: Small constants.
        let (lowest, highest) = (LOWEST_ORDER as u8, HIGHEST_ORDER as u8);
        for order in lowest..=highest {
            assert_eq!(nearest(order), None);
        }
        for order in highest + 1..=255 {
            assert_eq!(nearest(order), Some(highest));
        }
    }

    #[test]
    fn a_window_ends_where_the_memory_ends() {
        let request = RawRequest {
            start_pfn: U64::new(3 * GIB + 1),
            end_pfn: U64::new(100 * GIB),
            ..good()
        };
        let part = wanted(&request).map(|mut w| w.window.next_part(usize::MAX));
        assert!(part.is_some_and(|p| p.bits == 511 && p.start_pfn == 3 * GIB + 512));
    }

    #[test]
    fn cancels_what_is_in_progress_only() {
        let cancel = |id, order| {
            RawRequest {
                id: U32::new(id),
                kind: 2,
                order,
                ..RawRequest::default()
            }
            .check(32, &NOW)
        };
        assert!(matches!(cancel(5, 0), Ok(Request::Cancel)));
        assert!(cancel(5, 9).is_err_and(|m| m.error == 4));
        assert!(cancel(6, 0).is_err_and(|m| m.error == 2));
        assert!(cancel(0, 0).is_err_and(|m| m.error == 2));
    }
}
