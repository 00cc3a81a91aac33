// SPDX-License-Identifier: GPL-2.0

//! The last chance to free memory before the OOM killer looks for a victim.
//!
//! C header: [`include/linux/oom.h`](srctree/include/linux/oom.h)

use crate::{
    bindings,
    container_of,
    error::to_result,
    prelude::*,
    sync::Arc,
    types::Opaque, //
};

/// Something that can free memory when there is none left.
pub trait OomHandler: Send + Sync {
    /// Frees what it can, and returns how many pages of the guest that is.
    ///
    /// Called by a task that found no memory, which may hold any lock that is held over an
    /// allocation. It may sleep, but must not allocate what it cannot do without. Whatever it
    /// waits for must come in bounded time.
    fn free_pages(&self) -> usize;
}

/// The registration of an [`OomHandler`].
///
/// Dropping it waits until no call of the handler is going on.
///
/// # Invariants
///
/// `block` is pinned and registered.
#[pin_data(PinnedDrop)]
pub struct OomNotifier<T: OomHandler> {
    #[pin]
    block: Opaque<bindings::notifier_block>,
    handler: Arc<T>,
}

// SAFETY: The registration can be dropped from any thread, and so can an `Arc` of a type that is
// `Send` and `Sync`.
unsafe impl<T: OomHandler> Send for OomNotifier<T> {}
// SAFETY: A shared reference gives access to nothing.
unsafe impl<T: OomHandler> Sync for OomNotifier<T> {}

impl<T: OomHandler> OomNotifier<T> {
    /// Registers a handler. Those of higher priority are called first.
    pub fn new(priority: c_int, handler: Arc<T>) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            handler,
            block <- Opaque::try_ffi_init(move |slot: *mut bindings::notifier_block| {
                // SAFETY: `slot` is valid for writes.
                unsafe {
                    slot.write(bindings::notifier_block {
                        notifier_call: Some(Self::callback),
                        priority,
                        ..Default::default()
                    })
                };
                // SAFETY: `slot` is initialised and pinned, and unregistered before it goes. The
                // callback finds `handler`, which was initialised before.
                to_result(unsafe { bindings::register_oom_notifier(slot) })
            }),
        })
    }

    /// # Safety
    ///
    /// To be called by the kernel alone, with the block of an `OomNotifier<T>` and a pointer to
    /// the number of pages that were freed.
    unsafe extern "C" fn callback(
        block: *mut bindings::notifier_block,
        _action: kernel::ffi::c_ulong,
        freed: *mut c_void,
    ) -> c_int {
        // SAFETY: By the safety requirement; `Opaque` is `repr(transparent)`.
        let this = unsafe { container_of!(Opaque::cast_from(block), Self, block) };
        // SAFETY: The structure does not go away meanwhile: `drop()` waits for this call.
        let pages = unsafe { &(*this).handler }.free_pages();
        let freed = freed.cast::<kernel::ffi::c_ulong>();
        // SAFETY: By the safety requirement; nobody else uses the number meanwhile.
        unsafe { *freed = (*freed).saturating_add(pages) };
        // CAST: A small constant.
        bindings::NOTIFY_OK as c_int
    }
}

#[pinned_drop]
impl<T: OomHandler> PinnedDrop for OomNotifier<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariants the block is registered. This waits for calls that are
        // going on.
        unsafe { bindings::unregister_oom_notifier(self.block.get()) };
    }
}
