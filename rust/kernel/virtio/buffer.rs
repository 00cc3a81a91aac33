// SPDX-License-Identifier: GPL-2.0

//! Memory that is lent to a device.

use crate::{
    bindings,
    mm::{
        IsolatedRun,
        PageRun,
        PfnRange,
        Run, //
    },
    page::PAGE_SIZE,
    prelude::*, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};

/// Memory that can be lent to a device.
///
/// A [`Virtqueue`](super::Virtqueue) takes it by value, and gives it back when the device has used
/// it: nobody else can get at it meanwhile. If the device never does, it is dropped after the
/// device was reset.
pub trait Buffer: Send + 'static {
    /// Returns the memory as the device is to see it.
    fn segment(&self) -> Segment<'_>;

    /// Returns how many pages of ours the device has with it: those that are lost if it does not
    /// give the buffer back, and completes no reset either.
    fn pages(&self) -> usize {
        self.segment().pages_of_ours()
    }
}

/// A piece of memory as a device sees it.
///
/// It can only be made from something that keeps the memory where it is, and keeps others away
/// from it, for as long as it exists.
pub struct Segment<'a> {
    pub(super) memory: Memory,
    _owner: PhantomData<&'a ()>,
}

/// The memory of a [`Segment`].
pub(super) enum Memory {
    /// Bytes that the device reads.
    Readable(*const u8, usize),
    /// Bytes that the device may write to.
    WritableBytes(*mut u8, usize),
    /// Pages that the device may write to.
    Writable(PfnRange),
    /// Entries of a scatter list, of memory that the device reads.
    ReadableScattered(*mut bindings::scatterlist, c_uint),
    /// Entries of a scatter list, of pages that the device may write to.
    Scattered(*mut bindings::scatterlist, c_uint),
    /// Page frames that the device is told of, and that are none of our business otherwise.
    Hint(PfnRange),
    /// Pages that nobody may touch but the device.
    Isolated(PfnRange),
}

impl<'a> Segment<'a> {
    pub(super) fn new(memory: Memory) -> Self {
        Self {
            memory,
            _owner: PhantomData,
        }
    }

    /// Returns the number of bytes that are ours in it.
    pub fn bytes_of_ours(&self) -> usize {
        match self.memory {
            Memory::Readable(_, len) | Memory::WritableBytes(_, len) => len,
            Memory::Writable(range) | Memory::Isolated(range) => range.bytes(),
            Memory::ReadableScattered(entries, count) | Memory::Scattered(entries, count) => {
                // SAFETY: By the contract of `Segment` the entries are valid.
                unsafe { bindings::next_sg_bytes(entries, count) }
            }
            // Somebody else may have them by now.
            Memory::Hint(_) => 0,
        }
    }

    /// Returns the number of pages that are ours in it, see [`Buffer::pages`].
    pub fn pages_of_ours(&self) -> usize {
        self.bytes_of_ours().saturating_add(PAGE_SIZE - 1) / PAGE_SIZE
    }

    /// Pages that belong to a run, for the device to do with as it likes.
    pub fn pages(run: &'a PageRun) -> Self {
        Self::new(Memory::Writable(run.range()))
    }

    /// Page frames that were free a moment ago.
    ///
    /// The entry in the ring looks as if the device might write to them. Nothing on the way does:
    /// the address is given to the ring as it is, so that no page is mapped for DMA and none is
    /// copied. A queue that maps refuses such a segment with [`EOPNOTSUPP`].
    pub fn hint(range: PfnRange) -> Self {
        Self::new(Memory::Hint(range))
    }

    /// Pages that are isolated, for the device to do with as it likes.
    ///
    /// They are not mapped for DMA, as nothing may be copied to them: the kernel may not even have
    /// them in its page tables. A queue that maps refuses such a segment with [`EOPNOTSUPP`].
    pub fn isolated(run: &'a IsolatedRun) -> Self {
        Self::new(Memory::Isolated(run.range()))
    }
}

/// A value for the device to read.
pub struct OutBuffer<T>(KBox<T>);

impl<T: IntoBytes + zerocopy::Immutable> OutBuffer<T> {
    /// Allocates a buffer.
    pub fn new(value: T, flags: crate::alloc::Flags) -> Result<Self> {
        Ok(Self(KBox::new(value, flags)?))
    }

    /// Sets the value.
    pub fn set(&mut self, value: T) {
        *self.0 = value;
    }

    /// Returns the value, to change it in place.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.0
    }

    /// Returns the value as the device is to see it.
    pub fn segment(&self) -> Segment<'_> {
        self.prefix(usize::MAX)
    }

    /// Returns the first `len` bytes of the value, or all of it, as the device is to see it.
    pub fn prefix(&self, len: usize) -> Segment<'_> {
        let bytes = self.0.as_bytes();
        Segment::new(Memory::Readable(bytes.as_ptr(), len.min(bytes.len())))
    }
}

/// A value for the device to write.
///
/// While the device has it, it is inside of a [`Buffer`] that was given away, so that nobody looks
/// at it.
///
/// # Invariants
///
/// The pointer comes from [`KBox::into_raw`], and is owned.
pub struct InBuffer<T>(NonNull<T>);

// SAFETY: It owns its value.
unsafe impl<T: Send> Send for InBuffer<T> {}

impl<T: FromBytes + IntoBytes + zerocopy::Immutable> InBuffer<T> {
    /// Allocates a buffer of zeroes.
    pub fn new(flags: crate::alloc::Flags) -> Result<Self> {
        let value = KBox::into_raw(KBox::new(T::new_zeroed(), flags)?);
        // INVARIANT: `KBox::into_raw` returned it, and it is not used elsewhere.
        Ok(Self(NonNull::new(value).ok_or(ENOMEM)?))
    }

    /// Sets it to zeroes.
    pub fn clear(&mut self) {
        // SAFETY: By the type invariants the value is valid. The device does not have it, as
        // nobody else can have a reference to what is inside of a buffer that was given away.
        unsafe { self.0.write(T::new_zeroed()) };
    }

    /// Returns a copy of what the device has written.
    pub fn read(&self) -> T {
        // SAFETY: As above. Any bytes are a value of `T`.
        unsafe { self.0.read() }
    }

    /// Returns the value as the device is to see it.
    pub fn segment(&self) -> Segment<'_> {
        Segment::new(Memory::WritableBytes(
            self.0.as_ptr().cast(),
            size_of::<T>(),
        ))
    }
}

impl<T> Drop for InBuffer<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants.
        drop(unsafe { KBox::from_raw(self.0.as_ptr()) });
    }
}
