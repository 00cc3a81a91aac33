// SPDX-License-Identifier: GPL-2.0

//! Synchronisation: what the kernel crate has, and waiting with a time limit.

mod event;

pub use self::event::Event;
pub use kernel::sync::*;
