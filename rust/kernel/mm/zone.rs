// SPDX-License-Identifier: GPL-2.0

//! Memory nodes, their zones, and the free lists of these.
//!
//! C header: [`include/linux/mmzone.h`](srctree/include/linux/mmzone.h)

use crate::{
    bindings, container_of, fmt,
    prelude::*,
    str::BStr,
    sync::lock::{
        spinlock::SpinLockIrqBackend,
        Guard,
        Lock, //
    },
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};

use super::{
    FreeLists,
    Neighbour, //
};

/// A node of memory that is online.
///
/// # Invariants
///
/// `data` points to the initialised `struct pglist_data` of node `nid`. The kernel never frees the
/// data of a node that was online once.
#[derive(Clone, Copy)]
pub struct Node {
    nid: c_int,
    data: NonNull<bindings::pglist_data>,
}

// SAFETY: The data of a node has no owner; what is read of it may be read from any thread.
unsafe impl Send for Node {}

impl Node {
    /// Returns the number of the node.
    pub fn id(&self) -> c_int {
        self.nid
    }

    /// Returns the populated zones of this node.
    pub fn zones(&self) -> Zones {
        Zones {
            node: *self,
            next: 0,
        }
    }

    /// Returns the number of free pages in all its zones, as good as the counters are.
    pub fn free_pages(&self) -> usize {
        self.sum(Zone::free_pages)
    }

    /// Returns the page frame after the last one that any of its zones may have.
    pub fn end_pfn(&self) -> usize {
        self.zones().fold(0, |end, zone| zone.end_pfn().max(end))
    }

    /// Returns the sum of its zones' [`Zone::min_watermark`]s, in pages.
    pub fn min_watermark(&self) -> usize {
        self.sum(Zone::min_watermark)
    }

    /// Returns the sum of its zones' [`Zone::middle_watermark`]s, in pages.
    pub fn middle_watermark(&self) -> usize {
        self.sum(Zone::middle_watermark)
    }

    /// Returns the number of pages that the allocator manages in all its zones.
    pub fn managed_pages(&self) -> usize {
        self.sum(Zone::managed_pages)
    }

    fn sum(&self, pages: impl Fn(&Zone) -> usize) -> usize {
        self.zones()
            .fold(0, |sum, zone| sum.saturating_add(pages(&zone)))
    }
}

/// Iterates over the nodes that are online.
pub struct Nodes {
    next: c_int,
}

impl Nodes {
    /// Returns the page frame after the last one that any node may have.
    pub fn end_pfn() -> usize {
        Self::new().fold(0, |end, node| node.end_pfn().max(end))
    }

    /// Starts with the first node.
    pub const fn new() -> Self {
        Self { next: 0 }
    }
}

impl Default for Nodes {
    fn default() -> Self {
        Self::new()
    }
}

impl Iterator for Nodes {
    type Item = Node;

    fn next(&mut self) -> Option<Node> {
        // SAFETY: The function takes any number that is not negative; `next` never is.
        let nid = unsafe { bindings::next_online_node_from(self.next) };
        if nid >= bindings::NEXT_MAX_NUMNODES {
            return None;
        }
        self.next = nid.saturating_add(1);
        // SAFETY: `nid` is an online node.
        let data = NonNull::new(unsafe { bindings::next_node_data(nid) })?;
        // INVARIANT: The data of an online node is initialised.
        Some(Node { nid, data })
    }
}

/// Iterates over the populated zones of a node.
pub struct Zones {
    node: Node,
    next: usize,
}

impl Iterator for Zones {
    type Item = Zone;

    fn next(&mut self) -> Option<Zone> {
        loop {
            // SAFETY: By the type invariants of `Node` the pointer is valid, and this makes no
            // reference to the data.
            let zones: *mut [bindings::zone] =
                unsafe { &raw mut (*self.node.data.as_ptr()).node_zones };
            if self.next >= zones.len() {
                return None;
            }
            // SAFETY: `next` is less than the length of the array.
            let zone = unsafe { zones.cast::<bindings::zone>().add(self.next) };
            self.next = self.next.saturating_add(1);
            // SAFETY: The zones of an online node are initialised.
            if unsafe { bindings::next_populated_zone(zone) } {
                // INVARIANT: As above, and nodes are never freed.
                return NonNull::new(zone).map(Zone);
            }
        }
    }
}

/// A zone of memory that was populated when it was found.
///
/// # Invariants
///
/// The pointer is to an initialised `struct zone` that is never freed.
#[derive(Clone, Copy)]
pub struct Zone(NonNull<bindings::zone>);

// SAFETY: A zone has no owner and is protected by its own lock.
unsafe impl Send for Zone {}

impl Zone {
    /// Returns the number of free pages, as good as the counters are.
    pub fn free_pages(&self) -> usize {
        // SAFETY: By the type invariants the zone is valid; the counter is atomic.
        unsafe { bindings::next_zone_free_pages(self.0.as_ptr()) }
    }

    /// Returns the number of pages that the allocator manages.
    pub fn managed_pages(&self) -> usize {
        // SAFETY: By the type invariants the zone is valid; the counter is atomic.
        unsafe { bindings::next_zone_managed_pages(self.0.as_ptr()) }
    }

    /// Returns the number of its node.
    pub fn node_id(&self) -> c_int {
        // SAFETY: By the type invariants the zone is valid. Its node is, too, and never changes.
        unsafe { (*(*self.0.as_ptr()).zone_pgdat).node_id }
    }

    /// Returns its name, as in `/proc/zoneinfo`.
    pub fn name(&self) -> ZoneName {
        // INVARIANT: The kernel sets the names of zones to string constants.
        //
        // SAFETY: By the type invariants the zone is valid.
        ZoneName(unsafe { (*self.0.as_ptr()).name })
    }

    /// Returns the first page frame that the zone may have.
    ///
    /// It may change as memory is plugged and unplugged.
    pub fn start_pfn(&self) -> usize {
        // SAFETY: By the type invariants the zone is valid. A value that changes meanwhile is one
        // that the kernel's own readers live with.
        unsafe { bindings::next_zone_start_pfn(self.0.as_ptr()) }
    }

    /// Returns the number of pages that there are between [`Zone::start_pfn`] and
    /// [`Zone::end_pfn`]: without holes, but with those that the kernel has set aside at boot.
    pub fn present_pages(&self) -> usize {
        // SAFETY: By the type invariants the zone is valid. A value that changes meanwhile is one
        // that the kernel's own readers live with.
        unsafe { bindings::next_zone_present_pages(self.0.as_ptr()) }
    }

    /// Returns the page frame after the last one that the zone may have.
    ///
    /// It may grow and shrink as memory is plugged and unplugged.
    pub fn end_pfn(&self) -> usize {
        // SAFETY: By the type invariants the zone is valid. A value that changes meanwhile is one
        // that the kernel's own readers live with.
        unsafe { bindings::next_zone_end_pfn(self.0.as_ptr()) }
    }

    /// Returns the minimum watermark, in pages: what is free below it is for those who cannot wait.
    pub fn min_watermark(&self) -> usize {
        // SAFETY: By the type invariants the zone is valid. The watermarks may change meanwhile,
        // which the kernel's own readers live with.
        unsafe { bindings::next_min_wmark_pages(self.0.as_ptr()) }
    }

    /// Returns the middle, in pages, between the low watermark, below which the kernel reclaims,
    /// and the high one, at which it stops.
    pub fn middle_watermark(&self) -> usize {
        // SAFETY: By the type invariants the zone is valid. The watermarks may change meanwhile,
        // which the kernel's own readers live with.
        unsafe { bindings::next_mid_wmark_pages(self.0.as_ptr()) }
    }

    /// Returns the high watermark, in pages, at which the kernel stops to reclaim.
    pub fn high_watermark(&self) -> usize {
        // SAFETY: By the type invariants the zone is valid. The watermarks may change meanwhile,
        // which the kernel's own readers live with.
        unsafe { bindings::next_high_wmark_pages(self.0.as_ptr()) }
    }

    /// Returns the zone of a page frame, if there is a page that is online.
    pub fn at(pfn: usize) -> Option<Self> {
        // SAFETY: The function takes any number.
        let zone = unsafe { bindings::next_pfn_zone(pfn) };
        // INVARIANT: The zone of a page is initialised, and zones are never freed.
        NonNull::new(zone).map(Self)
    }

    /// Returns the pointer to the C side's zone.
    pub fn as_ptr(&self) -> *mut bindings::zone {
        self.0.as_ptr()
    }

    /// Takes `zone->lock`, with interrupts off, to look at the free lists.
    pub fn lock(&self) -> LockedZone<'_> {
        // SAFETY: By the type invariants the zone, and its lock with it, is valid and initialised
        // for as long as the kernel runs.
        let lock =
            unsafe { Lock::<(), SpinLockIrqBackend>::from_raw(&raw mut (*self.0.as_ptr()).lock) };
        LockedZone {
            zone: self.0,
            _guard: lock.lock(),
            _zone: PhantomData,
        }
    }
}

/// The name of a zone, for others to copy.
///
/// # Invariants
///
/// The pointer is to a string with a NUL at its end that never goes.
#[derive(Clone, Copy)]
pub struct ZoneName(*const c_char);

impl ZoneName {
    /// Returns the pointer to the string.
    pub fn as_char_ptr(&self) -> *const c_char {
        self.0
    }
}

impl fmt::Display for ZoneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: By the type invariants it is a string.
        let len = unsafe { bindings::strlen(self.0) };
        // SAFETY: A string has so many bytes, which never go. Not as a `CStr`, the kernel crate's
        // way to which adds one for the NUL, and panics if that overflows.
        let name: &'static [u8] = unsafe { core::slice::from_raw_parts(self.0.cast(), len) };
        fmt::Display::fmt(BStr::from_bytes(name), f)
    }
}

/// The free lists of a zone whose lock is held.
///
/// # Invariants
///
/// - `zone` points to a valid zone.
/// - Its lock is held while the value exists.
pub struct LockedZone<'a> {
    zone: NonNull<bindings::zone>,
    _guard: Guard<'a, (), SpinLockIrqBackend>,
    _zone: PhantomData<&'a Zone>,
}

impl LockedZone<'_> {
    /// Returns the area of an order.
    #[inline]
    fn area(&self, order: u32) -> Option<*mut bindings::free_area> {
        // SAFETY: By the type invariants the zone is valid, and this makes no reference to it.
        let areas: *mut [bindings::free_area] = unsafe { &raw mut (*self.zone.as_ptr()).free_area };
        let order = usize::try_from(order).ok().filter(|&o| o < areas.len())?;
        // SAFETY: `order` is less than the length of the array.
        Some(unsafe { areas.cast::<bindings::free_area>().add(order) })
    }

    /// Returns the heads of the lists of an order.
    fn heads(&self, order: u32) -> Option<*mut [bindings::list_head]> {
        let area = self.area(order)?;
        // SAFETY: `area` points to a valid area, and this makes no reference to it.
        Some(unsafe { &raw mut (*area).free_list })
    }

    /// Returns the head of a list.
    fn head(&self, order: u32, list: usize) -> Option<*mut bindings::list_head> {
        let heads = self.heads(order)?;
        if list >= heads.len() {
            return None;
        }
        // SAFETY: `list` is less than the length of the array.
        Some(unsafe { heads.cast::<bindings::list_head>().add(list) })
    }

    /// Returns which head of the lists of this order a node is, if it is one.
    ///
    /// Nodes do not overlap: one that begins within the array is one of its heads.
    fn list_of_head(&self, order: u32, node: *mut bindings::list_head) -> Option<usize> {
        const SIZE: usize = size_of::<bindings::list_head>();
        let heads = self.heads(order)?;
        let list = node.addr().wrapping_sub(heads.addr()) / SIZE;
        (list < heads.len()).then_some(list)
    }

    /// Returns the page of the free block of exactly this order that starts at `pfn`.
    fn free_page(&self, order: u32, pfn: usize) -> Option<NonNull<bindings::page>> {
        // SAFETY: May be called with any number. A page frame that goes offline has left the free
        // lists under the lock that is held here; should the memory map of one that has not be
        // taken down this instant, the kernel first has to flush it from this CPU's TLB, and waits
        // for that while interrupts are off here.
        let page = NonNull::new(unsafe { bindings::next_pfn_to_online_page(pfn) })?;
        // SAFETY:
        // - By the type invariants the zone is valid and its lock is held.
        // - `page` is the initialised page of an online page frame.
        let found = unsafe { bindings::next_free_block_order(self.zone.as_ptr(), page.as_ptr()) };
        (u32::try_from(found) == Ok(order)).then_some(page)
    }

    /// Returns the page frame number of the block whose node in a free list this is.
    ///
    /// # Safety
    ///
    /// `node` must be the node of a page in one of this zone's free lists.
    unsafe fn pfn_of_node(&self, node: *mut bindings::list_head) -> usize {
        // SAFETY: By the safety requirement `node` lies in a `struct page`. Free pages are linked
        // by the `buddy_list`, which shares its place with `lru`.
        let page = unsafe {
            container_of!(
                node,
                bindings::page,
                __bindgen_anon_1.__bindgen_anon_1.__bindgen_anon_1.lru
            )
        };
        // SAFETY: `page` is a valid page.
        unsafe { bindings::next_page_to_pfn(page) }
    }

    /// Returns what a link of a block of this order leads to.
    fn neighbour(
        &self,
        order: u32,
        pfn: usize,
        link: impl FnOnce(&bindings::list_head) -> *mut bindings::list_head,
    ) -> Neighbour {
        let Some(page) = self.free_page(order, pfn) else {
            return Neighbour::Gone;
        };
        // SAFETY: `page` is the first page of a free block, so it is linked in a free list of this
        // zone by this field, and stays so while the lock is held.
        let node = link(unsafe {
            &(*page.as_ptr())
                .__bindgen_anon_1
                .__bindgen_anon_1
                .__bindgen_anon_1
                .lru
        });
        match self.list_of_head(order, node) {
            Some(list) => Neighbour::End(list),
            // SAFETY: A node that is no head of this order's lists is the node of a block of this
            // order: lists hold blocks of one order only.
            None => Neighbour::Block(unsafe { self.pfn_of_node(node) }),
        }
    }
}

/// Returns whether the blocks of a list must be left alone: they are about to be taken away, by
/// memory hot-unplug or by an allocation of contiguous memory.
fn is_isolated(list: usize) -> bool {
    #[cfg(CONFIG_MEMORY_ISOLATION)]
    {
        // The constant's type is that of the enumeration, which depends on the compiler.
        i64::try_from(list) == Ok(i64::from(bindings::migratetype_MIGRATE_ISOLATE))
    }
    #[cfg(not(CONFIG_MEMORY_ISOLATION))]
    {
        let _ = list;
        false
    }
}

impl FreeLists for LockedZone<'_> {
    // CAST: A small constant.
    const LISTS: usize = bindings::migratetype_MIGRATE_TYPES as usize;

    fn blocks(&self, order: u32) -> usize {
        self.area(order).map_or(0, |area| {
            // SAFETY: The area is valid, and the lock that protects the counter is held.
            unsafe { (*area).nr_free }
        })
    }

    fn last(&self, order: u32, list: usize) -> Option<usize> {
        if is_isolated(list) {
            return None;
        }
        let head = self.head(order, list)?;
        // SAFETY: `head` is an initialised head, and the lock that protects the list is held.
        let node = unsafe { (*head).prev };
        if node == head {
            return None;
        }
        // SAFETY: A node of the list other than its head is that of a free block.
        Some(unsafe { self.pfn_of_node(node) })
    }

    fn before(&self, order: u32, pfn: usize) -> Neighbour {
        self.neighbour(order, pfn, |node| node.prev)
    }

    fn after(&self, order: u32, pfn: usize) -> Neighbour {
        self.neighbour(order, pfn, |node| node.next)
    }

    #[inline]
    unsafe fn onward(&self, order: u32, pfn: usize) -> Neighbour {
        let Some(area) = self.area(order) else {
            return Neighbour::Gone;
        };
        // SAFETY: By the safety requirement a free block of this order and zone starts at `pfn`:
        // it came out of one of these functions, and the lock is held since. So it has a page,
        // which is linked in a list of `area`.
        //
        // CAST: A `usize` is as wide as an `unsigned long`.
        let before = unsafe { bindings::next_free_list_before(area, pfn as c_ulong) };
        match usize::try_from(before) {
            // Page frame numbers are those of addresses, so they have no sign.
            Ok(pfn) => Neighbour::Block(pfn),
            // What is not negative if a negative number is turned over: -1 is 0.
            // CAST: The number of a list.
            Err(_) => Neighbour::End(!before as usize),
        }
    }
}
