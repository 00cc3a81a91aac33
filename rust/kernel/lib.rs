// SPDX-License-Identifier: GPL-2.0

//! The `kernel` crate, plus the abstractions that are not upstream yet.
//!
//! A driver says `extern crate kernel_next as kernel;` and then reads as it would in the kernel
//! tree: everything of the real `kernel` crate is re-exported here, and the modules below are what
//! is to become part of it. A module of the same name shadows the kernel's, and re-exports it.

#![crate_name = "kernel_next"]

#[doc(no_inline)]
pub use kernel::*;

#[doc(hidden)]
pub mod bindings;
pub mod debugfs;
pub mod kvec;
pub mod mm;
pub mod pm;
pub mod scatter_bitmap;
#[cfg(CONFIG_RUST_KERNEL_NEXT_KUNIT_TEST)]
mod scatter_bitmap_test;
pub mod sync;
#[cfg(CONFIG_RUST_KERNEL_NEXT_KUNIT_TEST)]
pub mod testing;
pub mod thread;
pub mod tracepoint;
pub mod virtio;
pub mod workqueue;

/// Prefix to appear before log messages printed from within this crate.
#[allow(
    dead_code,
    reason = "used by `pr_*!`, which not every configuration calls here"
)]
const __LOG_PREFIX: &[u8] = b"rust_kernel\0";

/// The module that this crate is part of.
#[cfg(CONFIG_RUST_KERNEL_NEXT_KUNIT_TEST)]
struct LocalModule;

#[cfg(CONFIG_RUST_KERNEL_NEXT_KUNIT_TEST)]
impl ModuleMetadata for LocalModule {
    const NAME: &'static str::CStr = c"rust_kernel";

    #[cfg(not(KERNEL_COMPAT))]
    const THIS_MODULE: ThisModule = {
        extern "C" {
            // A `struct module`, of which only the address matters.
            static __this_module: u8;
        }

        // SAFETY: The kernel makes it as it loads the module, and it is there as long as that is.
        unsafe { ThisModule::from_ptr((&raw const __this_module).cast_mut().cast()) }
    };
}
