// SPDX-License-Identifier: GPL-2.0

//! The driver's files in debugfs.

use kernel::{
    debugfs::Stream,
    fmt,
    prelude::*,
    sync::Arc, //
};

/// What a file shows, as a whole.
pub(crate) trait Show: Send + Sync + 'static {
    /// Writes it.
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

/// The content of a file: one record.
pub(crate) struct Whole<T: Show>(pub(crate) Arc<T>);

#[vtable]
impl<T: Show> Stream for Whole<T> {
    type OwnerModule = crate::LocalModule;
    /// Whether a reader has come to the record.
    type Place = bool;

    fn begin(&self) -> Result<bool> {
        Ok(false)
    }

    fn advance(&self, place: &mut bool) -> Result<bool> {
        Ok(!core::mem::replace(place, true))
    }

    fn show(&self, _place: &bool, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.show(f)
    }
}
