// SPDX-License-Identifier: GPL-2.0

//! A stack of page runs that needs no memory of its own.

use crate::bindings;

use super::{
    range_stack::RangeStack,
    PageRun, //
};

/// Any number of [`PageRun`]s, linked through the `struct page` of the first page of each.
///
/// The owner of a page may use its `lru` and `private` fields; the allocator sets both anew.
///
/// # Invariants
///
/// The ranges are those of runs that belong to the stack, and `private` of the first page of each
/// is the order of its blocks.
pub struct PageRunStack(RangeStack);

/// Returns the `private` field of the page of a page frame.
///
/// # Safety
///
/// The page must be valid.
unsafe fn private(pfn: usize) -> *mut kernel::ffi::c_ulong {
    // SAFETY: By the safety requirement; this makes no reference.
    unsafe {
        &raw mut (*bindings::next_pfn_to_page(pfn))
            .__bindgen_anon_1
            .__bindgen_anon_1
            .private
    }
}

impl PageRunStack {
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
    pub fn push(&mut self, run: PageRun) {
        let (range, order) = run.into_parts();
        // A page frame that was allocated always has a page; without one the run is lost.
        //
        // SAFETY: The page was allocated and belongs to the stack now, so nobody else uses it.
        if unsafe { self.0.push(range) } {
            // INVARIANT: This is the order of the blocks.
            //
            // SAFETY: As above.
            //
            // CAST: An order always fits.
            unsafe { *private(range.start()) = order as kernel::ffi::c_ulong };
        }
    }

    /// Pops the run that was pushed last.
    pub fn pop(&mut self) -> Option<PageRun> {
        let range = self.0.pop()?;
        // SAFETY: By the type invariants the page is valid and its field is set.
        let order = unsafe { *private(range.start()) };
        // SAFETY: These parts were taken in `push()`; the page has just left the stack, so they
        // are used once.
        //
        // CAST: It was made from a `u32`.
        Some(unsafe { PageRun::from_parts(range, order as u32) })
    }

    /// Takes all the runs.
    pub fn take(&mut self) -> PageRunStack {
        core::mem::take(self)
    }
}

impl Default for PageRunStack {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for PageRunStack {
    fn drop(&mut self) {
        while let Some(run) = self.pop() {
            drop(run);
        }
    }
}
