// SPDX-License-Identifier: GPL-2.0

//! The configuration space of a mock device, from both sides.

use super::{
    act,
    Context,
    Mock,
    MockDevice, //
};
use crate::{
    bindings,
    prelude::*, //
};

impl Mock {
    pub(super) extern "C" fn get(
        vdev: *mut bindings::virtio_device,
        offset: c_uint,
        buf: *mut c_void,
        len: c_uint,
    ) {
        // SAFETY: The bus calls this with a device of ours.
        let this = unsafe { Self::of(vdev) };
        let mut hw = this.hardware.lock();
        hw.reads = hw.reads.wrapping_add(1);
        for nth in 0..len as usize {
            let at = (offset as usize).wrapping_add(nth);
            let mut byte = hw.setup.config.get(at).copied().unwrap_or(0xff);
            if hw.defects.flickers > 0 {
                // CAST: Any byte will do.
                byte = byte.wrapping_add((hw.reads as u8).wrapping_mul(97));
            }
            // SAFETY: The caller has room for `len` bytes.
            unsafe { buf.cast::<u8>().add(nth).write(byte) };
        }
        hw.defects.flickers = hw.defects.flickers.saturating_sub(1);
    }

    pub(super) extern "C" fn set(
        vdev: *mut bindings::virtio_device,
        offset: c_uint,
        buf: *const c_void,
        len: c_uint,
    ) {
        // SAFETY: The bus calls this with a device of ours.
        let this = unsafe { Self::of(vdev) };
        let mut hw = this.hardware.lock();
        for nth in 0..len as usize {
            let at = (offset as usize).wrapping_add(nth);
            if let Some(byte) = hw.setup.config.get_mut(at) {
                // SAFETY: The caller has `len` bytes.
                *byte = unsafe { buf.cast::<u8>().add(nth).read() };
            }
        }
        drop(hw);
        this.activity.signal();
    }
}

impl MockDevice {
    /// Returns a little-endian field of the configuration space.
    pub fn config(&self, offset: usize) -> u32 {
        let hw = self.mock.hardware.lock();
        let mut bytes = [0; 4];
        for (nth, byte) in bytes.iter_mut().enumerate() {
            *byte = hw.setup.config.get(offset + nth).copied().unwrap_or(0);
        }
        u32::from_le_bytes(bytes)
    }

    /// Changes a little-endian field of the configuration space, and does not say so.
    pub fn set_config(&self, offset: usize, value: u32) {
        act();
        let mut hw = self.mock.hardware.lock();
        for (nth, byte) in value.to_le_bytes().into_iter().enumerate() {
            if let Some(at) = hw.setup.config.get_mut(offset + nth) {
                *at = byte;
            }
        }
    }

    /// Returns how often the driver has read the configuration space.
    pub fn config_reads(&self) -> usize {
        self.mock.hardware.lock().reads
    }

    /// Says that the configuration space has changed.
    pub fn config_changed(&self, context: Context) {
        if self.registered {
            act();
            // SAFETY: The device is on the bus.
            context.call(|| unsafe { bindings::virtio_config_changed(self.vdev()) });
        }
    }
}
