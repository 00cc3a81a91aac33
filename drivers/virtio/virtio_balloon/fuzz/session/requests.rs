// SPDX-License-Identifier: GPL-2.0

//! Requests for the free page bitmap.

use kernel::{
    mm::Nodes,
    prelude::*,
    virtio::mock::{
        Chain,
        Context, //
    }, //
};

use super::Session;
use crate::fuzz::{
    model::FreePages,
    random::Random,
    step::Role, //
};

impl Session {
    /// Writes a request into a request buffer, and gives it back.
    pub(super) fn request(&mut self, bytes: &[u8; 32], len: u32, context: Context) -> Result {
        if self.free_pages != FreePages::Bitmaps || self.silent & Role::FreePage.bit() != 0 {
            return Ok(());
        }
        for _ in 0..8 {
            let slot = self
                .held
                .get(Role::FreePage as usize)
                .and_then(|held| held.iter().position(Chain::is_writable));
            if let Some(nth) = slot {
                if let Some(chain) = self
                    .held
                    .get(Role::FreePage as usize)
                    .and_then(|held| held.get(nth))
                {
                    self.device.write(chain, 0, bytes);
                }
                // CAST: A short list.
                self.complete(Role::FreePage, nth as u32, Some(len), context);
                return Ok(());
            }
            if !self.pop(Role::FreePage)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Returns a request that is in order.
    pub(super) fn good_request(&mut self, random: &mut Random) -> [u8; 32] {
        let end = Nodes::end_pfn() as u64;
        self.last_request = match self.last_request.wrapping_add(1 + random.below(3)) {
            0 => 1,
            id => id,
        };
        let order = random.below(11);
        let start = if random.once_in(2) {
            0
        } else {
            random.next().checked_rem(end).unwrap_or(0)
        };
        let stop = match random.below(3) {
            0 => 1 << 52,
            1 => end,
            _ => start + 1 + random.next() % 100_000,
        };
        let caches = if random.once_in(16) {
            random.below(4)
        } else {
            0
        };
        let mut bytes = [0; 32];
        put(&mut bytes, 0, &self.last_request.to_le_bytes());
        // CAST: Small numbers.
        let isolated = u8::from(random.once_in(3));
        put(&mut bytes, 4, &[1, caches as u8, order as u8, isolated]);
        put(&mut bytes, 8, &start.to_le_bytes());
        put(&mut bytes, 16, &stop.max(start + 1).to_le_bytes());
        bytes
    }
}

/// Overwrites a part of a request.
pub(super) fn put(bytes: &mut [u8; 32], at: usize, value: &[u8]) {
    for (nth, &byte) in value.iter().enumerate() {
        if let Some(slot) = bytes.get_mut(at + nth) {
            *slot = byte;
        }
    }
}
