// SPDX-License-Identifier: GPL-2.0

//! Feature bits.

use crate::{
    bindings,
    device,
    prelude::*, //
};

use super::Device;

/// A feature bit.
///
/// # Invariants
///
/// The number is less than the number of feature bits that the kernel has.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature(c_uint);

impl Feature {
    /// Large sets of buffers in one entry of the ring (specification, section 2.7.5.3).
    pub const RING_INDIRECT_DESC: Self = Self::of::<{ bindings::VIRTIO_RING_F_INDIRECT_DESC }>();

    /// The device reaches memory as the platform says: through an IOMMU, or not all of it.
    pub const ACCESS_PLATFORM: Self = Self::of::<{ bindings::VIRTIO_F_ACCESS_PLATFORM }>();

    /// The device uses buffers in the order in which they were made available.
    pub const IN_ORDER: Self = Self::of::<{ bindings::VIRTIO_F_IN_ORDER }>();

    /// The device follows version 1 of the specification or later.
    pub const VERSION_1: Self = Self::of::<{ bindings::VIRTIO_F_VERSION_1 }>();

    /// Returns the feature of a bit number. Without such a bit it does not compile.
    pub const fn of<const BIT: c_uint>() -> Self {
        const { assert!(BIT < bindings::NEXT_VIRTIO_FEATURES_BITS) }
        // INVARIANT: Just checked.
        Self(BIT)
    }

    /// Returns the bit number.
    pub const fn bit(self) -> c_uint {
        self.0
    }

    /// Returns a table as the C side takes it.
    pub(super) fn table(features: &'static [Feature]) -> *const c_uint {
        // `Feature` is `repr(transparent)`.
        features.as_ptr().cast()
    }
}

/// The negotiation of features, as far as the driver has a say in it.
pub struct Negotiation<'a> {
    dev: &'a Device<device::Core<'a>>,
}

impl<'a> Negotiation<'a> {
    pub(super) fn new(dev: &'a Device<device::Core<'a>>) -> Self {
        Self { dev }
    }

    /// Returns whether the feature is about to be accepted.
    pub fn accepts(&self, feature: Feature) -> bool {
        self.dev.has_feature(feature)
    }

    /// Refuses a feature.
    pub fn refuse(&mut self, feature: Feature) {
        // SAFETY: `dev` is valid. Nobody else uses the features before they are negotiated.
        unsafe { bindings::next_virtio_clear_bit(self.dev.as_raw(), feature.bit()) };
    }
}
