// SPDX-License-Identifier: GPL-2.0

//! The `kernel` crate of Linux 7.2, with what that of 7.3 has besides and the crates here use.
//!
//! `Kbuild` puts it in the place of the `kernel` crate when the module is built for 7.2, so that
//! nothing else here knows of that. A module below has what its namesake has in 7.3.

#![crate_name = "kernel_compat"]

#[doc(no_inline)]
pub use kernel::*;

pub mod device;
mod device_table;
pub mod error;
pub mod module;
pub mod module_param;
pub mod prelude;
pub mod sync;

#[doc(hidden)]
pub use kernel::module_device_table as __module_device_table;
