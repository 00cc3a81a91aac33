// SPDX-License-Identifier: GPL-2.0

//! What a mock device is like, and what is wrong with it.

use super::Feature;

/// Most virtqueues of a device.
pub const MAX_QUEUES: usize = 8;

/// Bytes of the configuration space.
pub const CONFIG_BYTES: usize = 64;

/// What a device is like before a driver sees it.
#[derive(Clone)]
pub struct Setup {
    /// The device type.
    pub id: u32,
    /// The features that it offers.
    pub features: u64,
    /// The sizes of its virtqueues, in its own order; 0 for one that it does not have.
    pub sizes: [u16; MAX_QUEUES],
    /// The configuration space.
    pub config: [u8; CONFIG_BYTES],
}

impl Setup {
    /// A device with queues of 128 entries that offers version 1 and nothing else.
    pub fn new(id: u32) -> Self {
        Self {
            id,
            features: 0,
            sizes: [128; MAX_QUEUES],
            config: [0; CONFIG_BYTES],
        }
        .offer(Feature::VERSION_1)
    }

    /// Offers a feature.
    pub fn offer(mut self, feature: Feature) -> Self {
        self.features |= 1u64.checked_shl(feature.bit()).unwrap_or(0);
        self
    }
}

/// What is wrong with a device.
#[derive(Clone, Copy, Debug, Default)]
pub struct Defects {
    /// It refuses the features that were negotiated.
    pub refuses_features: bool,
    /// Its virtqueues cannot be set up.
    pub no_queues: bool,
    /// Notifications do not reach it.
    pub deaf: bool,
    /// A reset does not complete: it keeps its status, and goes on as before.
    pub never_resets: bool,
    /// So many of the next reads of the configuration give something else each time.
    pub flickers: u32,
}
