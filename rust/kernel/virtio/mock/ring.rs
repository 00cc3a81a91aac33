// SPDX-License-Identifier: GPL-2.0

//! The device's side of a ring, split or packed.
//!
//! Specification: sections 2.7, "Split Virtqueues", and 2.8, "Packed Virtqueues". A device that is
//! told to break the rules writes whatever it is told to.

use crate::{
    bindings,
    prelude::*,
    sync::barrier::{
        smp_mb,
        Full, //
    },
};
use core::ptr::NonNull;

// CAST: Small constants.
const NEXT: u16 = bindings::VRING_DESC_F_NEXT as u16;
const WRITE: u16 = bindings::VRING_DESC_F_WRITE as u16;
const INDIRECT: u16 = bindings::VRING_DESC_F_INDIRECT as u16;
const AVAIL: u16 = 1 << bindings::VRING_PACKED_DESC_F_AVAIL;
const USED: u16 = 1 << bindings::VRING_PACKED_DESC_F_USED;
const NO_INTERRUPT: u16 = bindings::VRING_AVAIL_F_NO_INTERRUPT as u16;
const EVENT_DISABLE: u16 = bindings::VRING_PACKED_EVENT_FLAG_DISABLE as u16;

/// An entry of a chain.
#[derive(Clone, Copy, Debug)]
pub struct Descriptor {
    /// The guest physical address.
    pub address: u64,
    /// In bytes.
    pub len: u32,
    /// Whether the device may write to it.
    pub writable: bool,
}

impl Descriptor {
    /// Reads an entry of a ring of either kind.
    fn new(address: u64, len: u32, flags: u16) -> Result<Self> {
        if flags & INDIRECT != 0 {
            pr_err!("mock: an indirect descriptor, which was not negotiated\n");
            return Err(EINVAL);
        }
        Ok(Self {
            address,
            len,
            writable: flags & WRITE != 0,
        })
    }
}

/// A buffer that the driver has made available, in the hands of the device.
#[derive(Debug)]
pub struct Chain {
    /// The device's number of the virtqueue.
    pub queue: usize,
    /// By which the driver knows it.
    pub id: u16,
    pub(super) descriptors: KVec<Descriptor>,
    /// Of which set-up of the ring it is.
    pub(super) generation: u32,
}

impl Chain {
    /// Returns the entries.
    pub fn descriptors(&self) -> &[Descriptor] {
        &self.descriptors
    }

    /// Returns the length of all entries together, in bytes.
    pub fn bytes(&self) -> usize {
        self.descriptors.iter().map(|d| d.len as usize).sum()
    }

    /// Returns whether the device may write to it.
    pub fn is_writable(&self) -> bool {
        self.descriptors.iter().any(|d| d.writable)
    }
}

/// The device's side of a ring.
///
/// # Invariants
///
/// `vq` is a virtqueue whose ring has `num` entries in memory of the guest at `desc`, `driver` and
/// `device`, of the layout that `packed` says, until this is dropped.
pub(super) struct Ring {
    pub(super) vq: NonNull<bindings::virtqueue>,
    packed: bool,
    event_index: bool,
    num: u16,
    desc: NonNull<u8>,
    driver: NonNull<u8>,
    device: NonNull<u8>,
    next_available: u16,
    next_used: u16,
    /// The wrap counters of a packed ring.
    available_wraps: bool,
    used_wraps: bool,
    /// How many entries a buffer takes that the device has, by its id.
    lent: KVec<u16>,
    /// The device has broken the rules, so that nobody knows which memory it may still touch.
    pub(super) foul: bool,
    pub(super) generation: u32,
}

// SAFETY: A ring may be used from any thread; the device's lock serialises that.
unsafe impl Send for Ring {}

impl Ring {
    /// Takes the device's side of a virtqueue that was just created.
    ///
    /// # Safety
    ///
    /// The virtqueue must be valid, its ring allocated by `vring_create_virtqueue()` without the
    /// DMA API, and deleted only after the value was dropped.
    pub(super) unsafe fn new(
        vq: NonNull<bindings::virtqueue>,
        packed: bool,
        event_index: bool,
        generation: u32,
    ) -> Result<Self> {
        // SAFETY: By the safety requirement.
        let num = unsafe { bindings::virtqueue_get_vring_size(vq.as_ptr()) };
        let memory = |address| {
            // SAFETY: The address is that of memory that the ring was allocated in.
            NonNull::new(unsafe { bindings::next_mock_memory(address) }.cast()).ok_or(EINVAL)
        };
        let mut lent = KVec::with_capacity(num as usize, GFP_KERNEL)?;
        lent.resize(num as usize, 0, GFP_KERNEL)?;
        // INVARIANT: By the safety requirement.
        Ok(Self {
            vq,
            packed,
            event_index,
            num: u16::try_from(num).map_err(|_| EINVAL)?,
            // SAFETY: By the safety requirement.
            desc: memory(unsafe { bindings::virtqueue_get_desc_addr(vq.as_ptr()) })?,
            // SAFETY: As above.
            driver: memory(unsafe { bindings::virtqueue_get_avail_addr(vq.as_ptr()) })?,
            // SAFETY: As above.
            device: memory(unsafe { bindings::virtqueue_get_used_addr(vq.as_ptr()) })?,
            next_available: 0,
            next_used: 0,
            available_wraps: true,
            used_wraps: true,
            lent,
            foul: false,
            generation,
        })
    }

    /// Returns the number of entries.
    pub(super) fn size(&self) -> u16 {
        self.num
    }

    fn split_entry(&self, index: u16) -> bindings::vring_desc {
        let at = usize::from(index.checked_rem(self.num).unwrap_or(0));
        // SAFETY: By the type invariants; `at` is less than `num`.
        unsafe {
            self.desc
                .cast::<bindings::vring_desc>()
                .add(at)
                .read_volatile()
        }
    }

    fn packed_entry(&self, index: u16) -> NonNull<bindings::vring_packed_desc> {
        let at = usize::from(index.checked_rem(self.num).unwrap_or(0));
        // SAFETY: By the type invariants; `at` is less than `num`.
        unsafe { self.desc.cast::<bindings::vring_packed_desc>().add(at) }
    }

    /// Returns the 16-bit word at an index of the driver's area.
    fn driver_word(&self, index: usize) -> u16 {
        // SAFETY: By the type invariants; the callers name words that both layouts have.
        unsafe { self.driver.cast::<u16>().add(index).read_volatile() }
    }

    fn set_device_word(&mut self, index: usize, value: u16) {
        // SAFETY: As above.
        unsafe { self.device.cast::<u16>().add(index).write_volatile(value) };
    }

    /// Returns how many buffers a split ring has available, or whether a packed one has any.
    pub(super) fn available(&self) -> u16 {
        if self.packed {
            // SAFETY: By the type invariants.
            let flags = unsafe { self.packed_entry(self.next_available).read_volatile() }.flags;
            let available = (flags & AVAIL != 0) == self.available_wraps
                && (flags & USED != 0) != self.available_wraps;
            u16::from(available)
        } else {
            self.driver_word(1).wrapping_sub(self.next_available)
        }
    }

    /// Takes the next buffer that the driver has made available.
    pub(super) fn pop(&mut self, queue: usize) -> Result<Option<Chain>> {
        if self.available() == 0 {
            return Ok(None);
        }
        smp_mb(Full);
        let (id, entries, descriptors) = if self.packed {
            self.pop_packed()?
        } else {
            self.pop_split()?
        };
        if let Some(lent) = self.lent.get_mut(usize::from(id)) {
            *lent = entries;
        }
        Ok(Some(Chain {
            queue,
            id,
            descriptors,
            generation: self.generation,
        }))
    }

    fn pop_split(&mut self) -> Result<(u16, u16, KVec<Descriptor>)> {
        let slot = usize::from(self.next_available.checked_rem(self.num).unwrap_or(0));
        let id = self.driver_word(2 + slot);
        let mut descriptors = KVec::new();
        let mut at = id;
        for _ in 0..self.num {
            let entry = self.split_entry(at);
            descriptors.push(
                Descriptor::new(entry.addr, entry.len, entry.flags)?,
                GFP_ATOMIC,
            )?;
            if entry.flags & NEXT == 0 {
                break;
            }
            at = entry.next;
        }
        self.next_available = self.next_available.wrapping_add(1);
        if self.event_index {
            // After the used ring: it wants to be notified of the next one.
            let at = 2 + 4 * usize::from(self.num);
            self.set_device_word(at, self.next_available);
            smp_mb(Full);
        }
        Ok((id, 1, descriptors))
    }

    fn pop_packed(&mut self) -> Result<(u16, u16, KVec<Descriptor>)> {
        let mut descriptors = KVec::new();
        let mut id = 0;
        let mut entries = 0u16;
        for _ in 0..self.num {
            // SAFETY: By the type invariants.
            let entry = unsafe { self.packed_entry(self.next_available).read_volatile() };
            descriptors.push(
                Descriptor::new(entry.addr, entry.len, entry.flags)?,
                GFP_ATOMIC,
            )?;
            id = entry.id;
            entries += 1;
            self.next_available += 1;
            if self.next_available >= self.num {
                self.next_available = 0;
                self.available_wraps = !self.available_wraps;
            }
            if entry.flags & NEXT == 0 {
                break;
            }
        }
        Ok((id, entries, descriptors))
    }

    /// Returns whether the device has a buffer of this id.
    pub(super) fn has(&self, id: u32) -> bool {
        self.lent.get(id as usize).is_some_and(|&lent| lent > 0)
    }

    /// Says that a buffer was used, whichever, of which `len` bytes were written.
    pub(super) fn push(&mut self, id: u32, len: u32) {
        let entries = match self.lent.get_mut(id as usize) {
            Some(lent) => core::mem::take(lent),
            None => 0,
        };
        if entries == 0 {
            self.foul = true;
        }
        if self.packed {
            self.push_packed(id, len, entries.max(1));
        } else {
            self.push_split(id, len);
        }
    }

    fn push_split(&mut self, id: u32, len: u32) {
        let slot = usize::from(self.next_used.checked_rem(self.num).unwrap_or(0));
        // SAFETY: By the type invariants: the entries of the used ring follow two words.
        unsafe {
            let entry = self.device.add(4).cast::<u32>().add(2 * slot);
            entry.write_volatile(id);
            entry.add(1).write_volatile(len);
        }
        smp_mb(Full);
        self.next_used = self.next_used.wrapping_add(1);
        self.set_device_word(1, self.next_used);
    }

    fn push_packed(&mut self, id: u32, len: u32, entries: u16) {
        let entry = self.packed_entry(self.next_used);
        let flags = if self.used_wraps { AVAIL | USED } else { 0 };
        // SAFETY: By the type invariants.
        unsafe {
            (&raw mut (*entry.as_ptr()).len).write_volatile(len);
            // CAST: A device that names no id that there is names another one here.
            (&raw mut (*entry.as_ptr()).id).write_volatile(id as u16);
        }
        smp_mb(Full);
        // SAFETY: By the type invariants.
        unsafe { (&raw mut (*entry.as_ptr()).flags).write_volatile(flags) };
        let next = u32::from(self.next_used) + u32::from(entries);
        if next >= u32::from(self.num) {
            self.used_wraps = !self.used_wraps;
        }
        // CAST: A remainder of 16 bits.
        self.next_used = next.checked_rem(u32::from(self.num)).unwrap_or(0) as u16;
    }

    /// Says that more (or fewer) buffers were used than were.
    pub(super) fn jump(&mut self, by: u16) {
        self.foul = true;
        if self.packed {
            let flags = if self.used_wraps { AVAIL | USED } else { 0 };
            let entry = self.packed_entry(self.next_used.wrapping_add(by));
            // SAFETY: By the type invariants.
            unsafe { (&raw mut (*entry.as_ptr()).flags).write_volatile(flags) };
        } else {
            self.next_used = self.next_used.wrapping_add(by);
            self.set_device_word(1, self.next_used);
        }
    }

    /// Returns whether the driver wants to be called when the buffer is used that was used last.
    pub(super) fn wants_callback(&self) -> bool {
        smp_mb(Full);
        if self.packed {
            self.driver_word(1) != EVENT_DISABLE
        } else if self.event_index {
            self.driver_word(2 + usize::from(self.num)) == self.next_used.wrapping_sub(1)
        } else {
            self.driver_word(0) & NO_INTERRUPT == 0
        }
    }

    /// Asks not to be notified, or to be notified again.
    pub(super) fn ask_for_notifications(&mut self, wanted: bool) {
        if self.packed {
            let flags = if wanted { 0 } else { EVENT_DISABLE };
            self.set_device_word(1, flags);
        } else if self.event_index {
            let event = if wanted {
                self.next_available
            } else {
                self.next_available.wrapping_sub(1)
            };
            let at = 2 + 4 * usize::from(self.num);
            self.set_device_word(at, event);
        } else {
            self.set_device_word(0, u16::from(!wanted));
        }
        smp_mb(Full);
    }
}
