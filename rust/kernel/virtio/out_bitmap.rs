// SPDX-License-Identifier: GPL-2.0

//! A bitmap in many pieces for the device to read, with a header before it.

use crate::{
    bindings,
    kvec::{
        filled,
        try_filled, //
    },
    page::PAGE_SIZE,
    prelude::*,
    scatter_bitmap::{
        Piece,
        ScatterBitmap, //
    }, //
};

use super::{
    buffer::Memory,
    Segment, //
};

/// Number of bits in a piece.
pub const BITS_PER_PIECE: usize = PAGE_SIZE * 8;

/// A page of a bitmap.
pub struct BitmapPage(KBox<[u64; PAGE_SIZE / 8]>);

impl Piece for BitmapPage {
    fn words(&self) -> &[u64] {
        self.0.as_slice()
    }

    fn words_mut(&mut self) -> &mut [u64] {
        self.0.as_mut_slice()
    }
}

/// A header and a bitmap, to be filled.
pub struct OutBitmap<H> {
    header: KBox<H>,
    bitmap: ScatterBitmap<BitmapPage>,
    entries: KVec<bindings::scatterlist>,
}

impl<H: IntoBytes + zerocopy::Immutable> OutBitmap<H> {
    /// Allocates a bitmap of at most `pieces` times [`BITS_PER_PIECE`] bits.
    pub fn new(header: H, pieces: usize) -> Result<Self> {
        let pages = try_filled(pieces, |_| {
            let page = KBox::init(pin_init::init_zeroed(), GFP_KERNEL)?;
            Ok(BitmapPage(page))
        })?;
        let entries = pieces.checked_add(1).ok_or(EOVERFLOW)?;
        Ok(Self {
            header: KBox::new(header, GFP_KERNEL)?,
            bitmap: ScatterBitmap::new(pages)?,
            entries: filled(entries, |_| bindings::scatterlist::default())?,
        })
    }

    /// Returns the bitmap.
    pub fn bitmap(&mut self) -> &mut ScatterBitmap<BitmapPage> {
        &mut self.bitmap
    }

    /// Sets the header, and makes this a buffer to lend. Of the bitmap it has as many bytes as are
    /// in use, rounded up to 8.
    pub fn seal(mut self, header: H) -> SealedOutBitmap<H> {
        *self.header = header;
        // One for the header. `Iterator::count()` would be arithmetic that may panic.
        let used = self
            .bitmap
            .used()
            .fold(1, |count: usize, _| count.saturating_add(1));
        let used = used.min(self.entries.len());
        // CAST: There is an entry for each piece that was asked for, a number that fits.
        let count = used as c_uint;
        let entries = self.entries.as_mut_ptr();
        // SAFETY: There are at least `count` entries, and at least one.
        unsafe { bindings::sg_init_table(entries, count) };
        let header = core::iter::once(self.header.as_bytes());
        let pieces = self.bitmap.used().map(|words| words.as_bytes());
        let bytes = Iterator::chain(header, pieces);
        for (index, bytes) in (0..used).zip(bytes) {
            // CAST: The header is small, and a piece is a page.
            let len = bytes.len() as c_uint;
            // SAFETY: The entry is one of the table, and `bytes` is memory from the slab allocator.
            unsafe { bindings::next_sg_set_bytes(entries.add(index), bytes.as_ptr().cast(), len) };
        }
        // INVARIANT: So many entries were just set, to memory that `open` belongs to. It stays
        // where it is: nothing of it can be changed any more.
        SealedOutBitmap { open: self, count }
    }
}

/// A header and a bitmap that the device can have.
///
/// # Invariants
///
/// The first `count` entries of `open` are those of its header and of the used part of its bitmap.
pub struct SealedOutBitmap<H> {
    open: OutBitmap<H>,
    count: c_uint,
}

// SAFETY: The entries belong to the value, and so does the memory that they point to.
unsafe impl<H: Send> Send for OutBitmap<H> {}
// SAFETY: As above.
unsafe impl<H: Send> Send for SealedOutBitmap<H> {}

impl<H> SealedOutBitmap<H> {
    /// Returns the memory as the device is to see it.
    pub fn segment(&self) -> Segment<'_> {
        // The ring only reads them.
        let entries = self.open.entries.as_ptr().cast_mut();
        Segment::new(Memory::ReadableScattered(entries, self.count))
    }

    /// Makes it an [`OutBitmap`] again.
    pub fn open(self) -> OutBitmap<H> {
        self.open
    }
}
