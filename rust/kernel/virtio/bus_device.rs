// SPDX-License-Identifier: GPL-2.0

//! The device.

use crate::{
    bindings,
    device,
    prelude::*,
    types::Opaque, //
};
use core::{
    marker::PhantomData,
    mem::offset_of,
    ptr::NonNull, //
};

use super::Feature;

/// The virtio device representation.
///
/// This structure represents the Rust abstraction for a C `struct virtio_device`. The
/// implementation abstracts the usage of an already existing C `struct virtio_device` within Rust
/// code that we get passed from the C side.
///
/// # Invariants
///
/// A [`Device`] instance represents a valid `struct virtio_device` created by the C portion of
/// the kernel.
#[repr(transparent)]
pub struct Device<Ctx: device::DeviceContext = device::Normal>(
    Opaque<bindings::virtio_device>,
    PhantomData<Ctx>,
);

impl<Ctx: device::DeviceContext> Device<Ctx> {
    pub(super) fn as_raw(&self) -> *mut bindings::virtio_device {
        self.0.get()
    }

    /// Returns the number of the device on the virtio bus: that of device `virtio0` is 0.
    pub fn index(&self) -> c_int {
        // SAFETY: By the type invariants the device is valid; its index never changes.
        unsafe { (*self.as_raw()).index }
    }

    /// Returns whether a feature was negotiated.
    pub fn has_feature(&self, feature: Feature) -> bool {
        // SAFETY: By the type invariants the device is valid.
        unsafe { bindings::next_virtio_test_bit(self.as_raw(), feature.bit()) }
    }

    /// Returns a number in the byte order of the rings of this device.
    ///
    /// That is little-endian, but for legacy devices the guest's own.
    pub fn to_virtio<T: VirtioNumber>(&self, value: T) -> T {
        // SAFETY: By the type invariants the device is valid.
        if unsafe { bindings::next_virtio_is_little_endian(self.as_raw()) } {
            value.to_le()
        } else {
            value
        }
    }
}

/// Numbers that devices and drivers exchange in memory.
pub trait VirtioNumber: Copy {
    /// Returns the number in little-endian byte order.
    fn to_le(self) -> Self;
}

macro_rules! impl_virtio_number {
    ($($number:ty)*) => {
        $(impl VirtioNumber for $number {
            fn to_le(self) -> Self {
                <$number>::to_le(self)
            }
        })*
    };
}

impl_virtio_number!(u16 u32 u64);

impl Device<device::Core<'_>> {
    /// Returns whether the device offers a feature, accepted or not.
    ///
    /// Devices number their virtqueues by what they offer.
    pub fn offers(&self, feature: Feature) -> bool {
        // SAFETY: By the type invariants the device is valid.
        unsafe { bindings::next_virtio_offers(self.as_raw(), feature.bit()) }
    }
}

// SAFETY: `virtio::Device` is a transparent wrapper of `struct virtio_device`.
// The offset is guaranteed to point to a valid device field inside `virtio::Device`.
unsafe impl<Ctx: device::DeviceContext> device::AsBusDevice<Ctx> for Device<Ctx> {
    const OFFSET: usize = offset_of!(bindings::virtio_device, dev);
}

// SAFETY: `Device` is a transparent wrapper of a type that doesn't depend on `Device`'s generic
// argument.
kernel::impl_device_context_deref!(unsafe { Device });
kernel::impl_device_context_into_aref!(Device);

// SAFETY: Instances of `Device` are always reference-counted.
unsafe impl crate::sync::aref::AlwaysRefCounted for Device {
    fn inc_ref(&self) {
        // SAFETY: The existence of a shared reference guarantees that the refcount is non-zero.
        unsafe { bindings::get_device(&raw mut (*self.as_raw()).dev) };
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // CAST: `Self` is a transparent wrapper of `bindings::virtio_device`.
        let vdev: *mut bindings::virtio_device = obj.cast().as_ptr();

        // SAFETY: The safety requirements guarantee that the device is valid and its refcount
        // non-zero.
        unsafe { bindings::put_device(&raw mut (*vdev).dev) }
    }
}

impl<Ctx: device::DeviceContext> AsRef<device::Device<Ctx>> for Device<Ctx> {
    fn as_ref(&self) -> &device::Device<Ctx> {
        // SAFETY: By the type invariant of `Self`, `self.as_raw()` is a pointer to a valid
        // `struct virtio_device`, and this makes no reference to it.
        let dev = unsafe { &raw mut (*self.as_raw()).dev };

        // SAFETY: `dev` points to a valid `struct device`.
        unsafe { device::Device::from_raw(dev) }
    }
}

// SAFETY: A `Device` is always reference-counted and can be released from any thread.
unsafe impl Send for Device {}

// SAFETY: `Device` can be shared among threads because all methods of `Device`
// (i.e. `Device<Normal>`) are thread safe.
unsafe impl Sync for Device {}

// SAFETY: Same as `Device<Normal>`: the underlying `struct virtio_device` is the same; `Bound` is
// a zero-sized type-state marker that does not affect thread safety.
unsafe impl Sync for Device<device::Bound> {}
