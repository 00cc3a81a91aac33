// SPDX-License-Identifier: GPL-2.0

//! What the owner of the guest allows: the module's parameters.

use core::num::NonZero;
use kernel::{
    fmt,
    mm::{
        self,
        Caches,
        ReportingOrder,
        MAX_PAGE_ORDER, //
    },
    page::PAGE_SHIFT,
    prelude::*, //
};

use crate::{
    cache_drop::DropPolicy,
    module_parameters, //
};

/// How free pages are hinted at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// Not at all.
    Off,
    /// They are allocated, and kept until the host is done: nobody can use them meanwhile.
    Hold,
    /// The free lists are read; the pages may be in use again when the host hears of them.
    Walk,
    /// They are taken out of the page allocator until the host has heard of them.
    Isolate,
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Hold => "hold",
            Self::Walk => "walk",
            Self::Isolate => "isolate",
        })
    }
}

/// A parameter that has a value it cannot have.
#[derive(Debug, PartialEq, Eq)]
enum Invalid {
    Hint(i32),
    HintOrder(i32),
    WalkBatch(u32),
    ReportingOrder(i32),
    DropCaches(u32),
    DropWait(u32),
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hint(value) => write!(
                f,
                "free_page_hint={value} is unknown: use 0 (off), 1 (hold), 2 (walk), 3 (isolate), \
                 or -1"
            ),
            Self::HintOrder(value) => write!(
                f,
                "free_page_hint_order={value} is out of range: use 0 to {MAX_PAGE_ORDER}, or -1"
            ),
            Self::WalkBatch(value) => write!(
                f,
                "free_page_walk_batch={value} is out of range: use 1 to {MAX_WALK_BATCH}"
            ),
            Self::ReportingOrder(value) => write!(
                f,
                "page_reporting_order={value} is out of range: use 0 to {MAX_PAGE_ORDER}, or -1"
            ),
            Self::DropCaches(value) => write!(
                f,
                "drop_caches={value} is unknown: use 0 (none), 1 (page cache), 2 (slab) or 3 (both)"
            ),
            Self::DropWait(value) => write!(
                f,
                "drop_caches_wait_ms={value} is out of range: use 0 to {MAX_DROP_WAIT_MS}"
            ),
        }
    }
}

/// Most entries under one hold of a zone's lock that may be asked for.
///
/// At some ten nanoseconds an entry this is under a millisecond.
const MAX_WALK_BATCH: u32 = 65536;

/// Longest wait for caches to be dropped: a host that asks in a migration has not more time.
const MAX_DROP_WAIT_MS: u32 = 60_000;

/// The parameters, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    /// How free pages are hinted at.
    pub(crate) strategy: Strategy,
    /// The smallest order of blocks that are hinted at.
    pub(crate) hint_order: u32,
    /// Most free list entries under one hold of a zone's lock.
    pub(crate) walk_batch: NonZero<usize>,
    /// Whether the guest gives memory away at all.
    pub(crate) inflate: bool,
    /// Whether it may be told to the host in extents.
    pub(crate) extents: bool,
    /// Whether the host gets statistics.
    pub(crate) statistics: bool,
    /// Whether free blocks are reported.
    pub(crate) reporting: bool,
    /// The smallest order of blocks that are reported.
    pub(crate) reporting_order: ReportingOrder,
    /// Whether the host may ask for a bitmap of the free memory.
    pub(crate) bitmap: bool,
    /// Which caches it may drop.
    pub(crate) drop_caches: DropPolicy,
}

/// The parameters as they were given.
#[derive(Clone, Copy)]
struct Parameters {
    hint: i32,
    hint_order: i32,
    walk_batch: u32,
    inflate: bool,
    extents: bool,
    statistics: bool,
    reporting: bool,
    reporting_order: i32,
    bitmap: bool,
    drop_caches: u32,
    drop_caches_interval_s: u32,
    drop_caches_wait_ms: u32,
}

/// The smallest blocks unless the owner wants others: 2 MiB, a huge page of most hosts.
///
/// With pages of 4 KiB that was called `MAX_ORDER - 2` when `MAX_ORDER` was one more than the
/// highest order. With larger pages the highest order stands for up to 512 MiB, and a guest has few
/// such blocks.
// CAST: A small constant.
pub(crate) const DEFAULT_ORDER: u32 = default_order(PAGE_SHIFT as u32, MAX_PAGE_ORDER);

/// Returns the order of 2 MiB in pages of `1 << page_shift` bytes, or the highest there is.
const fn default_order(page_shift: u32, highest: u32) -> u32 {
    /// `1 << BLOCK_SHIFT` is 2 MiB.
    const BLOCK_SHIFT: u32 = 21;

    let order = BLOCK_SHIFT.saturating_sub(page_shift);
    if order < highest {
        order
    } else {
        highest
    }
}

/// Reads an order: [`None`] for -1, the value itself as the error if there is no such order.
fn order(value: i32) -> Result<Option<u32>, i32> {
    match u32::try_from(value) {
        Ok(order) if order <= MAX_PAGE_ORDER => Ok(Some(order)),
        Err(_) if value == -1 => Ok(None),
        _ => Err(value),
    }
}

impl Policy {
    /// Reads the module's parameters.
    ///
    /// Returns [`EINVAL`], and says in the log what to do, if one has an unknown value.
    pub(crate) fn from_parameters() -> Result<Self> {
        let given = Parameters {
            hint: module_parameters::free_page_hint.value(),
            hint_order: module_parameters::free_page_hint_order.value(),
            walk_batch: module_parameters::free_page_walk_batch.value(),
            inflate: module_parameters::inflate.value(),
            extents: module_parameters::extents.value(),
            statistics: module_parameters::statistics.value(),
            reporting: module_parameters::free_page_reporting.value(),
            reporting_order: module_parameters::page_reporting_order.value(),
            bitmap: module_parameters::free_page_bitmap.value(),
            drop_caches: module_parameters::drop_caches.value(),
            drop_caches_interval_s: module_parameters::drop_caches_interval_s.value(),
            drop_caches_wait_ms: module_parameters::drop_caches_wait_ms.value(),
        };
        #[cfg(CONFIG_VIRTIO_BALLOON_KUNIT_TEST)]
        let given = testing::instead_of(given);
        Self::new(&given).map_err(|invalid| {
            pr_err!("{}\n", invalid);
            EINVAL
        })
    }

    fn new(given: &Parameters) -> Result<Self, Invalid> {
        let strategy = match given.hint {
            // The safest one that costs the guest nothing, if there is one.
            -1 if mm::can_isolate() => Strategy::Isolate,
            -1 => Strategy::Hold,
            0 => Strategy::Off,
            1 => Strategy::Hold,
            2 => Strategy::Walk,
            3 => Strategy::Isolate,
            other => return Err(Invalid::Hint(other)),
        };
        let hint_order = order(given.hint_order)
            .map_err(Invalid::HintOrder)?
            .unwrap_or(DEFAULT_ORDER);
        let reporting_order = order(given.reporting_order)
            .map_err(Invalid::ReportingOrder)?
            .map_or(
                ReportingOrder::Default(DEFAULT_ORDER),
                ReportingOrder::Always,
            );
        let walk_batch = usize::try_from(given.walk_batch)
            .ok()
            .filter(|_| given.walk_batch <= MAX_WALK_BATCH)
            .and_then(NonZero::new)
            .ok_or(Invalid::WalkBatch(given.walk_batch))?;
        let allowed = u8::try_from(given.drop_caches)
            .ok()
            .and_then(Caches::from_bits)
            .ok_or(Invalid::DropCaches(given.drop_caches))?;
        if given.drop_caches_wait_ms > MAX_DROP_WAIT_MS {
            return Err(Invalid::DropWait(given.drop_caches_wait_ms));
        }
        Ok(Self {
            strategy,
            hint_order,
            walk_batch,
            inflate: given.inflate,
            extents: given.extents,
            statistics: given.statistics,
            reporting: given.reporting,
            reporting_order,
            bitmap: given.bitmap,
            drop_caches: DropPolicy {
                allowed,
                interval_s: given.drop_caches_interval_s,
                wait_ms: given.drop_caches_wait_ms,
            },
        })
    }
}

/// Parameters that a test has chosen for the devices that it creates.
#[cfg(CONFIG_VIRTIO_BALLOON_KUNIT_TEST)]
pub(crate) mod testing {
    use super::Parameters;
    use kernel::sync::atomic::{
        Atomic,
        AtomicFlag,
        Relaxed, //
    };

    static CHOSEN: AtomicFlag = AtomicFlag::new(false);
    static HINT: Atomic<i32> = Atomic::new(1);
    static BATCH: Atomic<u32> = Atomic::new(512);
    static INFLATE: AtomicFlag = AtomicFlag::new(true);
    static EXTENTS: AtomicFlag = AtomicFlag::new(false);
    static BITMAP: AtomicFlag = AtomicFlag::new(false);
    static DROP: Atomic<u32> = Atomic::new(0);
    static INTERVAL: Atomic<u32> = Atomic::new(0);

    /// What a test can choose.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Choice {
        pub(crate) hint: i32,
        pub(crate) walk_batch: u32,
        pub(crate) inflate: bool,
        pub(crate) extents: bool,
        pub(crate) bitmap: bool,
        pub(crate) drop_caches: u32,
        pub(crate) drop_caches_interval_s: u32,
    }

    impl Default for Choice {
        fn default() -> Self {
            Self {
                hint: 1,
                walk_batch: 512,
                inflate: true,
                extents: false,
                bitmap: false,
                drop_caches: 0,
                // Any number of times.
                drop_caches_interval_s: 0,
            }
        }
    }

    /// The parameters are those of the test until this is dropped.
    pub(crate) struct Chosen(());

    impl Choice {
        pub(crate) fn choose(self) -> Chosen {
            HINT.store(self.hint, Relaxed);
            BATCH.store(self.walk_batch, Relaxed);
            INFLATE.store(self.inflate, Relaxed);
            EXTENTS.store(self.extents, Relaxed);
            BITMAP.store(self.bitmap, Relaxed);
            DROP.store(self.drop_caches, Relaxed);
            INTERVAL.store(self.drop_caches_interval_s, Relaxed);
            CHOSEN.store(true, Relaxed);
            Chosen(())
        }
    }

    impl Drop for Chosen {
        fn drop(&mut self) {
            CHOSEN.store(false, Relaxed);
        }
    }

    /// Returns the parameters of the test, if there is one.
    pub(super) fn instead_of(given: Parameters) -> Parameters {
        if !CHOSEN.load(Relaxed) {
            return given;
        }
        Parameters {
            hint: HINT.load(Relaxed),
            hint_order: -1,
            walk_batch: BATCH.load(Relaxed),
            inflate: INFLATE.load(Relaxed),
            extents: EXTENTS.load(Relaxed),
            statistics: true,
            reporting: true,
            reporting_order: -1,
            bitmap: BITMAP.load(Relaxed),
            drop_caches: DROP.load(Relaxed),
            drop_caches_interval_s: INTERVAL.load(Relaxed),
            drop_caches_wait_ms: 5000,
        }
    }
}

#[cfg(CONFIG_VIRTIO_BALLOON_KUNIT_TEST)]
#[kunit_tests(rust_virtio_balloon_policy)]
mod tests {
    use super::*;

    const DEFAULTS: Parameters = Parameters {
        hint: 1,
        hint_order: -1,
        walk_batch: 512,
        inflate: true,
        extents: false,
        statistics: true,
        reporting: true,
        reporting_order: -1,
        bitmap: false,
        drop_caches: 0,
        drop_caches_interval_s: 60,
        drop_caches_wait_ms: 5000,
    };

    fn with(hint: i32, hint_order: i32, walk_batch: u32) -> Result<Policy, Invalid> {
        Policy::new(&Parameters {
            hint,
            hint_order,
            walk_batch,
            ..DEFAULTS
        })
    }

    fn reporting(reporting_order: i32) -> Result<ReportingOrder, Invalid> {
        Policy::new(&Parameters {
            reporting_order,
            ..DEFAULTS
        })
        .map(|policy| policy.reporting_order)
    }

    fn dropping(drop_caches: u32, drop_caches_wait_ms: u32) -> Result<DropPolicy, Invalid> {
        Policy::new(&Parameters {
            drop_caches,
            drop_caches_wait_ms,
            ..DEFAULTS
        })
        .map(|policy| policy.drop_caches)
    }

    #[test]
    fn accepts_all_that_is_documented() {
        assert!(with(0, 0, 1).is_ok());
        assert!(with(1, -1, 512).is_ok_and(|p| p.strategy == Strategy::Hold));
        assert!(with(2, -1, MAX_WALK_BATCH).is_ok_and(|p| p.strategy == Strategy::Walk));
        assert!(with(3, -1, 1).is_ok_and(|p| p.strategy == Strategy::Isolate));
        let default = if mm::can_isolate() {
            Strategy::Isolate
        } else {
            Strategy::Hold
        };
        assert!(with(-1, -1, 1).is_ok_and(|p| p.strategy == default));
        assert!(with(1, -1, 1).is_ok_and(|p| p.hint_order == DEFAULT_ORDER));
        // CAST: A small constant.
        let highest = MAX_PAGE_ORDER as i32;
        assert!(with(1, highest, 1).is_ok_and(|p| p.hint_order == MAX_PAGE_ORDER));
        assert_eq!(reporting(-1), Ok(ReportingOrder::Default(DEFAULT_ORDER)));
        assert_eq!(reporting(0), Ok(ReportingOrder::Always(0)));
        assert_eq!(
            reporting(highest),
            Ok(ReportingOrder::Always(MAX_PAGE_ORDER))
        );
        assert!(dropping(0, 0).is_ok_and(|d| d.allowed.is_empty()));
        assert!(dropping(3, MAX_DROP_WAIT_MS).is_ok_and(|d| d.allowed == Caches::ALL));
    }

    #[test]
    fn default_blocks_have_2_mib() {
        // Pages of 4, 16 and 64 KiB, with the highest orders that kernels have by default.
        assert_eq!(default_order(12, 10), 9);
        assert_eq!(default_order(14, 11), 7);
        assert_eq!(default_order(16, 13), 5);
        // Where there are no such blocks, or a page is larger.
        assert_eq!(default_order(12, 9), 9);
        assert_eq!(default_order(12, 8), 8);
        assert_eq!(default_order(12, 0), 0);
        assert_eq!(default_order(22, 10), 0);
    }

    #[test]
    fn refuses_the_rest() {
        for hint in [-2, 4, i32::MIN, i32::MAX] {
            assert_eq!(with(hint, 0, 1), Err(Invalid::Hint(hint)));
        }
        assert_eq!(with(1, -2, 1), Err(Invalid::HintOrder(-2)));
        assert_eq!(with(1, 64, 1), Err(Invalid::HintOrder(64)));
        assert_eq!(with(1, 0, 0), Err(Invalid::WalkBatch(0)));
        assert_eq!(
            with(1, 0, MAX_WALK_BATCH + 1),
            Err(Invalid::WalkBatch(MAX_WALK_BATCH + 1))
        );
        for order in [-2, 11, 64, i32::MIN, i32::MAX] {
            assert_eq!(reporting(order), Err(Invalid::ReportingOrder(order)));
        }
        assert_eq!(dropping(4, 0), Err(Invalid::DropCaches(4)));
        assert_eq!(dropping(256, 0), Err(Invalid::DropCaches(256)));
        assert_eq!(dropping(0, 60_001), Err(Invalid::DropWait(60_001)));
    }
}
