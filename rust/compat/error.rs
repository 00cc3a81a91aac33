// SPDX-License-Identifier: GPL-2.0

//! Errors.

#[doc(no_inline)]
pub use kernel::error::*;

/// Error codes.
pub mod code {
    #[doc(no_inline)]
    pub use kernel::error::code::*;

    use crate::{
        bindings,
        error::Error, //
    };
    use core::num::NonZeroI32;

    /// Operation not supported on transport endpoint.
    pub const EOPNOTSUPP: Error = match NonZeroI32::new(-(bindings::EOPNOTSUPP as i32)) {
        // SAFETY: An `Error` is a number of this type, which is that of a code, below zero.
        Some(number) => unsafe { core::mem::transmute::<NonZeroI32, Error>(number) },
        None => EINVAL,
    };
}
