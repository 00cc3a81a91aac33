// SPDX-License-Identifier: GPL-2.0

//! Debugfs: what the kernel crate has, and files whose content is made while they are read.
//!
//! C header: [`include/linux/debugfs.h`](srctree/include/linux/debugfs.h)

mod stream;

pub use self::stream::{
    Stream,
    StreamDir,
    StreamFile, //
};
#[doc(no_inline)]
pub use kernel::debugfs::*;
