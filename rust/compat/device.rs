// SPDX-License-Identifier: GPL-2.0

//! Devices.

#[doc(no_inline)]
pub use kernel::device::*;

/// The context of a bus's callbacks that come at any time while a driver is bound.
///
/// In 7.2 only the context of those that bind and unbind lets a bus see the driver's data, so this
/// is that one; it lets it do more than it should.
pub type BoundInternal = CoreInternal<'static>;
