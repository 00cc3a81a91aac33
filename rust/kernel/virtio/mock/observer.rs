// SPDX-License-Identifier: GPL-2.0

//! Looking on while mock devices work.

use super::Chain;
use crate::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// What all devices have done since the module was loaded.
static ACTIONS: Atomic<usize> = Atomic::new(0);

/// Returns how many things all devices have done: a buffer taken or given back, a callback, a
/// change of the configuration.
pub fn actions() -> usize {
    ACTIONS.load(Relaxed)
}

pub(super) fn act() {
    ACTIONS.fetch_add(1, Relaxed);
}

/// Looks at what goes through the virtqueues of a device, while it keeps the rules of the ring.
///
/// Both are called with the device locked and interrupts off, in the order of the ring. The
/// function reads from the buffer, from an offset on, and returns the number of bytes.
pub trait Observer: Send + Sync {
    /// The device has taken a buffer.
    fn popped(&self, chain: &Chain, read: &mut dyn FnMut(usize, &mut [u8]) -> usize);

    /// The device is about to give a buffer back.
    fn returned(&self, chain: &Chain, read: &mut dyn FnMut(usize, &mut [u8]) -> usize);
}
