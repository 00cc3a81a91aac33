// SPDX-License-Identifier: GPL-2.0

//! Tests of [`Isolation`], on the memory of the machine that runs them: other tasks go on
//! meanwhile.

use core::num::NonZero;

use crate::{
    mm::{
        can_isolate,
        Isolated,
        IsolatedRun,
        IsolatedRuns,
        Isolation,
        IsolationLimits,
        Nodes,
        Run,
        RunSet,
        MAX_PAGE_ORDER, //
    },
    prelude::*, //
};

const LIMITS: IsolationLimits = IsolationLimits {
    pages: 64 << MAX_PAGE_ORDER,
    blocks: 4096,
    share_shift: 2,
};

/// What others may have done meanwhile, and what the counters are off by.
const SLACK: usize = 4 << MAX_PAGE_ORDER;

fn free_pages() -> usize {
    Nodes::new().map(|node| node.free_pages()).sum()
}

fn end_pfn() -> usize {
    Nodes::end_pfn()
}

fn over_all(order: u32, batch: usize) -> Result<Isolation> {
    let batch = NonZero::new(batch).ok_or(EINVAL)?;
    Ok(Isolation::new(0, end_pfn(), order, batch))
}

/// Takes one run after the other until `f` says that it is enough.
fn each_run(
    isolation: &mut Isolation,
    limits: &IsolationLimits,
    mut f: impl FnMut(IsolatedRun) -> Result<bool>,
) -> Result {
    loop {
        match isolation.step(limits, 0) {
            Isolated::Run(run) => {
                if !f(run)? {
                    return Ok(());
                }
            }
            Isolated::Nothing => {}
            // With nothing isolated, this zone has too little.
            Isolated::Short => isolation.skip_zone(),
            Isolated::Done => return Ok(()),
        }
    }
}

#[kunit_tests(rust_kernel_isolation)]
mod tests {
    use super::*;

    /// A kernel without the patches has nothing to give, and says so.
    #[test]
    fn without_the_kernels_help() -> Result {
        if can_isolate() {
            return Ok(());
        }
        let mut isolation = over_all(9, 512)?;
        each_run(&mut isolation, &LIMITS, |_| Err(EIO))
    }

    /// All blocks get their turn, once, in order of addresses.
    #[test]
    fn finds_all_blocks_once() -> Result {
        if !can_isolate() {
            return Ok(());
        }
        for (order, batch) in [
            (MAX_PAGE_ORDER, 512),
            (MAX_PAGE_ORDER - 1, 1),
            (MAX_PAGE_ORDER - 1, 512),
            (3, 64),
        ] {
            let free = free_pages();
            let (mut pages, mut last) = (0, 0);
            let mut isolation = over_all(order, batch)?;
            each_run(&mut isolation, &LIMITS, |run| {
                let range = run.range();
                assert!(range.start() >= last);
                assert_eq!(range.start() & ((1 << order) - 1), 0);
                assert_eq!(range.pages() & ((1 << order) - 1), 0);
                last = range.end();
                pages += range.pages();
                Ok(true)
            })?;
            assert!(isolation.stats().most_entries <= batch);
            assert!(isolation.position() == end_pfn());
            assert!(pages > free / 4 * 3);
            assert!(pages < free + SLACK);
            assert!(free_pages() + SLACK > free);
        }
        Ok(())
    }

    /// A run is out of the free lists until it is dropped, in one piece or in a stack.
    #[test]
    fn isolated_blocks_are_not_free() -> Result {
        if !can_isolate() {
            return Ok(());
        }
        let free = free_pages();
        let mut set = RunSet::<IsolatedRun>::new(512)?;
        let mut isolation = over_all(MAX_PAGE_ORDER - 1, 512)?;
        let most = free / 8;
        each_run(&mut isolation, &LIMITS, |run| {
            assert!(set.add(run).is_ok());
            Ok(set.pages() < most)
        })?;
        let pages = set.pages();
        assert!(pages >= most);
        assert!(free_pages() < free - pages + SLACK);

        // A second look finds others.
        let mut again = over_all(MAX_PAGE_ORDER - 1, 512)?;
        let mut stack = IsolatedRuns::new();
        let mut doubled = 0;
        let mut others = 0;
        each_run(&mut again, &LIMITS, |run| {
            others += run.range().pages();
            stack.push(run);
            Ok(others < most)
        })?;
        assert_eq!(stack.pages(), others);
        assert!(free_pages() < free - pages - others + SLACK);
        while let Some(run) = set.take_longest() {
            let range = run.range();
            let mut kept = IsolatedRuns::new();
            while let Some(other) = stack.pop() {
                doubled += usize::from(other.range().overlaps(&range));
                kept.push(other);
            }
            stack = kept;
        }
        assert_eq!(doubled, 0);
        assert_eq!(stack.pages(), others);
        drop(stack);
        assert!(free_pages() + SLACK > free);
        Ok(())
    }

    #[test]
    fn keeps_to_the_limits() -> Result {
        if !can_isolate() {
            return Ok(());
        }
        let block = 1 << MAX_PAGE_ORDER;
        for (pages, blocks, share_shift) in [(block, 4096, 0), (1 << 20, 8, 0), (1 << 20, 4096, 5)]
        {
            let limits = IsolationLimits {
                pages,
                blocks,
                share_shift,
            };
            let free = free_pages();
            let most = pages
                .min(blocks << (MAX_PAGE_ORDER - 1))
                .min(free >> share_shift);
            let mut isolation = over_all(MAX_PAGE_ORDER - 1, 512)?;
            let mut runs = IsolatedRuns::new();
            let mut short = false;
            loop {
                match isolation.step(&limits, runs.pages()) {
                    Isolated::Run(run) => runs.push(run),
                    Isolated::Nothing => {}
                    Isolated::Short if runs.pages() == 0 => isolation.skip_zone(),
                    Isolated::Short => {
                        short = true;
                        break;
                    }
                    Isolated::Done => break,
                }
            }
            assert!(short);
            assert!(runs.pages() > 0);
            assert!(runs.pages() <= most);
        }
        Ok(())
    }

    /// The ends of a range do not cut a block.
    #[test]
    fn keeps_to_the_range() -> Result {
        if !can_isolate() {
            return Ok(());
        }
        let batch = NonZero::new(512).ok_or(EINVAL)?;
        let mut block = None;
        each_run(&mut over_all(MAX_PAGE_ORDER, 512)?, &LIMITS, |run| {
            block = Some(run.range());
            Ok(false)
        })?;
        let block = block.ok_or(ENOMEM)?;
        let size = 1 << MAX_PAGE_ORDER;
        for (start, end) in [
            (block.start() + 1, block.start() + size),
            (block.start(), block.start() + size - 1),
            (block.start() + size / 2, block.start() + size),
        ] {
            let mut isolation = Isolation::new(start, end, MAX_PAGE_ORDER - 1, batch);
            let mut taken = 0;
            each_run(&mut isolation, &LIMITS, |run| {
                taken += run.range().pages();
                Ok(true)
            })?;
            assert_eq!(taken, 0);
            assert_eq!(isolation.position(), end);
        }
        Ok(())
    }
}
