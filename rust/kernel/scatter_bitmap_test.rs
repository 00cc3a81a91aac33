// SPDX-License-Identifier: GPL-2.0

//! Tests of the bitmap and of its windows, against a model that knows one bit at a time.

use crate::{
    mm::{
        PfnRange,
        Sink, //
    },
    prelude::*,
    testing::Random, //
};

use super::scatter_bitmap::{
    Outcome,
    Part,
    PartSink,
    Piece,
    ScatterBitmap,
    Window, //
};

type Bitmap = ScatterBitmap<KVec<u64>>;

/// A piece that can be looked at when the bitmap is gone.
struct Lent<'a>(&'a mut [u64]);

impl Piece for Lent<'_> {
    fn words(&self) -> &[u64] {
        self.0
    }

    fn words_mut(&mut self) -> &mut [u64] {
        self.0
    }
}

/// Returns a bitmap of pieces of the given numbers of words, full of ones.
fn bitmap(words: &[usize]) -> Result<Bitmap> {
    let mut pieces = KVec::new();
    for &len in words {
        pieces.push(KVec::from_elem(u64::MAX, len, GFP_KERNEL)?, GFP_KERNEL)?;
    }
    ScatterBitmap::new(pieces)
}

/// Returns a bitmap of up to six pieces of up to five words each; some are empty.
fn random_bitmap(random: &mut Random) -> Result<Bitmap> {
    let mut words = [0; 6];
    for len in &mut words {
        *len = random.below(6);
    }
    bitmap(words.get(..1 + random.below(6)).ok_or(EINVAL)?)
}

/// One bit at a time, as it is on the wire.
struct Model {
    bytes: KVec<u8>,
    bits: usize,
}

impl Model {
    fn new(bits: usize) -> Result<Self> {
        let bytes = KVec::from_elem(0, bits.div_ceil(64) * 8, GFP_KERNEL)?;
        Ok(Self { bytes, bits })
    }

    fn set(&mut self, bit: usize) {
        if bit < self.bits {
            self.bytes[bit / 8] |= 1 << (bit % 8);
        }
    }

    fn get(&self, bit: usize) -> bool {
        self.bytes[bit / 8] & (1 << (bit % 8)) != 0
    }
}

/// Returns the bytes of a bitmap as the device sees them.
fn bytes<P: Piece>(bitmap: &ScatterBitmap<P>) -> Result<KVec<u8>> {
    let mut bytes = KVec::new();
    for words in bitmap.used() {
        assert!(!words.is_empty());
        for word in words {
            bytes.extend_from_slice(&word.to_ne_bytes(), GFP_KERNEL)?;
        }
    }
    Ok(bytes)
}

fn assert_same<P: Piece>(bitmap: &ScatterBitmap<P>, model: &Model) -> Result {
    assert_eq!(bitmap.bits(), model.bits);
    assert_eq!(bytes(bitmap)?.as_slice(), model.bytes.as_slice());
    let set = (0..model.bits).filter(|&bit| model.get(bit)).count();
    assert_eq!(bitmap.count_set(), set);
    Ok(())
}

/// Free memory, a bit for each page of the kernel, and the blocks that it consists of.
struct FreeMemory {
    free: [bool; PAGES],
    blocks: KVec<PfnRange>,
}

const PAGES: usize = 512;

impl FreeMemory {
    fn random(random: &mut Random) -> Result<Self> {
        let mut free = [false; PAGES];
        let mut blocks = KVec::new();
        let mut pfn = 0;
        while pfn < PAGES {
            let order = random.below(7).min(pfn.trailing_zeros() as usize);
            if random.below(2) == 0 {
                let block = PfnRange::block(pfn, order as u32).ok_or(EINVAL)?;
                free[pfn..block.end()].fill(true);
                blocks.push(block, GFP_KERNEL)?;
            }
            pfn += 1 << order;
        }
        for at in 1..blocks.len() {
            blocks.swap(at, random.below(at + 1));
        }
        Ok(Self { free, blocks })
    }

    /// Returns whether one block of the allocator holds all of this.
    fn in_one_block(&self, start: u64, end: u64, shift: u32) -> bool {
        self.blocks.iter().any(|block| {
            (block.start() as u64) << shift <= start && end <= (block.end() as u64) << shift
        })
    }
}

#[kunit_tests(rust_kernel_scatter_bitmap)]
mod tests {
    use super::*;

    #[test]
    fn ranges_in_pieces_of_all_sizes_match_the_model() -> Result {
        let mut random = Random::new(20);
        for _ in 0..500 {
            let mut bitmap = random_bitmap(&mut random)?;
            // Not always a multiple of 64, and at times more than there is room for.
            for _ in 0..3 {
                bitmap.reset(random.below(bitmap.capacity() + 70));
                let mut model = Model::new(bitmap.bits())?;
                assert_same(&bitmap, &model)?;
                for _ in 0..random.below(6) {
                    let first = random.below(bitmap.capacity() + 70);
                    let most = if random.below(2) == 0 { 4 } else { 700 };
                    let count = random.below(most);
                    bitmap.set(first, count);
                    (first..first + count).for_each(|bit| model.set(bit));
                }
                assert_same(&bitmap, &model)?;
            }
        }
        Ok(())
    }

    #[test]
    fn each_bit_has_its_place() -> Result {
        let mut bitmap = bitmap(&[2, 0, 1, 3])?;
        assert_eq!(bitmap.capacity(), 384);
        for bits in [383, 384] {
            for bit in 0..bits {
                bitmap.reset(bits);
                bitmap.set(bit, 1);
                let mut model = Model::new(bits)?;
                model.set(bit);
                assert_same(&bitmap, &model)?;
            }
        }
        Ok(())
    }

    #[test]
    fn nothing_beyond_the_bits_is_touched() -> Result {
        let mut words = [u64::MAX; 4];
        let (first, rest) = words.split_at_mut(1);
        let (second, third) = rest.split_at_mut(2);
        let mut pieces = KVec::new();
        for words in [first, second, third] {
            pieces.push(Lent(words), GFP_KERNEL)?;
        }
        let mut bitmap = ScatterBitmap::new(pieces)?;
        // What is not in use keeps its ones.
        bitmap.reset(70);
        for (first, count) in [(70, 1), (64, 6), (usize::MAX, usize::MAX), (0, 0), (255, 1)] {
            bitmap.set(first, count);
        }
        assert_eq!(bitmap.count_set(), 6);
        bitmap.set(3, usize::MAX);
        assert_eq!(bitmap.count_set(), 67);
        assert_eq!(bitmap.used().map(<[u64]>::len).sum::<usize>(), 2);
        drop(bitmap);
        assert_eq!(
            words,
            [(!7u64).to_le(), 0x3fu64.to_le(), u64::MAX, u64::MAX]
        );
        Ok(())
    }

    #[test]
    fn pages_as_pieces() -> Result {
        let mut pieces = KVec::new();
        for _ in 0..3 {
            pieces.push(KBox::new([0u64; 512], GFP_KERNEL)?, GFP_KERNEL)?;
        }
        let mut bitmap = ScatterBitmap::new(pieces)?;
        assert_eq!(bitmap.capacity(), 3 << 15);
        bitmap.reset(usize::MAX);
        let mut model = Model::new(3 << 15)?;
        for (first, count) in [(0, 1), (32_767, 2), (32_700, 32_900), ((3 << 15) - 1, 9)] {
            bitmap.set(first, count);
            (first..first + count).for_each(|bit| model.set(bit));
        }
        assert_same(&bitmap, &model)
    }

    #[test]
    fn a_bitmap_without_room() -> Result {
        for words in [&[][..], &[0][..], &[0, 0][..]] {
            let mut bitmap = bitmap(words)?;
            bitmap.reset(1);
            bitmap.set(0, 1);
            assert_eq!((bitmap.capacity(), bitmap.bits()), (0, 0));
            assert_eq!(bitmap.count_set(), 0);
            assert!(bitmap.used().next().is_none());
        }
        Ok(())
    }

    #[test]
    fn windows_that_are_none() {
        for (start, end, order) in [(0, 0, 0), (9, 9, 3), (9, 8, 0), (u64::MAX, 0, 9)] {
            assert!(Window::new(start, end, order).is_err());
        }
        assert!(Window::new(0, 1, 64).is_err());
        assert!(Window::new(0, 1, u32::MAX).is_err());
        assert!(Window::new(0, 1, 63).is_ok());
    }

    #[test]
    fn windows_at_the_end_of_all_numbers() -> Result {
        let last = Part {
            start_pfn: u64::MAX - 1,
            bits: 1,
            order: 0,
            outcome: Outcome::Done,
        };
        let mut window = Window::new(u64::MAX - 1, u64::MAX, 0).map_err(|_| EINVAL)?;
        assert_eq!(window.next_part(usize::MAX), last);
        // The first aligned page frame would be 2^64.
        let mut window = Window::new(u64::MAX - 1, u64::MAX, 9).map_err(|_| EINVAL)?;
        let part = window.next_part(1);
        assert_eq!((part.bits, part.outcome), (0, Outcome::Done));
        let mut window = Window::new(0, u64::MAX, 63).map_err(|_| EINVAL)?;
        let part = window.next_part(5);
        assert_eq!((part.bits, part.outcome), (1, Outcome::Done));
        // More blocks than a `usize` may hold.
        let mut window = Window::new(0, u64::MAX, 0).map_err(|_| EINVAL)?;
        let part = window.next_part(7);
        assert_eq!((part.bits, part.outcome), (7, Outcome::More));
        assert_eq!(window.next_part(7).start_pfn, 7);
        Ok(())
    }

    #[test]
    fn no_room_ends_a_window() -> Result {
        let mut window = Window::new(0, 100, 0).map_err(|_| EINVAL)?;
        assert_eq!(window.next_part(10).outcome, Outcome::More);
        for _ in 0..2 {
            let part = window.next_part(0);
            assert_eq!((part.bits, part.outcome), (0, Outcome::Done));
        }
        assert_eq!(window.next_part(10).bits, 0);
        Ok(())
    }

    #[test]
    fn parts_cover_exactly_the_whole_blocks() -> Result {
        let mut random = Random::new(21);
        for _ in 0..2000 {
            let start = random.below(300) as u64;
            let end = start + 1 + random.below(300) as u64;
            let order = random.below(7) as u32;
            let capacity = 1 + random.below(80);
            let inside = |block: &u64| block << order >= start && (block + 1) << order <= end;
            let blocks = (0..=end).filter(inside).count();

            let mut window = Window::new(start, end, order).map_err(|_| EINVAL)?;
            assert_eq!(window.blocks(), blocks as u64);
            let mut next = (0..=end).find(inside).map(|block| block << order);
            let mut parts = 0;
            let mut bits = 0;
            loop {
                let part = window.next_part(capacity);
                parts += 1;
                bits += part.bits;
                assert_eq!(part.order, order);
                assert_eq!(part.start_pfn % (1 << order), 0);
                if let Some(next) = &mut next {
                    assert_eq!(part.start_pfn, *next);
                    *next += (part.bits as u64) << order;
                }
                match part.outcome {
                    Outcome::More => assert_eq!(part.bits, capacity),
                    Outcome::Done => break,
                }
            }
            assert_eq!(bits, blocks);
            assert_eq!(parts, blocks.div_ceil(capacity).max(1));
        }
        Ok(())
    }

    #[test]
    fn parts_that_are_cut_cover_the_window_too() -> Result {
        let mut random = Random::new(22);
        for _ in 0..2000 {
            let start = random.below(300) as u64;
            let end = start + 1 + random.below(300) as u64;
            let order = random.below(7) as u32;
            let mut window = Window::new(start, end, order).map_err(|_| EINVAL)?;
            let mut whole = window.clone();
            let whole = whole.next_part(usize::MAX);
            let mut next = whole.start_pfn;
            let mut bits = 0;
            loop {
                let mut part = window.next_part(1 + random.below(80));
                let had = part.bits;
                if random.below(2) == 0 {
                    // To more than there is, and to nothing, too.
                    let to = random.below(100);
                    window.cut(&mut part, to);
                    assert_eq!(part.bits, to.max(1).min(had));
                }
                assert_eq!(part.start_pfn, next);
                next += (part.bits as u64) << order;
                bits += part.bits;
                if part.outcome == Outcome::Done {
                    break;
                }
                assert!(part.bits > 0);
            }
            assert_eq!(bits, whole.bits);
        }
        Ok(())
    }

    #[test]
    fn what_is_truncated_is_gone() -> Result {
        let mut random = Random::new(23);
        for _ in 0..500 {
            let mut bitmap = random_bitmap(&mut random)?;
            bitmap.reset(random.below(bitmap.capacity() + 1));
            let (first, count) = (random.below(200), random.below(700));
            bitmap.set(first, count);
            let bits = random.below(bitmap.capacity() + 70).min(bitmap.bits());
            bitmap.truncate(bits);
            let mut model = Model::new(bits)?;
            (first..first + count).for_each(|bit| model.set(bit));
            assert_same(&bitmap, &model)?;
        }
        Ok(())
    }

    /// Several parts together are one big one, and that is what a look at each page says.
    #[test]
    fn parts_of_a_window_match_the_model() -> Result {
        let mut random = Random::new(22);
        for _ in 0..200 {
            let memory = FreeMemory::random(&mut random)?;
            // Pages of the kernel that are larger than page frames, too.
            let shift = random.below(3) as u32;
            let order = random.below(8) as u32;
            // Windows that end beyond all memory, too.
            let start = random.below(PAGES << shift) as u64;
            let end = start + 1 + random.below((PAGES + 60) << shift) as u64;
            let mut parted = random_bitmap(&mut random)?;
            if parted.capacity() == 0 {
                continue;
            }

            let mut window = Window::new(start, end, order).map_err(|_| EINVAL)?;
            let blocks = window.blocks() as usize;
            let mut whole = bitmap(&[blocks.div_ceil(64)])?;
            whole.reset(blocks);
            let part = window.clone().next_part(usize::MAX);
            let mut sink = PartSink::new(&mut whole, &part, shift);
            for block in memory.blocks.iter() {
                assert!(sink.block(*block).is_ok());
            }
            drop(sink);

            let mut model = Model::new(blocks)?;
            for bit in 0..blocks {
                let first = part.start_pfn + ((bit as u64) << order);
                let end = first + (1 << order);
                if memory.in_one_block(first, end, shift) {
                    model.set(bit);
                    let all = (first >> shift) as usize..end.div_ceil(1 << shift) as usize;
                    assert!(memory.free[all].iter().all(|&free| free));
                }
            }
            assert_same(&whole, &model)?;

            // A capacity that is no multiple of 64, in pieces of all sizes.
            let capacity = 1 + random.below(parted.capacity());
            let mut first = 0;
            loop {
                let part = window.next_part(capacity);
                parted.reset(part.bits);
                let mut sink = PartSink::new(&mut parted, &part, shift);
                for block in memory.blocks.iter() {
                    assert!(sink.block(*block).is_ok());
                }
                drop(sink);
                let mut expected = Model::new(part.bits)?;
                (0..part.bits)
                    .filter(|&bit| model.get(first + bit))
                    .for_each(|bit| expected.set(bit));
                assert_same(&parted, &expected)?;
                first += part.bits;
                if part.outcome == Outcome::Done {
                    break;
                }
            }
            assert_eq!(first, blocks);
        }
        Ok(())
    }

    /// A block that crosses an end of the window or of the part sets the bits inside, and no other.
    #[test]
    fn large_blocks_are_cut() -> Result {
        let mut bitmap = bitmap(&[1, 1])?;
        let mut window = Window::new(100, 300, 2).map_err(|_| EINVAL)?;
        let part = window.next_part(30);
        bitmap.reset(part.bits);
        let mut sink = PartSink::new(&mut bitmap, &part, 0);
        let all = PfnRange::block(0, 10).ok_or(EINVAL)?;
        assert!(sink.block(all).is_ok());
        drop(sink);
        assert_eq!(bitmap.count_set(), 30);

        // Nor beyond the part, if the bitmap is larger.
        bitmap.reset(100);
        let mut sink = PartSink::new(&mut bitmap, &part, 0);
        assert!(sink.block(all).is_ok());
        drop(sink);
        assert_eq!(bitmap.count_set(), 30);

        bitmap.reset(part.bits);
        let mut sink = PartSink::new(&mut bitmap, &part, 0);
        for (pfn, order) in [(96, 2), (100, 1), (102, 1), (220, 2), (103, 0)] {
            // Before the part, smaller than a block, and after the part.
            assert!(sink
                .block(PfnRange::block(pfn, order).ok_or(EINVAL)?)
                .is_ok());
        }
        drop(sink);
        assert_eq!(bitmap.count_set(), 0);
        let mut sink = PartSink::new(&mut bitmap, &part, 0);
        for pfn in [100, 216] {
            assert!(sink.block(PfnRange::block(pfn, 2).ok_or(EINVAL)?).is_ok());
        }
        drop(sink);
        let mut model = Model::new(30)?;
        model.set(0);
        model.set(29);
        assert_same(&bitmap, &model)
    }
}
