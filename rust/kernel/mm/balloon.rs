// SPDX-License-Identifier: GPL-2.0

//! Pages in a memory balloon.
//!
//! The kernel keeps the list of a balloon's pages, accounts for them, and moves them when it
//! compacts memory.
//!
//! C header: [`include/linux/balloon.h`](srctree/include/linux/balloon.h)

use crate::{
    bindings,
    container_of,
    error::from_result,
    kvec::filled,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        LockClassKey,
        SpinLock, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
    types::Opaque, //
};
use core::{
    mem::ManuallyDrop,
    ops::Deref,
    ptr::NonNull, //
};

use super::{
    PageRunStack,
    Run, //
};

/// A page that belongs to a balloon, or is about to: a reference to it, which is given up when
/// this is dropped. With the last one the page goes back to the page allocator.
///
/// Nobody reads or writes the page. Its content is undefined.
///
/// # Invariants
///
/// The pointer is to a valid page of order 0, of which this has a reference.
#[repr(transparent)]
pub struct BalloonPage(NonNull<bindings::page>);

// SAFETY: References to a page may be given up from any thread.
unsafe impl Send for BalloonPage {}

impl BalloonPage {
    /// Allocates a page: one that can be moved, where the kernel can move balloon pages.
    ///
    /// Returns [`None`] when memory is short: it reclaims a little, but neither waits for the OOM
    /// killer, nor touches the reserves, nor complains. Must be called from a context that may
    /// sleep, and without a lock that reclaim takes.
    pub fn alloc() -> Option<Self> {
        // SAFETY: May be called from any context that may sleep.
        let page = unsafe { bindings::balloon_page_alloc() };
        // INVARIANT: The page was just allocated, with one reference.
        NonNull::new(page).map(Self)
    }

    /// Makes one of a reference to a page.
    ///
    /// # Safety
    ///
    /// `page` must be a valid page of order 0, with a reference that nobody else gives up.
    pub(super) unsafe fn from_raw(page: NonNull<bindings::page>) -> Self {
        // INVARIANT: By the safety requirement.
        Self(page)
    }

    /// Takes another reference to a page.
    ///
    /// # Safety
    ///
    /// `page` must point to a valid page of order 0 with at least one reference.
    unsafe fn get(page: *mut bindings::page) -> Option<Self> {
        let page = NonNull::new(page)?;
        // SAFETY: By the safety requirement.
        unsafe { bindings::next_get_page(page.as_ptr()) };
        // INVARIANT: The reference was just taken.
        Some(Self(page))
    }

    /// Takes another reference to the page, as the kernel has one while it moves it.
    #[cfg(CONFIG_RUST_KERNEL_NEXT_KUNIT_TEST)]
    pub fn again(&self) -> Option<Self> {
        // SAFETY: By the type invariants.
        unsafe { Self::get(self.0.as_ptr()) }
    }

    /// Returns the page frame number, in pages of the guest.
    pub fn pfn(&self) -> usize {
        // SAFETY: By the type invariants the page is valid.
        unsafe { bindings::next_page_to_pfn(self.0.as_ptr()) }
    }
}

impl Drop for BalloonPage {
    fn drop(&mut self) {
        // SAFETY: By the type invariants the reference is ours.
        unsafe { bindings::next_put_page(self.0.as_ptr()) };
    }
}

/// Up to a fixed number of pages. No memory is needed to put some in or take some out.
///
/// # Invariants
///
/// The first `len` slots have a page, the others have none.
pub struct BalloonPages {
    pages: KVec<Option<BalloonPage>>,
    len: usize,
}

impl BalloonPages {
    /// Creates an empty set with room for `capacity` pages.
    pub fn new(capacity: usize) -> Result<Self> {
        Ok(Self {
            pages: filled(capacity, |_| None)?,
            len: 0,
        })
    }

    /// Returns the number of pages.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Allocates pages like [`BalloonPage::alloc`], at most `count` and as many as there is room
    /// for, and returns how many.
    ///
    /// Most of them come from the CPU's own list, which is locked once for all of them. It stops
    /// where memory gets short, so one call that returns fewer does not mean that the next returns
    /// none.
    pub fn alloc(&mut self, count: usize) -> usize {
        let count = count.min(self.room());
        let end = self.len.saturating_add(count);
        let Some(slots) = self.pages.get_mut(self.len..end) else {
            return 0;
        };
        // SAFETY: There are `count` slots, all of them `None` by the type invariants, which is a
        // null pointer: a `BalloonPage` is a `NonNull` pointer. Null or a page with a reference is
        // what the function writes into each. It may be called from any context that may sleep.
        //
        // CAST: A `usize` is as wide as an `unsigned long`.
        let got = unsafe {
            bindings::next_balloon_pages_alloc(count as c_ulong, slots.as_mut_ptr().cast())
        };
        // INVARIANT: It fills the slots from the first one on.
        //
        // CAST: As above.
        self.len = self.len.saturating_add((got as usize).min(count));
        got as usize
    }

    /// Returns how many more fit in.
    pub fn room(&self) -> usize {
        self.pages.len().saturating_sub(self.len)
    }

    /// Puts a page in, or returns it if there is no room.
    pub fn push(&mut self, page: BalloonPage) -> Result<(), BalloonPage> {
        match self.pages.get_mut(self.len) {
            Some(slot) => {
                *slot = Some(page);
                self.len = self.len.saturating_add(1);
                Ok(())
            }
            None => Err(page),
        }
    }

    /// Takes the page out that was put in last.
    pub fn pop(&mut self) -> Option<BalloonPage> {
        let last = self.len.checked_sub(1)?;
        self.len = last;
        self.pages.get_mut(last)?.take()
    }

    /// Iterates over the page frame numbers.
    pub fn pfns(&self) -> impl Iterator<Item = usize> + '_ {
        self.pages
            .iter()
            .map_while(Option::as_ref)
            .map(BalloonPage::pfn)
    }
}

/// What the owner of a balloon does when the kernel moves a page of it.
pub trait BalloonOwner: Send + Sync + Sized {
    /// Puts `new` into the balloon in place of `old`.
    ///
    /// Called when memory is compacted, from any task, with `old` locked. After `Ok` the list has
    /// `new` in place of `old`. The references are the owner's: it keeps each for as long as
    /// somebody else must not use the page. [`EAGAIN`] puts the move off.
    fn migrate(balloon: &PageBalloon<Self>, new: BalloonPage, old: BalloonPage) -> Result;
}

/// The pages of a balloon, and their owner's data.
///
/// Dropping it gives all pages back to the page allocator.
///
/// # Invariants
///
/// `info` is initialised and pinned. `pages` is the number of pages that are in its list or
/// isolated by the kernel in order to be moved, `block_pages` that of the pages in `blocks`, each
/// of which was accounted for when it entered.
#[pin_data(PinnedDrop)]
pub struct PageBalloon<T: BalloonOwner> {
    #[pin]
    info: Opaque<bindings::balloon_dev_info>,
    pages: Atomic<usize>,
    #[pin]
    pub(super) blocks: SpinLock<PageRunStack>,
    pub(super) block_pages: Atomic<usize>,
    pub(super) lower_total: bool,
    #[pin]
    owner: T,
}

// SAFETY: The list has a lock of its own, and the pages belong to no thread.
unsafe impl<T: BalloonOwner> Send for PageBalloon<T> {}
// SAFETY: As above.
unsafe impl<T: BalloonOwner> Sync for PageBalloon<T> {}

/// Returns the lock class of the blocks of all balloons.
///
/// Lockdep knows a class by its key and by the address of its name. In generic code there is one
/// key, but each crate that the code is instantiated in may have a name of its own.
#[inline(never)]
fn blocks_lock_class() -> (&'static CStr, Pin<&'static LockClassKey>) {
    (c"balloon blocks", crate::static_lock_class!())
}

impl<T: BalloonOwner> PageBalloon<T> {
    /// Creates an empty balloon.
    ///
    /// With `lower_total` the pages in it do not count as memory that the kernel manages, so that
    /// `MemTotal` falls by them.
    pub fn new(lower_total: bool, owner: impl PinInit<T, Error>) -> impl PinInit<Self, Error> {
        let (name, key) = blocks_lock_class();
        try_pin_init!(Self {
            info <- Opaque::ffi_init(|slot: *mut bindings::balloon_dev_info| {
                // SAFETY: `slot` is valid for writes, and pinned.
                unsafe { bindings::next_balloon_devinfo_init(slot) };
                // SAFETY: `slot` was just initialised. The callback fits, as the structure is
                // that of a `PageBalloon<T>`.
                unsafe {
                    (*slot).migratepage = Some(Self::migrate_callback);
                    (*slot).adjust_managed_page_count = lower_total;
                }
            }),
            pages: Atomic::new(0),
            blocks <- SpinLock::new(PageRunStack::new(), name, key),
            block_pages: Atomic::new(0),
            lower_total,
            owner <- owner,
        })
    }

    /// Returns the number of single pages.
    pub fn pages(&self) -> usize {
        self.pages.load(Relaxed)
    }

    /// Puts a page in.
    pub fn enqueue(&self, page: BalloonPage) {
        let page = ManuallyDrop::new(page);
        self.pages.fetch_add(1, Relaxed);
        // SAFETY: By the type invariants `info` is initialised. The reference to the page is now
        // the list's; the page is in no other list.
        unsafe { bindings::balloon_page_enqueue(self.info.get(), page.0.as_ptr()) };
    }

    /// Puts pages in, all at once.
    pub fn enqueue_all(&self, pages: &mut BalloonPages) {
        self.pages.fetch_add(pages.len(), Relaxed);
        let mut list = bindings::list_head::default();
        let head = &raw mut list;
        // SAFETY: `head` is valid for writes.
        unsafe { bindings::next_init_list_head(head) };
        while let Some(page) = pages.pop() {
            let page = ManuallyDrop::new(page);
            // SAFETY: `head` is initialised. The page is in no other list; the reference to it is
            // now the list's.
            unsafe { bindings::next_page_list_add(page.0.as_ptr(), head) };
        }
        // SAFETY: By the type invariants `info` is initialised. The pages and the references to
        // them are nobody else's.
        unsafe { bindings::balloon_page_list_enqueue(self.info.get(), head) };
    }

    /// Takes single pages out, at most `count` and as many as there is room for, and returns how
    /// many.
    ///
    /// May return less than there are in the balloon, as the kernel may be about to move some.
    pub fn dequeue(&self, count: usize, into: &mut BalloonPages) -> usize {
        self.take(count.min(into.room()), |page| {
            // There is room.
            let _ = into.push(page);
        })
    }

    /// Gives all pages back to the page allocator.
    ///
    /// Must be called from a context that may sleep.
    pub fn release_all(&self) {
        self.empty(drop);
        while let Some(run) = self.dequeue_run(usize::MAX) {
            drop(run);
        }
    }

    /// Loses all pages: nobody will ever use them again. Returns how many they are.
    ///
    /// Must be called from a context that may sleep.
    pub fn lose_all(&self) -> usize {
        let mut lost = 0usize;
        self.empty(|page| {
            core::mem::forget(page);
            lost = lost.saturating_add(1);
        });
        while let Some(run) = self.dequeue_run(usize::MAX) {
            lost = lost.saturating_add(run.range().pages());
            core::mem::forget(run);
        }
        lost
    }

    fn empty(&self, mut each: impl FnMut(BalloonPage)) {
        while self.pages() > 0 {
            if self.take(usize::MAX, &mut each) == 0 {
                // The kernel is about to move what is left, and will be done with it soon.
                fsleep(Delta::from_millis(1));
            }
        }
    }

    fn take(&self, count: usize, mut each: impl FnMut(BalloonPage)) -> usize {
        let mut list = bindings::list_head::default();
        let head = &raw mut list;
        // SAFETY: `head` is valid for writes.
        unsafe { bindings::next_init_list_head(head) };
        // SAFETY: By the type invariants `info` is initialised; `head` is.
        let taken = unsafe { bindings::balloon_page_list_dequeue(self.info.get(), head, count) };
        self.pages.fetch_sub(taken, Relaxed);
        for _ in 0..taken {
            // SAFETY: `head` is initialised, and the pages in its list are nobody else's.
            let page = NonNull::new(unsafe { bindings::next_page_list_pop(head) });
            // INVARIANT: The reference that the balloon's list had is ours now.
            page.map(BalloonPage).into_iter().for_each(&mut each);
        }
        taken
    }

    /// # Safety
    ///
    /// To be called by the kernel alone, for a page that is in the balloon of a `PageBalloon<T>`.
    unsafe extern "C" fn migrate_callback(
        info: *mut bindings::balloon_dev_info,
        new: *mut bindings::page,
        old: *mut bindings::page,
        _mode: bindings::migrate_mode,
    ) -> c_int {
        // SAFETY: By the safety requirement; `Opaque` is `repr(transparent)`.
        let this = unsafe { container_of!(Opaque::cast_from(info), Self, info) };
        // SAFETY: The balloon does not go away while it has pages: see `drop()`.
        let this = unsafe { &*this };
        from_result(|| {
            // SAFETY: The kernel has references to both pages during the call.
            let new = unsafe { BalloonPage::get(new) }.ok_or(EINVAL)?;
            // SAFETY: As above.
            let old = unsafe { BalloonPage::get(old) }.ok_or(EINVAL)?;
            // Any other error would have another meaning for the kernel, or none.
            T::migrate(this, new, old).map_err(|_| EAGAIN)?;
            Ok(0)
        })
    }
}

impl<T: BalloonOwner> Deref for PageBalloon<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.owner
    }
}

#[pinned_drop]
impl<T: BalloonOwner> PinnedDrop for PageBalloon<T> {
    fn drop(self: Pin<&mut Self>) {
        self.release_all();
    }
}

#[cfg(CONFIG_RUST_KERNEL_NEXT_KUNIT_TEST)]
#[kunit_tests(rust_kernel_balloon)]
pub(super) mod tests {
    use super::*;
    use crate::sync::Arc;

    /// Cannot move pages.
    pub(in crate::mm) struct Nobody;

    impl BalloonOwner for Nobody {
        fn migrate(_: &PageBalloon<Self>, _: BalloonPage, _: BalloonPage) -> Result {
            Err(EAGAIN)
        }
    }

    /// Returns a balloon of single pages.
    pub(in crate::mm) fn balloon(pages: usize) -> Result<Arc<PageBalloon<Nobody>>> {
        let balloon = Arc::pin_init(PageBalloon::new(true, Ok(Nobody)), GFP_KERNEL)?;
        for _ in 0..pages {
            balloon.enqueue(BalloonPage::alloc().ok_or(ENOMEM)?);
        }
        Ok(balloon)
    }

    #[test]
    fn pages_go_in_and_come_out() -> Result {
        let balloon = balloon(100)?;
        assert_eq!(balloon.pages(), 100);
        let mut out = BalloonPages::new(32)?;
        // What others move meanwhile cannot be taken out: ask until all is there.
        while balloon.dequeue(10, &mut out) == 0 {}
        assert!(out.len() <= 10);
        while out.room() > 0 {
            balloon.dequeue(usize::MAX, &mut out);
        }
        assert_eq!(out.len(), 32);
        assert_eq!(balloon.pages(), 68);
        assert_eq!(out.pfns().count(), 32);
        while let Some(page) = out.pop() {
            balloon.enqueue(page);
        }
        assert!(out.is_empty());
        assert_eq!(balloon.pages(), 100);
        Ok(())
    }

    #[test]
    fn pages_come_and_go_many_at_a_time() -> Result {
        let balloon = balloon(0)?;
        let mut set = BalloonPages::new(100)?;
        assert!(set.push(BalloonPage::alloc().ok_or(ENOMEM)?).is_ok());
        let mut got = 1;
        while set.room() > 0 {
            let more = set.alloc(40);
            assert!((1..=40).contains(&more));
            got += more;
            assert_eq!(set.len(), got);
        }
        assert_eq!(set.alloc(1), 0);
        assert_eq!(got, 100);
        let mut pfns = KVec::<usize>::new();
        for pfn in set.pfns() {
            assert!(!pfns.contains(&pfn));
            pfns.push(pfn, GFP_KERNEL)?;
        }
        balloon.enqueue_all(&mut set);
        assert!(set.is_empty());
        assert_eq!(balloon.pages(), 100);
        while set.room() > 0 {
            balloon.dequeue(usize::MAX, &mut set);
        }
        assert!(set.pfns().all(|pfn| pfns.contains(&pfn)));
        Ok(())
    }

    #[test]
    fn a_full_set_returns_the_page() -> Result {
        let mut set = BalloonPages::new(1)?;
        assert!(set.push(BalloonPage::alloc().ok_or(ENOMEM)?).is_ok());
        let page = BalloonPage::alloc().ok_or(ENOMEM)?;
        let pfn = page.pfn();
        assert!(matches!(set.push(page), Err(back) if back.pfn() == pfn));
        assert_eq!(set.len(), 1);
        Ok(())
    }
}
