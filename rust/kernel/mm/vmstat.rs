// SPDX-License-Identifier: GPL-2.0

//! What the kernel counts about its memory.
//!
//! C headers: [`include/linux/vmstat.h`](srctree/include/linux/vmstat.h),
//! [`include/linux/vm_event_item.h`](srctree/include/linux/vm_event_item.h)

use crate::{
    bindings,
    ffi::c_ulong, //
};

// CAST: Small constants.
const EVENTS: usize = bindings::vm_event_item_NR_VM_EVENT_ITEMS as usize;
const ZONES: usize = bindings::zone_type___MAX_NR_ZONES as usize;

/// Events since the machine was started, summed over all CPUs.
///
/// Without `CONFIG_VM_EVENT_COUNTERS` there are none: see [`VmEvents::read`].
pub struct VmEvents([c_ulong; EVENTS]);

impl VmEvents {
    /// Reads all counters, or returns [`None`] if the kernel does not count.
    ///
    /// Must be called from a context that may sleep.
    pub fn read() -> Option<Self> {
        if !cfg!(CONFIG_VM_EVENT_COUNTERS) {
            return None;
        }
        let mut events = Self([0; EVENTS]);
        // SAFETY: The array has one element for each counter.
        unsafe { bindings::next_all_vm_events(events.0.as_mut_ptr()) };
        Some(events)
    }

    fn get(&self, event: bindings::vm_event_item) -> u64 {
        let count = usize::try_from(event)
            .ok()
            .and_then(|event| self.0.get(event));
        // CAST: A `c_ulong` fits into 64 bits.
        count.map_or(0, |&count| count as u64)
    }

    /// Returns the number of pages that were swapped in.
    pub fn swapped_in(&self) -> u64 {
        self.get(bindings::vm_event_item_PSWPIN)
    }

    /// Returns the number of pages that were swapped out.
    pub fn swapped_out(&self) -> u64 {
        self.get(bindings::vm_event_item_PSWPOUT)
    }

    /// Returns the number of page faults that needed I/O.
    pub fn major_faults(&self) -> u64 {
        self.get(bindings::vm_event_item_PGMAJFAULT)
    }

    /// Returns the number of all page faults.
    pub fn faults(&self) -> u64 {
        self.get(bindings::vm_event_item_PGFAULT)
    }

    /// Returns how often the OOM killer has killed.
    pub fn oom_kills(&self) -> u64 {
        self.get(bindings::vm_event_item_OOM_KILL)
    }

    /// Returns how often an allocation had to reclaim memory itself, in all zones.
    pub fn alloc_stalls(&self) -> u64 {
        // There is a counter for each zone, one after the other, and always one for `NORMAL`.
        let first =
            bindings::vm_event_item_ALLOCSTALL_NORMAL.wrapping_sub(bindings::zone_type_ZONE_NORMAL);
        // CAST: A small constant.
        (0..ZONES as u32).fold(0, |sum: u64, zone| {
            sum.saturating_add(self.get(first.wrapping_add(zone)))
        })
    }

    /// Returns how many huge pages were allocated, and how many could not be, for the pool of
    /// `hugetlb`, if the kernel has one.
    pub fn huge_pages(&self) -> Option<(u64, u64)> {
        #[cfg(CONFIG_HUGETLB_PAGE)]
        {
            Some((
                self.get(bindings::vm_event_item_HTLB_BUDDY_PGALLOC),
                self.get(bindings::vm_event_item_HTLB_BUDDY_PGALLOC_FAIL),
            ))
        }
        #[cfg(not(CONFIG_HUGETLB_PAGE))]
        {
            None
        }
    }
}

fn node_pages(item: bindings::node_stat_item) -> u64 {
    // SAFETY: May be called from any context.
    let pages = unsafe { bindings::next_global_node_page_state(item) };
    // CAST: A `c_ulong` fits into 64 bits.
    pages as u64
}

/// How many pages reclaim has looked at and taken, since the machine was started.
pub struct Reclaimed {
    /// Looked at by `kswapd`.
    pub kswapd_scanned: u64,
    /// Looked at by tasks that allocate.
    pub direct_scanned: u64,
    /// Taken by `kswapd`.
    pub kswapd_taken: u64,
    /// Taken by tasks that allocate.
    pub direct_taken: u64,
}

impl Reclaimed {
    /// Reads the counters. May be called from any context.
    pub fn read() -> Self {
        Self {
            kswapd_scanned: node_pages(bindings::node_stat_item_PGSCAN_KSWAPD),
            direct_scanned: node_pages(bindings::node_stat_item_PGSCAN_DIRECT),
            kswapd_taken: node_pages(bindings::node_stat_item_PGSTEAL_KSWAPD),
            direct_taken: node_pages(bindings::node_stat_item_PGSTEAL_DIRECT),
        }
    }
}

/// How much memory there is now, in pages.
pub struct MemInfo {
    /// Not in use at all (`MemFree`).
    pub free: u64,
    /// Managed by the kernel (`MemTotal`).
    pub total: u64,
    /// What applications could get without swapping, an estimate (`MemAvailable`).
    pub available: u64,
    /// Caches of files (`Cached`, `Buffers` and `SwapCached` together).
    pub file: u64,
}

impl MemInfo {
    /// Reads the numbers. May be called from any context.
    pub fn read() -> Self {
        let mut info = bindings::sysinfo::default();
        // SAFETY: `info` is valid for writes.
        unsafe { bindings::si_meminfo(&raw mut info) };
        // SAFETY: May be called from any context.
        let available = unsafe { bindings::si_mem_available() };
        // CAST: A `c_ulong` fits into 64 bits.
        let (free, total) = (info.freeram as u64, info.totalram as u64);
        Self {
            free,
            total,
            available: u64::try_from(available).unwrap_or(0),
            file: node_pages(bindings::node_stat_item_NR_FILE_PAGES),
        }
    }
}

#[cfg(CONFIG_RUST_KERNEL_NEXT_KUNIT_TEST)]
#[kernel::prelude::kunit_tests(rust_kernel_vmstat)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_plausible() {
        let info = MemInfo::read();
        assert!(info.free > 0 && info.free < info.total);
        assert!(info.available < info.total);
        if let Some(events) = VmEvents::read() {
            assert!(events.faults() >= events.major_faults());
        }
    }
}
