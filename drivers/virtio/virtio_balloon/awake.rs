// SPDX-License-Identifier: GPL-2.0

//! What the machine has to stay awake for.

pub(crate) use kernel::pm::StayAwake as Awake;

/// The balloon is on its way to another size.
pub(crate) const RESIZING: u32 = 1 << 0;

/// The host waits for statistics.
pub(crate) const STATISTICS: u32 = 1 << 1;
