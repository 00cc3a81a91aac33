// SPDX-License-Identifier: GPL-2.0

//! The tracepoints of the virtio balloon driver.
//!
//! Their names and fields are an interface: `Documentation/admin-guide/virtio-balloon-tracing.rst`
//! says what each means and where it fires. A field `dev` is the number of the device, as that of
//! `virtio0`. Pages are those of the guest, and so are page frame numbers.
//!
//! C header:
//! [`include/trace/events/virtio_balloon.h`](srctree/include/trace/events/virtio_balloon.h)

use kernel::{
    fmt,
    mm::ZoneName,
    prelude::*,
    tracepoint::{
        tracepoints,
        Argument, //
    }, //
};

/// An enum whose number is an argument, and has a name in the header.
macro_rules! numbered {
    ($(
        $(#[doc = $doc:literal])*
        $Name:ident {
            $($(#[doc = $variant_doc:literal])* $Variant:ident = $number:literal $name:literal,)*
        }
    )*) => {$(
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub(crate) enum $Name {
            $($(#[doc = $variant_doc])* $Variant = $number,)*
        }

        impl Argument for $Name {
            type Raw = c_uint;

            #[inline]
            fn raw(&self) -> c_uint {
                // CAST: The enum is `repr(u32)`.
                *self as c_uint
            }
        }

        impl fmt::Display for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$Variant => $name,)*
                })
            }
        }
    )*};
}

numbered! {
    /// What the host asks with.
    Kind {
        /// Free page hinting.
        Hint = 0 "hint",
        /// The free page bitmap.
        Bitmap = 1 "bitmap",
    }

    /// What free pages are while the host is told of them.
    Mode {
        /// Allocated.
        Hold = 0 "hold",
        /// Free, or in use again.
        Walk = 1 "walk",
        /// Out of the page allocator.
        Isolate = 2 "isolate",
    }

    /// How a request ended.
    Ending {
        /// There was no more to tell.
        Completed = 0 "completed",
        /// The host ended it.
        Interrupted = 1 "interrupted",
        /// The host sent another one.
        Overtaken = 2 "overtaken",
        /// The host took it back.
        Cancelled = 3 "cancelled",
        /// The device went, was suspended, or broke.
        Abandoned = 4 "abandoned",
    }

    /// What pages are put into the balloon for, or taken out of it.
    Purpose {
        /// The host's target.
        Target = 0 "target",
        /// The guest has no memory left.
        Oom = 1 "oom",
        /// The kernel moves a page.
        Move = 2 "move",
        /// It gave that up.
        Undo = 3 "undo",
    }

    /// How the host is told of pages.
    Format {
        /// By the number of each balloon page.
        Numbers = 0 "numbers",
        /// By ranges.
        Extents = 1 "extents",
    }

    /// What the driver waited for.
    Wait {
        /// The balloon to become empty: the device is about to be reset.
        Unbind = 0 "unbind",
        /// Pages to come out of the balloon, as no memory is left.
        Oom = 1 "oom",
        /// A page to get into the balloon in another one's place.
        Move = 2 "move",
    }
}

tracepoints! {
    /// The driver has read a command of the host.
    virtio_balloon_request_seen: RequestSeen {
        /// The device.
        dev: c_int,
        /// What it is for.
        kind: Kind,
        /// Its id. For hinting 0 is to stop, and 1 says that the host is done.
        id: u32,
        /// Why it is refused, a number of the specification, or 0.
        error: c_uint,
    }

    /// The driver begins to answer.
    virtio_balloon_request_begin: RequestBegin {
        /// The device.
        dev: c_int,
        /// What the request is for.
        kind: Kind,
        /// Its id.
        id: u32,
        /// How pages are looked for.
        mode: Mode,
        /// The smallest order of blocks.
        order: u32,
    }

    /// The answer has ended.
    virtio_balloon_request_end: RequestEnd {
        /// The device.
        dev: c_int,
        /// What the request was for.
        kind: Kind,
        /// Its id.
        id: u32,
        /// How it ended.
        outcome: Ending,
        /// How long it took, in nanoseconds.
        ns: u64,
        /// Buffers with pages, or reports.
        elements: usize,
        /// Free blocks in these.
        blocks: usize,
        /// Pages in these.
        pages: usize,
        /// Bytes of bitmaps.
        bytes: usize,
        /// Holds of a zone's lock.
        holds: usize,
        /// The longest of them, in nanoseconds.
        longest_hold_ns: u64,
    }

    /// A zone's lock was held to look for free blocks.
    virtio_balloon_walk_batch: WalkBatch {
        /// The device.
        dev: c_int,
        /// The request that it was for.
        id: u32,
        /// How blocks are looked for.
        mode: Mode,
        /// The zone's node.
        nid: c_int,
        /// The zone's name.
        zone: ZoneName,
        /// The smallest order that is looked for.
        order: u32,
        /// Entries of free lists, or places, that were looked at.
        entries: usize,
        /// Free blocks that were found.
        blocks: usize,
        /// Pages of these.
        pages: usize,
        /// How long the lock was held, in nanoseconds.
        hold_ns: u64,
    }

    /// A report with a bitmap is ready for the host.
    virtio_balloon_report: Report {
        /// The device.
        dev: c_int,
        /// The request's id.
        id: u32,
        /// Whether it is the last one, a number of the specification.
        status: c_uint,
        /// The order of a bit's block.
        order: u32,
        /// The first page frame that it covers.
        pfn: usize,
        /// Pages that it covers.
        pages: usize,
        /// Bits.
        bits: usize,
        /// Bits that are set: free blocks.
        blocks: usize,
        /// Bytes of the bitmap.
        bytes: usize,
    }

    /// A buffer with free pages was given to the host.
    virtio_balloon_hint: Hint {
        /// The device.
        dev: c_int,
        /// The request's id.
        id: u32,
        /// The first page frame.
        pfn: usize,
        /// Pages.
        pages: usize,
    }

    /// A buffer with pages for the balloon was given to the host.
    virtio_balloon_inflate: Inflate {
        /// The device.
        dev: c_int,
        /// What for.
        purpose: Purpose,
        /// How they are told.
        format: Format,
        /// Pages.
        pages: usize,
        /// Those of them that are in whole blocks.
        block_pages: usize,
        /// Bytes that the host has to read.
        bytes: usize,
    }

    /// A buffer with pages that are to come back was given to the host.
    virtio_balloon_deflate: Deflate {
        /// The device.
        dev: c_int,
        /// What for.
        purpose: Purpose,
        /// How they are told.
        format: Format,
        /// Pages.
        pages: usize,
        /// Those of them that are in whole blocks.
        block_pages: usize,
        /// Bytes that the host has to read.
        bytes: usize,
    }

    /// The host was told the size of the balloon. Both in balloon pages of 4 KiB.
    virtio_balloon_size: Size {
        /// The device.
        dev: c_int,
        /// What the host wants.
        num_pages: u32,
        /// What it was told.
        actual: u32,
    }

    /// A command to drop caches was seen to.
    virtio_balloon_cache_drop: CacheDrop {
        /// The device.
        dev: c_int,
        /// The request that it is part of.
        id: u32,
        /// The caches that the host wants dropped.
        asked: c_uint,
        /// Those that the guest's owner allows.
        allowed: c_uint,
        /// Those that were dropped.
        dropped: c_uint,
        /// What came of it, a number of the specification.
        result: c_uint,
        /// How much more free memory there is than before, in balloon pages of 4 KiB.
        balloon_pages: u64,
        /// How long it took, in nanoseconds.
        ns: u64,
    }

    /// The kernel has reported free blocks, and the host has answered.
    virtio_balloon_reporting: Reporting {
        /// The device.
        dev: c_int,
        /// Blocks.
        blocks: usize,
        /// Pages in these.
        pages: usize,
        /// 0, or the error as a negative number.
        error: c_int,
        /// How long the answer took, in nanoseconds.
        ns: u64,
    }

    /// The host did not answer in time.
    virtio_balloon_give_up: GiveUp {
        /// The device.
        dev: c_int,
        /// What was waited for.
        wait: Wait,
        /// Pages that it would have been for.
        pages: usize,
        /// How long the wait was, in nanoseconds.
        ns: u64,
    }
}
