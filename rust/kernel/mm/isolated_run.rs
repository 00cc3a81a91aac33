// SPDX-License-Identifier: GPL-2.0

//! Runs of free blocks that are isolated from the page allocator.

use crate::{
    bindings,
    prelude::*, //
};
use core::mem::ManuallyDrop;

use super::{
    range_stack::RangeStack,
    PfnRange,
    Run, //
};

/// Neighbouring free blocks that are out of the page allocator, and that go back when this is
/// dropped.
///
/// They were not allocated: nobody has prepared or zeroed them, and nobody may read or write their
/// content. Dropping it takes the zone's lock, so that must not be held.
///
/// # Invariants
///
/// `range` is made of blocks that `balloon_isolate_free_run()` has taken, that nobody has put back,
/// and that belong to this value alone.
pub struct IsolatedRun {
    range: PfnRange,
}

impl IsolatedRun {
    /// Takes over blocks.
    ///
    /// # Safety
    ///
    /// `range` must be made of blocks that `balloon_isolate_free_run()` has taken, and that belong
    /// to nobody else.
    pub(super) unsafe fn new(range: PfnRange) -> Self {
        // INVARIANT: By the safety requirement.
        Self { range }
    }

    /// Gives up the ownership of the blocks.
    fn into_range(self) -> PfnRange {
        ManuallyDrop::new(self).range
    }
}

impl Run for IsolatedRun {
    fn range(&self) -> PfnRange {
        self.range
    }

    fn join(&mut self, other: Self) -> Result<(), Self> {
        let Some(range) = self.range.adjoin(&other.range) else {
            return Err(other);
        };
        let _ = other.into_range();
        // INVARIANT: Both were made of whole blocks; `other` has just given up its own.
        self.range = range;
        Ok(())
    }
}

impl Drop for IsolatedRun {
    fn drop(&mut self) {
        // SAFETY: By the type invariants these are whole blocks that were taken, and they are put
        // back once, as nobody else has them.
        unsafe { bindings::next_putback_free_run(self.range.start(), self.range.pages()) };
    }
}

/// Any number of [`IsolatedRun`]s, linked through the `struct page` of the first page of each.
///
/// The owner of an isolated block may use the `lru` field of its first page; `private` has the
/// block's order, which the kernel needs to put it back.
///
/// # Invariants
///
/// The ranges are those of runs that belong to the stack.
pub struct IsolatedRuns(RangeStack);

impl IsolatedRuns {
    /// Creates an empty stack.
    pub const fn new() -> Self {
        // INVARIANT: There is no run.
        Self(RangeStack::new())
    }

    /// Returns the number of pages of all runs.
    pub fn pages(&self) -> usize {
        self.0.pages()
    }

    /// Pushes a run.
    pub fn push(&mut self, run: IsolatedRun) {
        // SAFETY: The page is that of a free block, which belongs to the stack now and is on no
        // list of the kernel, so nobody else uses the field.
        if unsafe { self.0.push(run.range) } {
            // INVARIANT: It has given up its blocks.
            let _ = run.into_range();
        }
        // There always is a page: else the run is put back here, which is as good as it gets.
    }

    /// Pops the run that was pushed last.
    pub fn pop(&mut self) -> Option<IsolatedRun> {
        let range = self.0.pop()?;
        // SAFETY: It is the range of a run that was pushed and has just left the stack.
        Some(unsafe { IsolatedRun::new(range) })
    }
}

impl Default for IsolatedRuns {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for IsolatedRuns {
    fn drop(&mut self) {
        while let Some(run) = self.pop() {
            drop(run);
        }
    }
}
