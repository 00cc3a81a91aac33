// SPDX-License-Identifier: GPL-2.0

//! The kernel crate's bindings, and those that it lacks.
//!
//! Upstream these are a few more lines in `rust/bindings/bindings_helper.h`.

#![allow(
    clippy::all,
    clippy::as_underscore,
    clippy::cast_lossless,
    clippy::ptr_as_ptr,
    clippy::ref_as_ptr,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn
)]

/// What `bindgen` made of `rust/bindings/bindings_helper.h`.
mod headers {
    use kernel::ffi;

    // Types of headers that the kernel crate binds already. What is generated here wins over
    // the globs.
    pub use super::helpers::*;
    pub use kernel::bindings::*;

    include!(concat!(
        env!("KERNEL_NEXT_OBJTREE"),
        "/rust/bindings/bindings_generated.rs"
    ));
}

/// What `bindgen` made of `rust/helpers/helpers.c`.
mod helpers {
    use super::headers::*;
    use kernel::ffi;

    include!(concat!(
        env!("KERNEL_NEXT_OBJTREE"),
        "/rust/bindings/bindings_helpers_generated.rs"
    ));
}

pub use headers::*;
