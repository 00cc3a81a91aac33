// SPDX-License-Identifier: GPL-2.0

//! The memory behind the buffers that a mock device has.

use super::{
    ring::Ring,
    Chain,
    MockDevice, //
};
use crate::bindings;
use core::ptr::NonNull;

impl MockDevice {
    /// Reads from a buffer that the device has. Returns the number of bytes.
    pub fn read(&self, chain: &Chain, offset: usize, bytes: &mut [u8]) -> usize {
        let mut hw = self.mock.hardware.lock();
        hw.owner(chain)
            .map_or(0, |ring| ring.read(chain, offset, bytes))
    }

    /// Writes to a buffer that the device has, whether it may or not. Returns the number of bytes.
    pub fn write(&self, chain: &Chain, offset: usize, bytes: &[u8]) -> usize {
        let mut hw = self.mock.hardware.lock();
        let Some(ring) = hw.owner(chain) else {
            return 0;
        };
        let mut done = 0;
        ring.each_byte(chain, offset, bytes.len(), |nth, at| {
            if let Some(&byte) = bytes.get(nth) {
                // SAFETY: The byte is part of a buffer that the driver has made available, and
                // does not take back before the device's lock is released.
                unsafe { at.write_volatile(byte) };
                done += 1;
            }
        });
        done
    }

    /// Reads a little-endian number from a buffer that the device has.
    pub fn read_u32(&self, chain: &Chain, offset: usize) -> Option<u32> {
        let mut bytes = [0; 4];
        (self.read(chain, offset, &mut bytes) == 4).then_some(u32::from_le_bytes(bytes))
    }

    /// Overwrites the start and the end of each entry that the device may write to, as a host that
    /// discards the memory would.
    pub fn scribble(&self, chain: &Chain) {
        for entry in chain.descriptors().iter().filter(|entry| entry.writable) {
            let mut hw = self.mock.hardware.lock();
            if hw.owner(chain).is_none() || entry.len < 8 {
                return;
            }
            for at in [entry.address, entry.address + u64::from(entry.len) - 8] {
                overwrite(at);
            }
        }
    }

    /// Overwrites the start of the 4 KiB page that is in the balloon, unless the device was reset.
    ///
    /// The caller sees to it that the driver has given the page away, through `queue`.
    pub fn scribble_page(&self, queue: usize, pfn: u32) {
        const PAGE_SHIFT: u32 = 12;
        let mut hw = self.mock.hardware.lock();
        if hw.ring(queue).is_some_and(|ring| !ring.foul) {
            overwrite(u64::from(pfn) << PAGE_SHIFT);
        }
    }
}

impl Ring {
    /// Reads from a buffer that the device has. Returns the number of bytes.
    pub(super) fn read(&self, chain: &Chain, offset: usize, bytes: &mut [u8]) -> usize {
        let mut done = 0;
        self.each_byte(chain, offset, bytes.len(), |nth, at| {
            if let Some(byte) = bytes.get_mut(nth) {
                // SAFETY: The byte is part of a buffer that the driver has made available, and
                // does not take back before the device's lock is released.
                *byte = unsafe { at.read_volatile() };
                done += 1;
            }
        });
        done
    }

    /// Calls `f` for `len` bytes of a buffer, or as many as it has, with their number and address.
    fn each_byte(
        &self,
        chain: &Chain,
        offset: usize,
        len: usize,
        mut f: impl FnMut(usize, NonNull<u8>),
    ) {
        let mut skip = offset;
        let mut done = 0;
        for entry in chain.descriptors() {
            let size = entry.len as usize;
            if skip >= size {
                skip -= size;
                continue;
            }
            // SAFETY: The address is that of memory of the guest.
            let memory = unsafe { bindings::next_mock_memory(entry.address) };
            let Some(memory) = NonNull::new(memory.cast::<u8>()) else {
                return;
            };
            for at in skip..size {
                if done >= len {
                    return;
                }
                // SAFETY: The entry has `size` bytes.
                f(done, unsafe { memory.add(at) });
                done += 1;
            }
            skip = 0;
        }
    }
}

/// Overwrites eight bytes of the guest's memory that were given to the device.
fn overwrite(address: u64) {
    // SAFETY: The address is that of memory of the guest.
    let memory = unsafe { bindings::next_mock_memory(address) };
    if let Some(memory) = NonNull::new(memory.cast::<u64>()) {
        // SAFETY: The memory is the device's until it gives the buffer back.
        unsafe { memory.write_unaligned(0xdead_face_dead_face) };
    }
}
