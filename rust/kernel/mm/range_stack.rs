// SPDX-License-Identifier: GPL-2.0

//! A stack of ranges of page frames that needs no memory of its own.

use crate::bindings;
use core::ptr::{
    self,
    NonNull, //
};

use super::PfnRange;

/// Any number of ranges, linked through the `struct page` of the first page of each.
///
/// It does not own the pages: whoever has the stack does.
///
/// # Invariants
///
/// `top` is either [`None`] or the first page of a range that is on the stack. Of such a page
///
/// - `lru.next` is null or the first page of the range below,
/// - `lru.prev` is the number of pages of the range.
pub(super) struct RangeStack {
    top: Option<NonNull<bindings::page>>,
    pages: usize,
}

// SAFETY: By the contract of `RangeStack::push` nobody else uses the fields that it uses, from
// whichever thread.
unsafe impl Send for RangeStack {}

/// Returns the `lru` field of a page.
///
/// # Safety
///
/// `page` must be valid.
unsafe fn lru(page: NonNull<bindings::page>) -> *mut bindings::list_head {
    // SAFETY: By the safety requirement; this makes no reference.
    unsafe {
        let fields = &raw mut (*page.as_ptr()).__bindgen_anon_1.__bindgen_anon_1;
        &raw mut (*fields).__bindgen_anon_1.lru
    }
}

impl RangeStack {
    /// Creates an empty stack.
    pub(super) const fn new() -> Self {
        // INVARIANT: There is no range.
        Self {
            top: None,
            pages: 0,
        }
    }

    /// Returns the number of pages of all ranges.
    pub(super) fn pages(&self) -> usize {
        self.pages
    }

    /// Pushes a range. Returns `false`, and does not, if its first frame has no page.
    ///
    /// # Safety
    ///
    /// The first page must be valid, and nobody else may use its `lru` field as long as the range
    /// is on the stack.
    pub(super) unsafe fn push(&mut self, range: PfnRange) -> bool {
        // SAFETY: By the safety requirement.
        let page = unsafe { bindings::next_pfn_to_page(range.start()) };
        let Some(page) = NonNull::new(page) else {
            return false;
        };
        // SAFETY: By the safety requirement `page` is valid.
        let lru = unsafe { lru(page) };
        let below = self.top.map_or(ptr::null_mut(), NonNull::as_ptr);
        // SAFETY: By the safety requirement nobody else uses the field.
        unsafe {
            (*lru).next = below.cast();
            (*lru).prev = ptr::without_provenance_mut(range.pages());
        }
        // INVARIANT: The field was just set so, and `below` was the top.
        self.top = Some(page);
        self.pages = self.pages.saturating_add(range.pages());
        true
    }

    /// Pops the range that was pushed last.
    pub(super) fn pop(&mut self) -> Option<PfnRange> {
        let page = self.top?;
        // SAFETY: By the type invariants `page` is valid.
        let lru = unsafe { lru(page) };
        // SAFETY: By the type invariants the page is on the stack and its field is set.
        let (below, pages) = unsafe { ((*lru).next, (*lru).prev.addr()) };
        // INVARIANT: What lies below is the new top.
        self.top = NonNull::new(below.cast());
        self.pages = self.pages.saturating_sub(pages);
        // SAFETY: `page` is valid.
        let pfn = unsafe { bindings::next_page_to_pfn(page.as_ptr()) };
        PfnRange::new(pfn, pages)
    }
}
