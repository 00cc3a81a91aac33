// SPDX-License-Identifier: GPL-2.0

//! What the owner of the guest allows: the module's parameters.

use core::num::NonZero;
use kernel::{
    fmt,
    mm::{
        ReportingOrder,
        MAX_PAGE_ORDER, //
    },
    prelude::*, //
};

use crate::module_parameters;

/// How free pages are hinted at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// Not at all.
    Off,
    /// They are allocated, and kept until the host is done: nobody can use them meanwhile.
    Hold,
    /// The free lists are read; the pages may be in use again when the host hears of them.
    Walk,
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Hold => "hold",
            Self::Walk => "walk",
        })
    }
}

/// A parameter that has a value it cannot have.
#[derive(Debug, PartialEq, Eq)]
enum Invalid {
    Hint(u32),
    HintOrder(i32),
    WalkBatch(u32),
    ReportingOrder(i32),
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hint(value) => write!(
                f,
                "free_page_hint={value} is unknown: use 0 (off), 1 (hold) or 2 (walk)"
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
        }
    }
}

/// Most entries under one hold of a zone's lock that may be asked for.
///
/// At some ten nanoseconds an entry this is under a millisecond.
const MAX_WALK_BATCH: u32 = 65536;

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
    /// The smallest order of blocks that are reported.
    pub(crate) reporting_order: ReportingOrder,
}

/// What was called `MAX_ORDER - 2` when `MAX_ORDER` was one more than the highest order: order 9 on
/// x86-64, the size of a huge page.
const DEFAULT_ORDER: u32 = MAX_PAGE_ORDER.saturating_sub(1);

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
        Self::new(
            module_parameters::free_page_hint.value(),
            module_parameters::free_page_hint_order.value(),
            module_parameters::free_page_walk_batch.value(),
            module_parameters::inflate.value(),
            module_parameters::page_reporting_order.value(),
        )
        .map_err(|invalid| {
            pr_err!("{}\n", invalid);
            EINVAL
        })
    }

    fn new(
        hint: u32,
        hint_order: i32,
        walk_batch: u32,
        inflate: bool,
        reporting_order: i32,
    ) -> Result<Self, Invalid> {
        let strategy = match hint {
            0 => Strategy::Off,
            1 => Strategy::Hold,
            2 => Strategy::Walk,
            other => return Err(Invalid::Hint(other)),
        };
        let hint_order = order(hint_order)
            .map_err(Invalid::HintOrder)?
            .unwrap_or(DEFAULT_ORDER);
        let reporting_order = order(reporting_order)
            .map_err(Invalid::ReportingOrder)?
            .map_or(
                ReportingOrder::Default(DEFAULT_ORDER),
                ReportingOrder::Always,
            );
        let walk_batch = usize::try_from(walk_batch)
            .ok()
            .filter(|_| walk_batch <= MAX_WALK_BATCH)
            .and_then(NonZero::new)
            .ok_or(Invalid::WalkBatch(walk_batch))?;
        Ok(Self {
            strategy,
            hint_order,
            walk_batch,
            inflate,
            reporting_order,
        })
    }
}

#[cfg(CONFIG_VIRTIO_BALLOON_KUNIT_TEST)]
#[kunit_tests(rust_virtio_balloon_policy)]
mod tests {
    use super::*;

    fn with(hint: u32, hint_order: i32, walk_batch: u32) -> Result<Policy, Invalid> {
        Policy::new(hint, hint_order, walk_batch, true, -1)
    }

    #[test]
    fn accepts_all_that_is_documented() {
        assert!(with(0, 0, 1).is_ok());
        assert!(with(1, -1, 512).is_ok_and(|p| p.strategy == Strategy::Hold));
        assert!(with(2, -1, MAX_WALK_BATCH).is_ok_and(|p| p.strategy == Strategy::Walk));
        assert!(with(1, -1, 1).is_ok_and(|p| p.hint_order == MAX_PAGE_ORDER - 1));
        // CAST: A small constant.
        let highest = MAX_PAGE_ORDER as i32;
        assert!(with(1, highest, 1).is_ok_and(|p| p.hint_order == MAX_PAGE_ORDER));
        let reporting = |order| Policy::new(1, -1, 1, false, order).map(|p| p.reporting_order);
        assert_eq!(
            reporting(-1),
            Ok(ReportingOrder::Default(MAX_PAGE_ORDER - 1))
        );
        assert_eq!(reporting(0), Ok(ReportingOrder::Always(0)));
        assert_eq!(
            reporting(highest),
            Ok(ReportingOrder::Always(MAX_PAGE_ORDER))
        );
    }

    #[test]
    fn refuses_the_rest() {
        assert_eq!(with(3, 0, 1), Err(Invalid::Hint(3)));
        assert_eq!(with(u32::MAX, 0, 1), Err(Invalid::Hint(u32::MAX)));
        assert_eq!(with(1, -2, 1), Err(Invalid::HintOrder(-2)));
        assert_eq!(with(1, 64, 1), Err(Invalid::HintOrder(64)));
        assert_eq!(with(1, 0, 0), Err(Invalid::WalkBatch(0)));
        assert_eq!(
            with(1, 0, MAX_WALK_BATCH + 1),
            Err(Invalid::WalkBatch(MAX_WALK_BATCH + 1))
        );
        for order in [-2, 11, 64, i32::MIN, i32::MAX] {
            assert_eq!(
                Policy::new(1, 0, 1, true, order),
                Err(Invalid::ReportingOrder(order))
            );
        }
    }
}
