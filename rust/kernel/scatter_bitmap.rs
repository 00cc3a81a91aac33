// SPDX-License-Identifier: GPL-2.0

//! A bitmap over many small pieces of memory, and the way through a window of page frames that it
//! may be too small for.
//!
//! A bitmap of all the memory of a machine is too large to be allocated in one piece: at one bit
//! for each page, 1 TiB needs 32 MiB. Here it is as many pieces as there are, which together are
//! one bitmap in the order of bits of the virtio balloon: bit `i` is bit `i % 8` of byte `i / 8`.
//!
//! - [`ScatterBitmap`] is the bitmap.
//! - [`Window`] takes a window of page frames apart into [`Part`]s of what fits into a bitmap.
//! - [`PartSink`] sets the bits of the blocks that a walk over the free lists finds in a part.

use crate::{
    kvec::{
        filled,
        partition_point, //
    },
    mm::{
        Full,
        PfnRange,
        Sink, //
    },
    prelude::*, //
};
use core::ops::Range;

/// Memory for a part of a bitmap.
///
/// Its number of words must not change while it is in use.
pub trait Piece {
    /// Returns the words.
    fn words(&self) -> &[u64];

    /// Returns the words, to be changed.
    fn words_mut(&mut self) -> &mut [u64];
}

impl<const WORDS: usize> Piece for KBox<[u64; WORDS]> {
    fn words(&self) -> &[u64] {
        self.as_slice()
    }

    fn words_mut(&mut self) -> &mut [u64] {
        self.as_mut_slice()
    }
}

impl Piece for KVec<u64> {
    fn words(&self) -> &[u64] {
        self.as_slice()
    }

    fn words_mut(&mut self) -> &mut [u64] {
        self.as_mut_slice()
    }
}

/// Returns the number of words that hold `bits` bits.
fn words_for(bits: usize) -> usize {
    bits.div_ceil(64)
}

/// Returns the place of a bit in its word.
fn bit_in_word(bit: usize) -> u32 {
    // CAST: Less than 64.
    (bit & 63) as u32
}

/// Sets the bits of `mask` in a word, if there is such a word.
fn set_in_word(words: &mut [u64], word: usize, mask: u64) {
    if let Some(word) = words.get_mut(word) {
        // The first byte in memory holds the first eight bits on all machines.
        *word |= mask.to_le();
    }
}

/// Sets the bits from `first` up to, but without, `end`. There must be at least one.
#[inline]
fn set_in_words(words: &mut [u64], first: usize, end: usize) {
    let last = end.wrapping_sub(1);
    let head = u64::MAX.wrapping_shl(bit_in_word(first));
    let tail = u64::MAX.wrapping_shr(63u32.wrapping_sub(bit_in_word(last)));
    let (first, last) = (first >> 6, last >> 6);
    if first == last {
        set_in_word(words, first, head & tail);
        return;
    }
    set_in_word(words, first, head);
    if let Some(between) = words.get_mut(first.wrapping_add(1)..last) {
        between.fill(u64::MAX);
    }
    set_in_word(words, last, tail);
}

/// A bitmap over many pieces of memory, which may be of different sizes.
///
/// # Invariants
///
/// - `ends` has, for each piece, the number of words in it and all before it.
/// - `bits` is at most the capacity: 64 times the last of `ends`.
/// - In the words of `bits` bits, no other bit is set.
/// - All bits of `recent_bits` are in the piece `recent`.
pub struct ScatterBitmap<P: Piece> {
    pieces: KVec<P>,
    ends: KVec<usize>,
    bits: usize,
    /// The piece that bits were set in last, and which bits are in it; none at first.
    recent: usize,
    recent_bits: Range<usize>,
}

impl<P: Piece> ScatterBitmap<P> {
    /// Creates a bitmap of no bits, which can grow up to what the pieces hold.
    pub fn new(pieces: KVec<P>) -> Result<Self> {
        let mut words = 0usize;
        let mut lens = pieces.iter().map(|piece| piece.words().len());
        // Saturates at more words than there can be in memory.
        let ends = filled(pieces.len(), |_| {
            words = words.saturating_add(lens.next().unwrap_or(0));
            words
        })?;
        // The number of each bit has to fit.
        words.checked_mul(64).ok_or(EOVERFLOW)?;
        // INVARIANT: The sums were just made, and there are no bits.
        Ok(Self {
            pieces,
            ends,
            bits: 0,
            recent: 0,
            recent_bits: 0..0,
        })
    }

    /// Returns the number of bits that the pieces hold.
    pub fn capacity(&self) -> usize {
        self.ends
            .last()
            .map_or(0, |&words| words.saturating_mul(64))
    }

    /// Returns the number of bits of the bitmap.
    pub fn bits(&self) -> usize {
        self.bits
    }

    /// Makes this a bitmap of `bits` bits, none of them set.
    ///
    /// If that is more than the capacity, it has as many as that. Takes time for these bits only.
    pub fn reset(&mut self, bits: usize) {
        // INVARIANT: At most the capacity, and all their words are zeroed.
        self.bits = bits.min(self.capacity());
        let mut left = words_for(self.bits);
        for piece in self.pieces.iter_mut() {
            if left == 0 {
                break;
            }
            let words = piece.words_mut();
            let used = words.len().min(left);
            if let Some(words) = words.get_mut(..used) {
                words.fill(0);
            }
            left = left.saturating_sub(used);
        }
    }

    /// Sets `count` bits from `first` on; those beyond the end of the bitmap are ignored.
    ///
    /// May be called under a spinlock: it allocates nothing, sets whole words, and finds the first
    /// piece by a binary search.
    pub fn set(&mut self, first: usize, count: usize) {
        // INVARIANT: No bit from `self.bits` on is set.
        let end = first.saturating_add(count).min(self.bits);
        if first >= end {
            return;
        }
        // Neighbours are in the same piece more often than not.
        let recent = &self.recent_bits;
        if first >= recent.start && end <= recent.end {
            if let Some(piece) = self.pieces.get_mut(self.recent) {
                let start = recent.start;
                set_in_words(
                    piece.words_mut(),
                    first.wrapping_sub(start),
                    end.wrapping_sub(start),
                );
            }
            return;
        }
        let first_word = first >> 6;
        let at = partition_point(&self.ends, |&words| words <= first_word);
        self.recent = at;
        let start = at.checked_sub(1).and_then(|before| self.ends.get(before));
        let start = start.copied().unwrap_or(0).wrapping_mul(64);
        self.recent_bits = start..self.ends.get(at).map_or(0, |&end| end.wrapping_mul(64));
        let pieces = self.pieces.get_mut(at..).unwrap_or_default();
        let ends = self.ends.get(at..).unwrap_or_default();
        for (piece, &piece_end) in pieces.iter_mut().zip(ends) {
            let words = piece.words_mut();
            // By the type invariants neither wraps.
            let piece_first = piece_end.wrapping_sub(words.len()).wrapping_mul(64);
            let piece_end = piece_end.wrapping_mul(64);
            if piece_first >= end {
                break;
            }
            let from = first.max(piece_first);
            let to = end.min(piece_end);
            // A piece may be empty.
            if from < to {
                set_in_words(
                    words,
                    from.wrapping_sub(piece_first),
                    to.wrapping_sub(piece_first),
                );
            }
        }
    }

    /// Makes this a bitmap of no more than `bits` bits, the first ones.
    pub fn truncate(&mut self, bits: usize) {
        if bits >= self.bits {
            return;
        }
        // INVARIANT: Of the word that may have bits behind the last one, these are cleared below.
        self.bits = bits;
        let last = bits >> 6;
        let at = partition_point(&self.ends, |&words| words <= last);
        let (Some(piece), Some(&end)) = (self.pieces.get_mut(at), self.ends.get(at)) else {
            return;
        };
        let words = piece.words_mut();
        let first = end.saturating_sub(words.len());
        if let Some(word) = words.get_mut(last.saturating_sub(first)) {
            *word &= (1u64 << (bits & 63)).wrapping_sub(1).to_le();
        }
    }

    /// Returns the number of bits that are set.
    pub fn count_set(&self) -> usize {
        self.used().flatten().fold(0usize, |sum, word| {
            // CAST: At most 64.
            sum.saturating_add(word.count_ones() as usize)
        })
    }

    /// Returns the number of bytes of [`Self::used`].
    pub fn bytes(&self) -> usize {
        words_for(self.bits).saturating_mul(size_of::<u64>())
    }

    /// Returns the words of the bitmap, piece by piece, in the order of bytes of the wire.
    ///
    /// Together these are as many words as hold [`Self::bits`]; the bits of the last word that
    /// are beyond it are zero. No slice is empty.
    pub fn used(&self) -> impl Iterator<Item = &[u64]> {
        let used = words_for(self.bits);
        let pieces = self.pieces.iter().zip(self.ends.iter());
        pieces
            .map_while(move |(piece, &end)| {
                let words = piece.words();
                let start = end.saturating_sub(words.len());
                let left = used.checked_sub(start).filter(|&left| left != 0)?;
                words.get(..left.min(words.len()))
            })
            .filter(|words| !words.is_empty())
    }
}

/// A window without any page frame in it, or whose blocks would be larger than all page frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidWindow;

/// What comes after a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The window goes on in another part.
    More,
    /// This is the last part.
    Done,
}

/// A part of a window: blocks that are next to each other, one for each bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The first page frame of the first block, a multiple of `2^order`.
    pub start_pfn: u64,
    /// Number of blocks.
    pub bits: usize,
    /// A block is `2^order` page frames.
    pub order: u32,
    /// Whether the window goes on.
    pub outcome: Outcome,
}

/// Returns the number of the first block of `2^order` page frames that begins at `pfn` or after it.
fn block_from(pfn: u64, order: u32) -> u64 {
    let block = pfn.wrapping_shr(order);
    if block.wrapping_shl(order) == pfn {
        block
    } else {
        // Something was shifted out, so this is at most half of all numbers.
        block.wrapping_add(1)
    }
}

/// The way through a window of page frames, a part at a time.
///
/// It consists of the blocks of `2^order` page frames, aligned to their size, that lie whole within
/// the window. There may be none: this is still a valid window, with one part of zero bits.
///
/// The size of a page frame does not matter here; it need not be that of the kernel's pages.
///
/// # Invariants
///
/// - `next` is at most `end`, and both times `2^order` fit into a [`u64`].
/// - `order` is less than 64.
#[derive(Clone, Debug)]
pub struct Window {
    /// Number of the block that the next part begins with.
    next: u64,
    /// Number of the block after the last one.
    end: u64,
    order: u32,
}

impl Window {
    /// Creates the way through the page frames from `start_pfn` up to, but without, `end_pfn`.
    pub fn new(start_pfn: u64, end_pfn: u64, order: u32) -> Result<Self, InvalidWindow> {
        if start_pfn >= end_pfn || order >= u64::BITS {
            return Err(InvalidWindow);
        }
        let end = end_pfn.wrapping_shr(order);
        // INVARIANT: `end` rounds down, so that it fits when multiplied again. `next` is no more
        // than that.
        Ok(Self {
            next: block_from(start_pfn, order).min(end),
            end,
            order,
        })
    }

    /// Returns the number of blocks that no part has covered yet.
    pub fn blocks(&self) -> u64 {
        self.end.saturating_sub(self.next)
    }

    /// Returns the next part, of at most `capacity` bits.
    ///
    /// Each part but the last is of exactly so many. After the last one there are only empty ones.
    /// So there are with a capacity of zero, which ends the window: nobody waits for a part that
    /// never comes.
    pub fn next_part(&mut self, capacity: usize) -> Part {
        let start = self.next;
        // More than `usize` holds is more than the capacity, too.
        let bits = usize::try_from(self.blocks()).map_or(capacity, |blocks| blocks.min(capacity));
        self.next = if bits == 0 {
            self.end
        } else {
            // INVARIANT: `bits` is at most the number of blocks from `next` to `end`.
            //
            // CAST: A `usize` has at most 64 bits.
            start.wrapping_add(bits as u64)
        };
        Part {
            start_pfn: start.wrapping_shl(self.order),
            bits,
            order: self.order,
            outcome: self.outcome(),
        }
    }

    /// Cuts the part that was taken last down to its first `bits` bits; the next part begins behind
    /// them. At least one is left, so that there is an end to it.
    pub fn cut(&mut self, part: &mut Part, bits: usize) {
        let bits = bits.max(1).min(part.bits);
        let start = block_from(part.start_pfn, part.order);
        // INVARIANT: No more than the part had, whose end was no more than `end`.
        //
        // CAST: A `usize` has at most 64 bits.
        self.next = start.saturating_add(bits as u64).min(self.end);
        part.bits = bits;
        part.outcome = self.outcome();
    }

    fn outcome(&self) -> Outcome {
        if self.next < self.end {
            Outcome::More
        } else {
            Outcome::Done
        }
    }
}

/// Sets the bits of free blocks that lie in a part of a window.
///
/// The bitmap should have been reset to the bits of the part.
pub struct PartSink<'a, P: Piece> {
    bitmap: &'a mut ScatterBitmap<P>,
    /// Number of the first block of the part.
    first: u64,
    bits: u64,
    /// In page frames.
    order: u32,
    shift: u32,
    /// The number of pages whose page frames a [`u64`] can count.
    most_pages: u64,
    /// Neighbours that came one after the other, whose bits are not set yet; empty at first.
    start: usize,
    end: usize,
    /// What is not 0 in a page frame number at which no bit begins.
    mask: usize,
}

impl<'a, P: Piece> PartSink<'a, P> {
    /// Creates a sink for blocks in `part`. A page of the kernel is `2^shift` page frames of it.
    pub fn new(bitmap: &'a mut ScatterBitmap<P>, part: &Part, shift: u32) -> Self {
        Self {
            bitmap,
            first: part.start_pfn.checked_shr(part.order).unwrap_or(0),
            // CAST: A `usize` has at most 64 bits.
            bits: part.bits as u64,
            order: part.order,
            shift,
            most_pages: u64::MAX.checked_shr(shift).unwrap_or(0),
            start: 0,
            end: 0,
            mask: 1usize
                .checked_shl(part.order.saturating_sub(shift))
                .map_or(usize::MAX, |pages| pages.wrapping_sub(1)),
        }
    }

    /// Returns the first bit and the number of bits of the blocks that lie whole within `range`
    /// and the part.
    fn bits_of(&self, range: &PfnRange) -> Option<(usize, usize)> {
        // CAST: A `usize` has at most 64 bits.
        let (start, end) = (range.start() as u64, range.end() as u64);
        if end > self.most_pages {
            return None;
        }
        let (start, end) = (start.wrapping_shl(self.shift), end.wrapping_shl(self.shift));
        let start = block_from(start, self.order).saturating_sub(self.first);
        let end = end.wrapping_shr(self.order).saturating_sub(self.first);
        let end = end.min(self.bits);
        let count = end.checked_sub(start)?;
        Some((start.try_into().ok()?, count.try_into().ok()?))
    }
}

impl<P: Piece> PartSink<'_, P> {
    /// Sets the bits of the neighbours that came last.
    #[inline(never)]
    fn flush(&mut self) {
        let range = PfnRange::new(self.start, self.end.wrapping_sub(self.start));
        if let Some((first, count)) = range.and_then(|range| self.bits_of(&range)) {
            self.bitmap.set(first, count);
        }
    }
}

impl<P: Piece> Sink for PartSink<'_, P> {
    #[inline]
    fn block(&mut self, block: PfnRange) -> Result<(), Full> {
        // Free blocks next to each other come one after the other more often than not. No bit is
        // for pages on both sides of where they meet.
        if block.start() == self.end && self.end & self.mask == 0 {
            self.end = block.end();
        } else if block.end() == self.start && self.start & self.mask == 0 {
            self.start = block.start();
        } else {
            self.flush();
            self.start = block.start();
            self.end = block.end();
        }
        Ok(())
    }
}

impl<P: Piece> Drop for PartSink<'_, P> {
    fn drop(&mut self) {
        self.flush();
    }
}
