// SPDX-License-Identifier: GPL-2.0

//! The configuration space of a device.

use crate::{
    bindings,
    device,
    prelude::*, //
};
use core::marker::PhantomData;

use super::Device;

/// Types that a field of a configuration space can have.
pub trait ConfigValue: private::Sealed + Copy {}

impl ConfigValue for u32 {}

mod private {
    pub trait Sealed {}
    impl Sealed for u32 {}
}

/// A little-endian field of the configuration space.
///
/// The fields of devices that existed before version 1 of the specification are in the guest's
/// byte order when the device is a legacy one. The balloon's are not: they are little-endian
/// always (specification, section 5.5.4.0.0.1).
#[derive(Clone, Copy)]
pub struct ConfigField<T: ConfigValue> {
    offset: c_uint,
    _value: PhantomData<fn() -> T>,
}

impl<T: ConfigValue> ConfigField<T> {
    /// Returns the field at an offset in bytes from the start of the configuration space.
    pub const fn at<const OFFSET: usize>() -> Self {
        const { assert!(OFFSET <= c_uint::MAX as usize) }
        Self {
            // CAST: Just checked.
            offset: OFFSET as c_uint,
            _value: PhantomData,
        }
    }
}

impl Device<device::Bound> {
    /// Returns whether the device has a configuration space that can be read.
    pub fn has_config(&self) -> bool {
        // SAFETY: By the type invariants the device is valid.
        unsafe { bindings::next_virtio_has_config(self.as_raw()) }
    }

    /// Reads a field.
    ///
    /// This is a trap into the host, and the value is whatever the host says.
    pub fn read_config(&self, field: ConfigField<u32>) -> Result<u32> {
        if !self.has_config() {
            return Err(EOPNOTSUPP);
        }
        // SAFETY: The device is valid and has an operation to read its configuration.
        Ok(unsafe { bindings::next_virtio_cread_le32(self.as_raw(), field.offset) })
    }

    /// Writes a field, all of its bytes at once. This is a trap into the host.
    pub fn write_config(&self, field: ConfigField<u32>, value: u32) -> Result {
        // SAFETY: By the type invariants the device is valid.
        if !unsafe { bindings::next_virtio_has_config_set(self.as_raw()) } {
            return Err(EOPNOTSUPP);
        }
        // SAFETY: The device is valid and has an operation to write its configuration.
        unsafe { bindings::next_virtio_cwrite_le32(self.as_raw(), field.offset, value) };
        Ok(())
    }
}
