// SPDX-License-Identifier: GPL-2.0

//! What is in scope in most files.

pub use crate::__module as module;
#[doc(no_inline)]
pub use crate::error::code::EOPNOTSUPP;
#[doc(no_inline)]
pub use kernel::prelude::*;
