// SPDX-License-Identifier: GPL-2.0

//! A stack of page runs that needs no memory of its own.

use crate::bindings;
use core::ptr::{
    self,
    NonNull, //
};

use super::{
    PageRun,
    PfnRange, //
};

/// Any number of [`PageRun`]s, linked through the `struct page` of the first page of each.
///
/// The owner of a page may use its `lru` and `private` fields; the allocator sets both anew.
///
/// # Invariants
///
/// `top` is either [`None`] or the first page of a run that belongs to the stack. Of such a page
///
/// - `lru.next` is null or the first page of the run below,
/// - `lru.prev` is the number of pages of the run,
/// - `private` is the order of its blocks.
pub struct PageRunStack {
    top: Option<NonNull<bindings::page>>,
    pages: usize,
}

// SAFETY: The stack owns the pages, which may be freed from any thread.
unsafe impl Send for PageRunStack {}

/// Returns the fields of a page that the stack uses.
///
/// # Safety
///
/// `page` must be valid.
unsafe fn fields(
    page: NonNull<bindings::page>,
) -> (*mut bindings::list_head, *mut kernel::ffi::c_ulong) {
    // SAFETY: By the safety requirement; this makes no reference.
    unsafe {
        let fields = &raw mut (*page.as_ptr()).__bindgen_anon_1.__bindgen_anon_1;
        (
            &raw mut (*fields).__bindgen_anon_1.lru,
            &raw mut (*fields).private,
        )
    }
}

impl PageRunStack {
    /// Creates an empty stack.
    pub const fn new() -> Self {
        // INVARIANT: There is no run.
        Self {
            top: None,
            pages: 0,
        }
    }

    /// Returns the number of pages of all runs.
    pub fn pages(&self) -> usize {
        self.pages
    }

    /// Pushes a run.
    pub fn push(&mut self, run: PageRun) {
        let (range, order) = run.into_parts();
        // SAFETY: The page frame is one of an allocated page.
        let page = unsafe { bindings::next_pfn_to_page(range.start()) };
        // A page frame that was allocated always has a page; without one the run is lost.
        let Some(page) = NonNull::new(page) else {
            return;
        };
        // SAFETY: `page` is valid.
        let (lru, private) = unsafe { fields(page) };
        let below = self.top.map_or(ptr::null_mut(), NonNull::as_ptr);
        // SAFETY: The page was allocated and belongs to the stack now, so nobody else uses these
        // fields.
        unsafe {
            (*lru).next = below.cast();
            (*lru).prev = ptr::without_provenance_mut(range.pages());
            // CAST: An order always fits.
            *private = order as kernel::ffi::c_ulong;
        }
        // INVARIANT: The fields were just set so, and `below` was the top.
        self.top = Some(page);
        self.pages = self.pages.saturating_add(range.pages());
    }

    /// Pops the run that was pushed last.
    pub fn pop(&mut self) -> Option<PageRun> {
        let page = self.top?;
        // SAFETY: By the type invariants `page` is valid.
        let (lru, private) = unsafe { fields(page) };
        // SAFETY: By the type invariants the page belongs to the stack and its fields are set.
        let (below, pages, order) = unsafe { ((*lru).next, (*lru).prev.addr(), *private) };
        // INVARIANT: What lies below is the new top.
        self.top = NonNull::new(below.cast());
        self.pages = self.pages.saturating_sub(pages);
        // SAFETY: `page` is valid.
        let pfn = unsafe { bindings::next_page_to_pfn(page.as_ptr()) };
        let range = PfnRange::new(pfn, pages)?;
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
