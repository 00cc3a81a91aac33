// SPDX-License-Identifier: GPL-2.0

//! Virtqueues.

use crate::{
    bindings, device,
    error::to_result,
    kvec::filled,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Acquire,
            AtomicFlag,
            Full,
            Relaxed, //
        },
        lock::spinlock::SpinLockIrqBackend,
        lock::Guard,
        Arc,
        Event,
        LockClassKey,
        SpinLockIrq, //
    },
};
use core::ptr::{
    self,
    NonNull, //
};

use super::{
    buffer::Memory,
    fault,
    lifecycle::{
        Lifecycle,
        Resource, //
    },
    Buffer,
    Device, //
};

/// Most descriptors of a virtqueue (specification, sections 2.7 and 2.8).
const MAX_QUEUE_SIZE: usize = 1 << 15;

/// What a driver wants of a virtqueue.
#[derive(Clone, Copy)]
pub struct QueueInfo {
    /// The name that shows in `/proc/interrupts`.
    pub name: &'static CStr,
    /// Whether [`Driver::vq_callback`](super::Driver::vq_callback) is to be called for it.
    pub callback: bool,
}

/// The virtqueues of a device as the core found them.
///
/// # Invariants
///
/// Each pointer is null or that of a virtqueue that is valid until the device's are deleted.
pub(super) struct RawVirtqueues(KVec<*mut bindings::virtqueue>);

// SAFETY: These are only compared, or handed to a `Virtqueue` which serialises their use.
unsafe impl Send for RawVirtqueues {}
// SAFETY: As above.
unsafe impl Sync for RawVirtqueues {}

impl RawVirtqueues {
    /// Sets up virtqueues.
    ///
    /// Must be called by [`Lifecycle`] alone, which sees to it that the device has none yet.
    pub(super) fn find(
        dev: &Device<device::Core<'_>>,
        infos: &[Option<QueueInfo>],
        callback: extern "C" fn(*mut bindings::virtqueue),
    ) -> Result<Self> {
        let mut raw = filled(infos.len(), |index| match infos.get(index) {
            Some(Some(info)) => bindings::virtqueue_info {
                name: info.name.as_char_ptr(),
                callback: if info.callback { Some(callback) } else { None },
                ..Default::default()
            },
            _ => Default::default(),
        })?;
        if fault::should_fail() {
            return Err(ENOMEM);
        }
        let mut queues = filled(raw.len(), |_| ptr::null_mut())?;
        let len = c_uint::try_from(raw.len())?;
        // SAFETY: The device is valid, and both arrays have `len` elements.
        to_result(unsafe {
            bindings::next_virtio_find_vqs(dev.as_raw(), len, queues.as_mut_ptr(), raw.as_mut_ptr())
        })?;
        // INVARIANT: The core sets the pointer to null where there is no name.
        Ok(Self(queues))
    }

    /// Returns the virtqueue with the driver's index.
    fn get(&self, index: usize) -> Option<NonNull<bindings::virtqueue>> {
        NonNull::new(self.0.get(index).copied()?)
    }

    /// Returns the driver's index of a virtqueue.
    pub(super) fn index_of(&self, vq: *mut bindings::virtqueue) -> Option<usize> {
        let mut queues = (0..self.0.len()).zip(self.0.iter());
        queues
            .find(|(_, &queue)| queue == vq)
            .map(|(index, _)| index)
    }
}

/// The virtqueues of a device, for the driver to take.
pub struct Virtqueues<'a, 'core> {
    dev: &'a Device<device::Core<'core>>,
    taken: KVec<bool>,
}

impl Virtqueues<'_, '_> {
    /// Takes the virtqueue at an index, for buffers of type `B`.
    ///
    /// Returns [`ENOENT`] for one that was not asked for, and [`EBUSY`] if it was taken already.
    pub fn take<B: Buffer>(&mut self, index: usize) -> Result<Arc<Virtqueue<B>>> {
        let taken = self.taken.get_mut(index).ok_or(ENOENT)?;
        if core::mem::replace(taken, true) {
            return Err(EBUSY);
        }
        let dev: &Device = self.dev;
        let (name, key) = ring_lock_class();
        let ring = Ring {
            vq: None,
            slots: Slots::none(),
        };
        let queue = Arc::pin_init(
            try_pin_init!(Virtqueue {
                index,
                dev: dev.into(),
                ready: AtomicFlag::new(false),
                owed: AtomicFlag::new(false),
                abandoned: AtomicFlag::new(false),
                used <- Event::new(),
                ring <- SpinLockIrq::new(ring, name, key),
            }),
            GFP_KERNEL,
        )?;
        queue.attach(&*Lifecycle::queues(self.dev)?)?;
        Lifecycle::add(self.dev, queue.clone())?;
        Ok(queue)
    }
}

/// Returns the lock class of all rings.
///
/// Lockdep knows a class by its key and by the address of its name. In generic code there is one
/// key, but each crate that the code is instantiated in may have a name of its own.
#[inline(never)]
fn ring_lock_class() -> (&'static CStr, Pin<&'static LockClassKey>) {
    (c"virtqueue", crate::static_lock_class!())
}

impl<'core> Device<device::Core<'core>> {
    /// Sets up the virtqueues of the device.
    ///
    /// The transports number the queues that have an entry one after the other, and skip those
    /// that have none. The index of a queue in `infos` is the one that the driver uses.
    ///
    /// To be called once, from [`Driver::probe`](super::Driver::probe). After a suspend the same
    /// virtqueues are set up again by themselves.
    pub fn find_virtqueues<'a>(
        &'a self,
        infos: &[Option<QueueInfo>],
    ) -> Result<Virtqueues<'a, 'core>> {
        Lifecycle::find_queues(self, infos)?;
        Ok(Virtqueues {
            dev: self,
            taken: filled(infos.len(), |_| false)?,
        })
    }
}

/// The buffers that are lent to a device through one virtqueue.
///
/// The ring gets the number of a slot as its token. It gives back only tokens that it was given
/// and that are outstanding, whatever the device says.
struct Slots<B> {
    slots: KVec<Slot<B>>,
    /// The first of the free slots.
    free: Option<usize>,
    lent: usize,
}

enum Slot<B> {
    /// Free, and the free slot after it.
    Free(Option<usize>),
    Lent(B),
}

impl<B> Slots<B> {
    /// Creates slots of which there is none.
    const fn none() -> Self {
        Self {
            slots: KVec::new(),
            free: None,
            lent: 0,
        }
    }

    fn new(len: usize) -> Result<Self> {
        Ok(Self {
            slots: filled(len, |index| {
                Slot::Free(index.checked_add(1).filter(|&next| next < len))
            })?,
            free: (len > 0).then_some(0),
            lent: 0,
        })
    }

    /// Returns the token of the slot that is filled next.
    fn next_token(&self) -> Option<*mut c_void> {
        // The ring wants a token that is not null.
        Some(ptr::without_provenance_mut(self.free?.checked_add(1)?))
    }

    /// Fills the next slot.
    fn fill(&mut self, buffer: B) {
        let Some(slot) = self.free.and_then(|free| self.slots.get_mut(free)) else {
            return;
        };
        if let Slot::Free(next) = *slot {
            self.free = next;
            self.lent = self.lent.saturating_add(1);
            *slot = Slot::Lent(buffer);
        }
    }

    /// Returns the number of pages that the device has, as far as they are ours.
    fn pages(&self) -> usize
    where
        B: Buffer,
    {
        self.slots
            .iter()
            .map(|slot| match slot {
                Slot::Free(_) => 0,
                Slot::Lent(buffer) => buffer.pages(),
            })
            .fold(0, usize::saturating_add)
    }

    /// Empties a slot.
    fn take(&mut self, token: NonNull<c_void>) -> Option<B> {
        let index = token.addr().get().checked_sub(1)?;
        let slot = self.slots.get_mut(index)?;
        match core::mem::replace(slot, Slot::Free(self.free)) {
            Slot::Lent(buffer) => {
                self.free = Some(index);
                self.lent = self.lent.saturating_sub(1);
                Some(buffer)
            }
            free => {
                *slot = free;
                None
            }
        }
    }
}

/// The C virtqueue, and what is lent through it.
struct Ring<B> {
    /// [`None`] when the device was reset and its virtqueues go, or are gone.
    vq: Option<NonNull<bindings::virtqueue>>,
    slots: Slots<B>,
}

/// A virtqueue that lends buffers of type `B` to the device.
///
/// By itself it does nothing: [`Virtqueue::bind`] gives access for as long as the device is bound.
///
/// # Invariants
///
/// A `vq` in `ring` is a valid virtqueue of `dev`, and there is no other handle to it.
#[pin_data]
pub struct Virtqueue<B: Buffer> {
    index: usize,
    dev: ARef<Device>,
    ready: AtomicFlag,
    /// A notification is owed to the device.
    owed: AtomicFlag,
    /// The device had buffers when it did not complete a reset, and may use them for ever.
    abandoned: AtomicFlag,
    #[pin]
    used: Event,
    #[pin]
    ring: SpinLockIrq<Ring<B>>,
}

// SAFETY: The virtqueue may be used from any thread, one at a time, which the lock sees to.
unsafe impl<B: Buffer> Send for Virtqueue<B> {}
// SAFETY: As above.
unsafe impl<B: Buffer> Sync for Virtqueue<B> {}

impl<B: Buffer> Virtqueue<B> {
    /// Gives access to the virtqueue.
    ///
    /// Returns [`ENODEV`] if `dev` is not its device, or was reset.
    pub fn bind<'a>(&'a self, dev: &'a Device<device::Bound>) -> Result<Queue<'a, B>> {
        if self.dev.as_raw() != dev.as_raw() {
            return Err(ENODEV);
        }
        let vq = self.ring.lock().vq.ok_or(ENODEV)?;
        // INVARIANT: Whoever has a bound reference to the device is work, a callback, or in
        // `DeviceAccess::with`, which end before the device is reset, or runs in the thread that
        // resets the device, where `vq` is seen gone from then on.
        Ok(Queue { queue: self, vq })
    }

    /// Returns the number of buffers that the device has.
    pub fn lent(&self) -> usize {
        self.ring.lock().slots.lent
    }

    /// Returns whether the device has kept buffers of this queue beyond what was to be a reset.
    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Acquire)
    }

    /// Tells who waits that the device has used buffers.
    ///
    /// To be called from [`Driver::vq_callback`](super::Driver::vq_callback).
    pub fn wake(&self) {
        self.used.signal();
    }

    /// Returns what happens when the device uses a buffer, or was reset.
    ///
    /// For one task at a time, which sees to it that the queue has a callback.
    pub fn used(&self) -> &Event {
        &self.used
    }

    /// Takes over the C virtqueue with its index, with which nothing is lent.
    fn attach(&self, queues: &RawVirtqueues) -> Result {
        let vq = queues.get(self.index).ok_or(ENOENT)?;
        // SAFETY: By the type invariants of `RawVirtqueues` the virtqueue is valid: the device is
        // being set up, so its queues are not deleted meanwhile.
        let size = unsafe { bindings::virtqueue_get_vring_size(vq.as_ptr()) };
        let size = usize::try_from(size)?;
        if size > MAX_QUEUE_SIZE {
            return Err(EINVAL);
        }
        let slots = Slots::new(size)?;
        // INVARIANT: Each index has one `Virtqueue`, and the C virtqueue was just set up, so this
        // is its only handle.
        let old = core::mem::replace(
            &mut *self.ring.lock(),
            Ring {
                vq: Some(vq),
                slots,
            },
        );
        drop(old);
        Ok(())
    }

    fn notify(&self, vq: NonNull<bindings::virtqueue>) -> Result {
        if !self.ready.load(Acquire) {
            // The specification forbids it before `DRIVER_OK` (section 3.1.1).
            self.owed.xchg(true, Full);
            // Has the device become ready since? Then one of the two sends it.
            if !self.ready.load(Acquire) || !self.owed.xchg(false, Full) {
                return Ok(());
            }
        }
        // SAFETY: The callers see to it that the virtqueue is valid. This function alone needs no
        // serialisation.
        if !fault::should_fail() && unsafe { bindings::virtqueue_notify(vq.as_ptr()) } {
            Ok(())
        } else {
            self.owed.xchg(true, Full);
            Err(EIO)
        }
    }
}

impl<B: Buffer> Resource for Virtqueue<B> {
    fn restore(&self, queues: &RawVirtqueues) -> Result {
        self.attach(queues)
    }

    fn ready(&self) {
        self.ready.xchg(true, Full);
        if self.owed.xchg(false, Full) {
            let vq = self.ring.lock().vq;
            if let Some(vq) = vq {
                // A broken queue shows at its next use.
                let _ = self.notify(vq);
            }
        }
    }

    fn after_reset(&self) {
        self.ready.xchg(false, Full);
        self.owed.xchg(false, Full);
        let mut slots = Slots::none();
        {
            let mut ring = self.ring.lock();
            ring.vq = None;
            core::mem::swap(&mut ring.slots, &mut slots);
        }
        // The device does not touch them any more. Not under the lock: dropping may take a while.
        drop(slots);
        self.used.signal();
    }

    fn abandon(&self) -> usize {
        self.ready.xchg(false, Full);
        self.owed.xchg(false, Full);
        let mut slots = Slots::none();
        let vq = {
            let mut ring = self.ring.lock();
            if ring.slots.lent > 0 {
                // Seen by whoever sees that the slots are gone.
                self.abandoned.xchg(true, Full);
            }
            core::mem::swap(&mut ring.slots, &mut slots);
            ring.vq.take()
        };
        let mut pages = slots.pages();
        core::mem::forget(slots);
        if let Some(vq) = vq {
            // SAFETY: The virtqueue is valid, as it is deleted only after this.
            let kept = unsafe { bindings::next_virtqueue_keep_ring(vq.as_ptr()) };
            pages = pages.saturating_add(usize::try_from(kept).unwrap_or(usize::MAX));
        }
        self.used.signal();
        pages
    }
}

/// Access to a virtqueue whose device is bound.
///
/// # Invariants
///
/// `vq` is that of `queue`, and is valid for `'a`.
#[derive(Clone, Copy)]
pub struct Queue<'a, B: Buffer> {
    queue: &'a Virtqueue<B>,
    vq: NonNull<bindings::virtqueue>,
}

impl<'a, B: Buffer> Queue<'a, B> {
    /// Locks the virtqueue, with interrupts off.
    pub fn lock(&self) -> QueueGuard<'a, B> {
        QueueGuard {
            vq: self.vq,
            ring: self.queue.ring.lock(),
        }
    }

    /// Takes back a buffer that the device has used.
    pub fn get(&self) -> Option<B> {
        self.lock().get().map(|(buffer, _)| buffer)
    }

    /// Tells the device that there are buffers, whether it wants to hear of it or not.
    ///
    /// To be called after [`QueueGuard::kick_prepare`], and without the lock: as a rule this is a
    /// trap into the host. Returns [`EIO`] if the device is broken.
    pub fn notify(&self) -> Result {
        self.queue.notify(self.vq)
    }

    /// Makes the buffers that were added visible to the device, and notifies it if it asks for
    /// that, or if this failed the last time. Returns whether it did.
    pub fn kick(&self) -> Result<bool> {
        let wanted = self.lock().kick_prepare();
        if wanted || self.queue.owed.load(Relaxed) {
            self.queue.owed.xchg(false, Full);
            self.notify()?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Notifies the device if that failed the last time.
    pub fn kick_owed(&self) -> Result {
        if self.queue.owed.load(Relaxed) {
            self.queue.owed.xchg(false, Full);
            self.notify()?;
        }
        Ok(())
    }

    /// Returns the number of descriptors of the ring.
    pub fn size(&self) -> usize {
        // SAFETY: By the type invariants the virtqueue is valid.
        let size = unsafe { bindings::virtqueue_get_vring_size(self.vq.as_ptr()) };
        usize::try_from(size).unwrap_or(0)
    }

    /// Returns whether adding a buffer maps its memory for DMA.
    pub fn maps(&self) -> bool {
        // SAFETY: By the type invariants the virtqueue is valid.
        unsafe { bindings::next_virtqueue_maps(self.vq.as_ptr()) }
    }

    /// Returns whether the device has broken the rules, or is gone.
    pub fn is_broken(&self) -> bool {
        // SAFETY: By the type invariants the virtqueue is valid.
        unsafe { bindings::virtqueue_is_broken(self.vq.as_ptr()) }
    }
}

/// A buffer that was not taken, and why.
pub struct Refused<B> {
    /// [`ENOSPC`] if the ring is full.
    pub error: Error,
    /// The buffer.
    pub buffer: B,
}

/// A virtqueue that is locked.
///
/// # Invariants
///
/// The virtqueue is valid, and nobody else uses it while this exists.
pub struct QueueGuard<'a, B: Buffer> {
    vq: NonNull<bindings::virtqueue>,
    ring: Guard<'a, Ring<B>, SpinLockIrqBackend>,
}

impl<B: Buffer> QueueGuard<'_, B> {
    /// Returns the number of buffers that the device has.
    pub fn lent(&self) -> usize {
        self.ring.slots.lent
    }

    /// Lends a buffer to the device. It takes a descriptor for each of its entries, one as a rule,
    /// and no memory.
    ///
    /// The device may not notice before [`QueueGuard::kick_prepare`] and [`Queue::notify`].
    pub fn add(&mut self, buffer: B) -> Result<(), Refused<B>> {
        match self.try_add(&buffer) {
            Ok(()) => {
                self.ring.slots.fill(buffer);
                Ok(())
            }
            Err(error) => Err(Refused { error, buffer }),
        }
    }

    fn try_add(&mut self, buffer: &B) -> Result {
        if fault::should_fail() {
            return Err(EIO);
        }
        let token = self.ring.slots.next_token().ok_or(ENOSPC)?;
        let vq = self.vq.as_ptr();
        let mut sg = bindings::scatterlist::default();
        let sg = &raw mut sg;
        // Nothing is allocated for a single entry; these flags are for what else a transport does.
        let gfp = bindings::GFP_ATOMIC;

        to_result(match buffer.segment().memory {
            Memory::Readable(bytes, len) => {
                let len = c_uint::try_from(len)?;
                // SAFETY: `sg` is valid, and `bytes` points to memory from the slab allocator.
                unsafe { bindings::sg_init_one(sg, bytes.cast(), len) };
                // SAFETY: The virtqueue is valid and locked. By the contract of `Segment` and of
                // `Slots` the memory stays where it is until the token comes back.
                unsafe { bindings::virtqueue_add_outbuf(vq, sg, 1, token, gfp) }
            }
            Memory::WritableBytes(bytes, len) => {
                let len = c_uint::try_from(len)?;
                // SAFETY: `sg` is valid, and `bytes` points to memory from the slab allocator.
                unsafe { bindings::sg_init_one(sg, bytes.cast(), len) };
                // SAFETY: As above. The bytes belong to the buffer, so the device may write.
                unsafe { bindings::virtqueue_add_inbuf(vq, sg, 1, token, gfp) }
            }
            // The ring would warn of it, and not take it later either.
            Memory::ReadableScattered(_, count) | Memory::Scattered(_, count)
                if usize::try_from(count)
                    .is_ok_and(|count| count > self.ring.slots.slots.len()) =>
            {
                return Err(E2BIG);
            }
            Memory::ReadableScattered(entries, count) => {
                // SAFETY: The virtqueue is valid and locked. By the contract of `Segment` the
                // entries, and the memory that they name, belong to the buffer.
                unsafe { bindings::virtqueue_add_outbuf(vq, entries, count, token, gfp) }
            }
            Memory::Writable(range) => {
                let len = c_uint::try_from(range.bytes())?;
                // SAFETY: `sg` is valid, and so are the pages.
                unsafe { bindings::next_sg_init_pfn(sg, range.start(), len) };
                // SAFETY: As above. The pages belong to the buffer, so the device may write.
                unsafe { bindings::virtqueue_add_inbuf(vq, sg, 1, token, gfp) }
            }
            Memory::Scattered(entries, count) => {
                // SAFETY: The virtqueue is valid and locked. By the contract of `Segment` the
                // entries, and the pages that they name, belong to the buffer.
                unsafe { bindings::virtqueue_add_inbuf(vq, entries, count, token, gfp) }
            }
            Memory::Hint(range) | Memory::Isolated(range) => {
                let len = c_uint::try_from(range.bytes())?;
                // SAFETY: The virtqueue is valid.
                if unsafe { bindings::next_virtqueue_maps(vq) } {
                    return Err(EOPNOTSUPP);
                }
                // SAFETY: `sg` is valid, and the page frames are those of memory.
                unsafe { bindings::next_sg_init_pfn_premapped(sg, range.start(), len) };
                // SAFETY: As above. Premapped memory is neither read nor written by the ring.
                unsafe {
                    bindings::virtqueue_add_inbuf_premapped(vq, sg, 1, token, ptr::null_mut(), gfp)
                }
            }
        })
    }

    /// Takes back a buffer that the device has used, with the number of bytes it says to have
    /// written.
    pub fn get(&mut self) -> Option<(B, u32)> {
        let mut len = 0;
        // SAFETY: The virtqueue is valid and locked.
        let token = unsafe { bindings::virtqueue_get_buf(self.vq.as_ptr(), &raw mut len) };
        Some((self.ring.slots.take(NonNull::new(token)?)?, len))
    }

    /// Makes the buffers visible to the device, and returns whether it wants to be notified.
    pub fn kick_prepare(&mut self) -> bool {
        // SAFETY: The virtqueue is valid and locked.
        unsafe { bindings::virtqueue_kick_prepare(self.vq.as_ptr()) }
    }

    /// Asks the device not to call back, which it may ignore.
    pub fn disable_callback(&mut self) {
        // SAFETY: The virtqueue is valid and locked.
        unsafe { bindings::virtqueue_disable_cb(self.vq.as_ptr()) };
    }

    /// Asks the device to call back at the next buffer that it uses.
    ///
    /// Returns `false` if it has used some that were not taken back yet: no callback may come for
    /// those.
    #[must_use = "without a look at the queue a callback may be missed"]
    pub fn enable_callback(&mut self) -> bool {
        // SAFETY: The virtqueue is valid and locked.
        unsafe { bindings::virtqueue_enable_cb(self.vq.as_ptr()) }
    }
}

#[cfg(CONFIG_RUST_KERNEL_NEXT_KUNIT_TEST)]
#[kunit_tests(rust_kernel_virtqueue_slots)]
mod tests {
    use super::*;
    use crate::testing::Random;

    /// Whatever is filled comes back once, by its own token, in any order.
    #[test]
    fn slots_return_what_was_lent() -> Result {
        for len in 0..9 {
            let mut random = Random::new(7);
            let mut slots = Slots::new(len)?;
            let mut lent = KVec::<(NonNull<c_void>, u64)>::new();
            for _ in 0..500 {
                if random.below(2) == 0 {
                    let Some(token) = slots.next_token() else {
                        assert_eq!(lent.len(), len);
                        continue;
                    };
                    let value = random.word();
                    slots.fill(value);
                    let token = NonNull::new(token).ok_or(EINVAL)?;
                    assert!(lent.iter().all(|(other, _)| *other != token));
                    lent.push((token, value), GFP_KERNEL)?;
                } else if !lent.is_empty() {
                    let (token, value) = lent.remove(random.below(lent.len()))?;
                    assert_eq!(slots.take(token), Some(value));
                    assert_eq!(slots.take(token), None);
                }
                assert_eq!(slots.lent, lent.len());
            }
        }
        Ok(())
    }

    #[test]
    fn slots_refuse_tokens_from_nowhere() -> Result {
        let mut slots = Slots::<u8>::new(4)?;
        for token in [1, 4, 5, usize::MAX] {
            let token = NonNull::new(ptr::without_provenance_mut(token)).ok_or(EINVAL)?;
            assert_eq!(slots.take(token), None);
        }
        assert_eq!(slots.lent, 0);
        Ok(())
    }
}
