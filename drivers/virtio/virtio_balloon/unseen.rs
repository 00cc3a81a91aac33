// SPDX-License-Identifier: GPL-2.0

//! What the host was not notified of.

use kernel::{
    prelude::*,
    virtio::{
        Buffer,
        Queue, //
    }, //
};

/// Buffers that were added to a virtqueue since the host was notified.
#[derive(Default)]
pub(crate) struct Unseen(usize);

impl Unseen {
    /// One was added.
    pub(crate) fn add(&mut self) {
        self.0 = self.0.saturating_add(1);
    }

    /// Returns whether there are any.
    pub(crate) fn is_empty(&self) -> bool {
        self.0 == 0
    }

    /// Notifies the host if it asks for that, and there are as many as `least`, but at least one:
    /// a ring without event indexes may ask for it although there is nothing new.
    ///
    /// Returns whether it was notified, or [`None`] if there are not as many. If it fails they
    /// stay, for the next attempt.
    pub(crate) fn kick<B: Buffer>(
        &mut self,
        queue: &Queue<'_, B>,
        least: usize,
    ) -> Result<Option<bool>> {
        if self.0 < least.max(1) {
            return Ok(None);
        }
        let notified = queue.kick()?;
        self.0 = 0;
        Ok(Some(notified))
    }
}
