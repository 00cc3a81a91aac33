// SPDX-License-Identifier: GPL-2.0

//! Free page reporting: the kernel isolates free blocks, reports them, and puts them back.
//!
//! C header: [`include/linux/page_reporting.h`](srctree/include/linux/page_reporting.h)

use crate::{
    bindings,
    container_of,
    error::{
        from_result,
        to_result, //
    },
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            AtomicFlag,
            Relaxed, //
        },
        Arc, //
    },
    types::Opaque, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};

/// Free blocks that nobody can use until the report returns.
///
/// # Invariants
///
/// `entries` points to the first of `count` entries of a scatter list, each of which is a block of
/// free pages that were isolated, for `'a`.
pub struct ReportedPages<'a> {
    entries: NonNull<bindings::scatterlist>,
    count: c_uint,
    _isolated: PhantomData<&'a mut bindings::scatterlist>,
}

impl ReportedPages<'_> {
    /// Returns the entries, and how many there are.
    pub fn as_raw(&self) -> (NonNull<bindings::scatterlist>, c_uint) {
        (self.entries, self.count)
    }

    /// Returns the number of blocks.
    pub fn blocks(&self) -> usize {
        // CAST: `usize` has at least 32 bits.
        self.count as usize
    }

    /// Returns the number of pages.
    pub fn pages(&self) -> usize {
        let mut bytes = 0usize;
        let mut entry = self.entries.as_ptr();
        for _ in 0..self.count {
            if entry.is_null() {
                break;
            }
            // SAFETY: By the type invariants the entry is valid.
            let length = unsafe { (*entry).length };
            bytes = bytes.saturating_add(usize::try_from(length).unwrap_or(0));
            // SAFETY: As above; the end of the list is marked.
            entry = unsafe { bindings::sg_next(entry) };
        }
        bytes / PAGE_SIZE
    }
}

/// Where free blocks are reported to.
pub trait PageReporter: Send + Sync {
    /// Reports blocks.
    ///
    /// May sleep. After an error the same blocks are reported again some time.
    fn report(&self, pages: ReportedPages<'_>) -> Result;
}

/// The registration of a [`PageReporter`], of which the kernel takes one at a time.
///
/// Dropping it waits until no report is going on.
///
/// # Invariants
///
/// `info` is pinned, and is registered if `registered` is set.
#[pin_data(PinnedDrop)]
pub struct PageReporting<T: PageReporter> {
    #[pin]
    info: Opaque<bindings::page_reporting_dev_info>,
    registered: AtomicFlag,
    /// The order to put back into the kernel's own parameter, if it was replaced.
    replaced: Atomic<u32>,
    order: ReportingOrder,
    reporter: Arc<T>,
}

/// The smallest order of blocks to report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportingOrder {
    /// This one, unless `page_reporting.page_reporting_order` was set.
    Default(u32),
    /// This one, whatever that parameter of the kernel says.
    Always(u32),
}

/// Stands for no order in [`PageReporting::replaced`].
const NOTHING_REPLACED: u32 = u32::MAX - 1;

// SAFETY: The registration can be used and dropped from any thread, as the kernel sees to it that
// registering and reports do not interfere.
unsafe impl<T: PageReporter> Send for PageReporting<T> {}
// SAFETY: As above.
unsafe impl<T: PageReporter> Sync for PageReporting<T> {}

impl<T: PageReporter> PageReporting<T> {
    /// Prepares a registration, for reports of at most `capacity` blocks (0: as many as the
    /// kernel likes, 32).
    pub fn new(
        order: ReportingOrder,
        capacity: usize,
        reporter: Arc<T>,
    ) -> impl PinInit<Self, Error> {
        let (ReportingOrder::Default(wanted) | ReportingOrder::Always(wanted)) = order;
        let capacity = c_uint::try_from(capacity).unwrap_or(0);
        try_pin_init!(Self {
            info <- Opaque::ffi_init(|slot: *mut bindings::page_reporting_dev_info| {
                // SAFETY: `slot` is valid for writes.
                unsafe {
                    slot.write(bindings::page_reporting_dev_info {
                        report: Some(Self::callback),
                        order: wanted,
                        capacity,
                        ..Default::default()
                    })
                };
            }),
            registered: AtomicFlag::new(false),
            replaced: Atomic::new(NOTHING_REPLACED),
            order,
            reporter,
        })
    }

    /// Registers the reporter, unless it is. Reports may come from now on.
    ///
    /// Returns whether it was not registered before, and [`EBUSY`] if the kernel has another one.
    pub fn register(&self) -> Result<bool> {
        if self.registered.load(Relaxed) {
            return Ok(false);
        }
        if let ReportingOrder::Always(order) = self.order {
            // SAFETY: The parameter is an integer that may change at any time.
            let old = unsafe { bindings::next_page_reporting_order() };
            self.replaced.store(old, Relaxed);
            // SAFETY: As above. The kernel takes any order that there is.
            unsafe { bindings::next_set_page_reporting_order(order) };
        }
        // SAFETY: By the type invariants `info` is pinned; it is not registered, and will be
        // unregistered before it goes.
        to_result(unsafe { bindings::page_reporting_register(self.info.get()) })
            .inspect_err(|_| self.put_order_back())?;
        // INVARIANT: It was just registered.
        self.registered.store(true, Relaxed);
        Ok(true)
    }

    fn put_order_back(&self) {
        let replaced = self.replaced.xchg(NOTHING_REPLACED, Relaxed);
        if replaced != NOTHING_REPLACED {
            // SAFETY: The parameter is an integer that may change at any time.
            unsafe { bindings::next_set_page_reporting_order(replaced) };
        }
    }

    /// Returns the smallest order of blocks that the kernel reports now.
    pub fn current_order(&self) -> u32 {
        // SAFETY: The parameter is an integer that may change at any time.
        unsafe { bindings::next_page_reporting_order() }
    }

    /// # Safety
    ///
    /// To be called by the kernel alone, with the structure of a `PageReporting<T>` and `count`
    /// entries of blocks that it has isolated for this call.
    unsafe extern "C" fn callback(
        info: *mut bindings::page_reporting_dev_info,
        entries: *mut bindings::scatterlist,
        count: c_uint,
    ) -> c_int {
        // SAFETY: By the safety requirement; `Opaque` is `repr(transparent)`.
        let this = unsafe { container_of!(Opaque::cast_from(info), Self, info) };
        from_result(|| {
            // INVARIANT: By the safety requirement.
            let pages = ReportedPages {
                entries: NonNull::new(entries).ok_or(EINVAL)?,
                count,
                _isolated: PhantomData,
            };
            // SAFETY: The structure does not go away meanwhile: `drop()` waits for this call.
            unsafe { &(*this).reporter }.report(pages)?;
            Ok(0)
        })
    }
}

#[pinned_drop]
impl<T: PageReporter> PinnedDrop for PageReporting<T> {
    fn drop(self: Pin<&mut Self>) {
        if !self.registered.load(Relaxed) {
            return;
        }
        // SAFETY: By the type invariants it is registered. This waits for reports.
        unsafe { bindings::page_reporting_unregister(self.info.get()) };
        self.put_order_back();
    }
}
