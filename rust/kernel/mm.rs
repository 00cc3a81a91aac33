// SPDX-License-Identifier: GPL-2.0

//! Memory management: free pages, and pages that a driver holds.
//!
//! There are three ways to free memory here, with different contracts:
//!
//! - [`FreeWalk`] looks at the free lists and takes nothing: what it reports was free at the
//!   instant of the look and may be in use again by now. That is a *hint*.
//! - [`PageRun::alloc`] takes pages out of the allocator: they stay free of other use until the
//!   [`PageRun`] is dropped. Such pages are *held*. So are the pages of a [`PageBalloon`].
//! - [`PageReporting`] is told of free blocks by the kernel, which keeps them out of the allocator
//!   until the report returns. Such pages are *isolated*. So are those of an [`IsolatedRun`], which
//!   a driver takes out when it wants to, if the kernel lets it ([`can_isolate`]).
//!
//! C headers: [`include/linux/mmzone.h`](srctree/include/linux/mmzone.h),
//! [`include/linux/gfp.h`](srctree/include/linux/gfp.h)

mod balloon;
mod balloon_blocks;
mod drop_caches;
mod free_list;
#[cfg(CONFIG_RUST_KERNEL_NEXT_KUNIT_TEST)]
mod free_list_test;
mod free_walk;
mod isolated_run;
mod isolation;
#[cfg(CONFIG_RUST_KERNEL_NEXT_KUNIT_TEST)]
mod isolation_test;
mod oom;
mod page_reporting;
mod page_run;
mod page_run_stack;
mod pfn_range;
mod range_stack;
mod run_set;
mod shrinker;
mod vmstat;
mod zone;

pub use self::balloon::{
    BalloonOwner,
    BalloonPage,
    BalloonPages,
    PageBalloon, //
};
pub use self::drop_caches::{
    drop_caches,
    Caches, //
};
pub use self::free_list::{
    Batch,
    Cursor,
    FreeLists,
    Full,
    Neighbour,
    Sink,
    Taken,
    Windowed, //
};
pub use self::free_walk::{
    FreeWalk,
    LockHold,
    WalkStats, //
};
pub use self::isolated_run::{
    IsolatedRun,
    IsolatedRuns, //
};
pub use self::isolation::{
    can_isolate,
    Isolated,
    Isolation,
    IsolationLimits, //
};
pub use self::oom::{
    OomHandler,
    OomNotifier, //
};
pub use self::page_reporting::{
    PageReporter,
    PageReporting,
    ReportedPages,
    ReportingOrder, //
};
pub use self::page_run::PageRun;
pub use self::page_run_stack::PageRunStack;
pub use self::pfn_range::PfnRange;
pub use self::run_set::{
    Run,
    RunSet, //
};
pub use self::shrinker::{
    Shrinker,
    ShrinkerRegistration, //
};
pub use self::vmstat::{
    MemInfo,
    Reclaimed,
    VmEvents, //
};
pub use self::zone::{
    Node,
    Nodes,
    Zone,
    ZoneName,
    Zones, //
};

use crate::bindings;

/// The highest order of a block of free pages.
///
/// A kernel constant, 10 on x86-64 (4 MiB). Before Linux 6.4 `MAX_ORDER` was one more than this.
pub const MAX_PAGE_ORDER: u32 = bindings::NEXT_MAX_PAGE_ORDER;

/// Returns whether free pages have a content that the kernel relies on.
///
/// That is so when pages are zeroed (`init_on_free=1`) or poisoned (`page_poison=1`) as they are
/// freed: the allocator then hands them out without looking again. If the host drops such a page
/// that nobody holds, its next owner finds the wrong content.
pub fn free_pages_have_content() -> bool {
    // SAFETY: Both functions only read static keys, and may be called from any context.
    unsafe { bindings::next_want_init_on_free() || bindings::next_page_poisoning_enabled() }
}

/// Returns the 32-bit pattern that free pages are filled with: 0 if they are zeroed as they are
/// freed, otherwise that of `page_poison=1`.
///
/// It is only there if [`free_pages_have_content`].
pub fn free_page_pattern() -> u32 {
    // SAFETY: The function only reads a static key, and may be called from any context.
    if unsafe { bindings::next_want_init_on_free() } {
        0
    } else {
        u32::from_ne_bytes([bindings::NEXT_PAGE_POISON; 4])
    }
}

/// Lets other tasks run if it is their turn.
///
/// For loops of unbounded length in process context; must not be called with a spinlock held.
pub fn cond_resched() {
    // SAFETY: Always safe to call; the kernel warns if the context must not sleep.
    unsafe { bindings::next_cond_resched() }
}
