// SPDX-License-Identifier: GPL-2.0

//! Tests of the walk over free lists that are made up, and that change in all ways.

use crate::{
    prelude::*,
    testing::Random, //
};

use super::{
    Batch,
    Cursor,
    FreeLists,
    Full,
    Neighbour,
    PfnRange,
    RunSet,
    Sink,
    Taken,
    Windowed, //
};

const ORDERS: u32 = 4;
const LISTS: usize = 3;

/// Free lists as vectors of page frame numbers, the head first.
struct Model {
    lists: KVec<KVec<usize>>,
}

impl Model {
    fn new() -> Result<Self> {
        let mut lists = KVec::new();
        for _ in 0..ORDERS as usize * LISTS {
            lists.push(KVec::new(), GFP_KERNEL)?;
        }
        Ok(Self { lists })
    }

    /// Fills the lists with blocks that do not overlap, in random order.
    fn random(random: &mut Random, blocks: usize) -> Result<Self> {
        let mut model = Self::new()?;
        for at in 0..blocks {
            model.insert(random, at * 16)?;
        }
        Ok(model)
    }

    /// Fills one list with blocks in the order of their addresses.
    fn row(list: usize, blocks: usize) -> Result<Self> {
        let mut model = Self::new()?;
        let list = model.lists.get_mut(list).ok_or(EINVAL)?;
        for at in 0..blocks {
            list.push(at * 16, GFP_KERNEL)?;
        }
        Ok(model)
    }

    /// Puts a new block at a random place.
    fn insert(&mut self, random: &mut Random, pfn: usize) -> Result {
        let lists = self.lists.len();
        let list = self.lists.get_mut(random.below(lists)).ok_or(EINVAL)?;
        list.push(pfn, GFP_KERNEL)?;
        let len = list.len();
        list.swap(random.below(len), len - 1);
        Ok(())
    }

    fn list(&self, order: u32, list: usize) -> Option<&KVec<usize>> {
        self.lists.get(order as usize * LISTS + list)
    }

    fn find(&self, order: u32, pfn: usize) -> Option<(usize, usize)> {
        (0..LISTS).find_map(|list| {
            let at = self.list(order, list)?.iter().position(|&p| p == pfn)?;
            Some((list, at))
        })
    }

    fn contains(&self, block: &PfnRange) -> bool {
        let order = block.pages().trailing_zeros();
        block.pages().is_power_of_two() && self.find(order, block.start()).is_some()
    }

    fn len(&self) -> usize {
        self.lists.iter().map(|list| list.len()).sum()
    }
}

impl FreeLists for Model {
    const LISTS: usize = LISTS;

    fn blocks(&self, order: u32) -> usize {
        (0..LISTS)
            .filter_map(|list| self.list(order, list))
            .map(|list| list.len())
            .sum()
    }

    fn last(&self, order: u32, list: usize) -> Option<usize> {
        self.list(order, list)?.last().copied()
    }

    fn before(&self, order: u32, pfn: usize) -> Neighbour {
        let Some((list, at)) = self.find(order, pfn) else {
            return Neighbour::Gone;
        };
        at.checked_sub(1)
            .and_then(|at| self.list(order, list)?.get(at))
            .map_or(Neighbour::End(list), |&pfn| Neighbour::Block(pfn))
    }

    fn after(&self, order: u32, pfn: usize) -> Neighbour {
        let Some((list, at)) = self.find(order, pfn) else {
            return Neighbour::Gone;
        };
        self.list(order, list)
            .and_then(|list| list.get(at + 1))
            .map_or(Neighbour::End(list), |&pfn| Neighbour::Block(pfn))
    }
}

/// Remembers what it was given, and is full after `room` blocks until it gets more room.
struct Collect {
    blocks: KVec<PfnRange>,
    room: usize,
}

impl Collect {
    fn new(capacity: usize) -> Result<Self> {
        Ok(Self {
            blocks: KVec::with_capacity(capacity, GFP_KERNEL)?,
            room: usize::MAX,
        })
    }

    fn times(&self, block: &PfnRange) -> usize {
        self.blocks.iter().filter(|b| *b == block).count()
    }
}

impl Sink for Collect {
    fn block(&mut self, block: PfnRange) -> Result<(), Full> {
        self.room = self.room.checked_sub(1).ok_or(Full)?;
        self.blocks.push_within_capacity(block).map_err(|_| Full)
    }
}

/// Number of batches after which a walk counts as endless.
const ENDLESS: usize = 10_000;

#[kunit_tests(rust_kernel_free_list)]
mod tests {
    use super::*;

    #[test]
    fn visits_each_block_once_at_any_batch_size() -> Result {
        let mut random = Random::new(3);
        for blocks in 0..60 {
            let model = Model::random(&mut random, blocks)?;
            let limit = 1 + random.below(9);
            // CAST: Less than `ORDERS`.
            let lowest = random.below(ORDERS as usize) as u32;
            let mut sink = Collect::new(blocks)?;
            let mut cursor = Cursor::new(ORDERS - 1, lowest);
            loop {
                let (batch, visited) = cursor.batch(&model, limit, &mut sink);
                assert!(visited <= limit);
                if batch == Batch::Done {
                    break;
                }
                assert_eq!((batch, visited), (Batch::More, limit));
            }
            let mut expected = 0;
            for order in lowest..ORDERS {
                expected += model.blocks(order);
            }
            assert_eq!(sink.blocks.len(), expected);
            let pages = sink.blocks.iter().map(|block| block.pages()).sum();
            let blocks = expected;
            assert_eq!(cursor.taken(), Taken { blocks, pages });
            for block in sink.blocks.iter() {
                assert!(model.contains(block));
                assert_eq!(sink.times(block), 1);
                assert!(block.pages() >= 1 << lowest);
            }
            assert_eq!(cursor.restarts(), 0);
        }
        Ok(())
    }

    #[test]
    fn comes_back_to_a_block_that_was_refused() -> Result {
        let mut random = Random::new(4);
        for blocks in 1..40 {
            let model = Model::random(&mut random, blocks)?;
            let mut sink = Collect::new(blocks)?;
            let mut cursor = Cursor::new(ORDERS - 1, 0);
            for _ in 0..ENDLESS {
                sink.room = random.below(4);
                let room = sink.room;
                match cursor.batch(&model, 7, &mut sink) {
                    (Batch::Done, _) => break,
                    (Batch::Full, visited) => assert_eq!(visited, room + 1),
                    (Batch::More, visited) => assert_eq!(visited, 7),
                }
            }
            assert_eq!(sink.blocks.len(), model.len());
            for block in sink.blocks.iter() {
                assert_eq!(sink.times(block), 1);
            }
        }
        Ok(())
    }

    #[test]
    fn empty_ranges_of_orders_end_at_once() -> Result {
        let model = Model::new()?;
        let mut sink = Collect::new(0)?;
        assert_eq!(
            Cursor::new(ORDERS - 1, 0).batch(&model, 1, &mut sink),
            (Batch::Done, 0)
        );
        assert_eq!(
            Cursor::new(0, 1).batch(&model, 1, &mut sink),
            (Batch::Done, 0)
        );
        // An order that no list has.
        assert_eq!(
            Cursor::new(99, 90).batch(&model, 1, &mut sink),
            (Batch::Done, 0)
        );
        Ok(())
    }

    /// Neighbours make one run, wherever the batches end.
    #[test]
    fn runs_do_not_depend_on_the_batches() -> Result {
        const ORDER: u32 = ORDERS - 1;
        let mut random = Random::new(8);
        for _ in 0..50 {
            // Three runs of blocks, each in order but for a shuffle of near entries.
            let mut model = Model::new()?;
            let list = model.lists.get_mut(ORDER as usize * LISTS).ok_or(EINVAL)?;
            let len = 10 + random.below(20);
            for run in 0..3 {
                for at in 0..len {
                    list.push(((run * 100 + at) << ORDER) + 8, GFP_KERNEL)?;
                }
            }
            for at in 1..list.len() {
                list.swap(at, at - random.below(2));
            }
            for limit in 1..12 {
                let mut runs = RunSet::<PfnRange>::new(8)?;
                let mut cursor = Cursor::new(ORDER, ORDER);
                while cursor.batch(&model, limit, &mut runs).0 != Batch::Done {}
                for run in [2, 1, 0] {
                    let whole = PfnRange::new(((run * 100) << ORDER) + 8, len << ORDER);
                    assert_eq!(runs.take_longest(), whole);
                }
                assert!(runs.is_empty());
            }
        }
        Ok(())
    }

    /// Inside the window exactly what is free there, at any order.
    #[test]
    fn windows_cut_blocks_and_nothing_else() -> Result {
        let mut random = Random::new(9);
        for _ in 0..100 {
            let blocks = 1 + random.below(20);
            let model = Model::random(&mut random, blocks)?;
            let window = PfnRange::new(random.below(200), 1 + random.below(200)).ok_or(EINVAL)?;
            // CAST: Less than `ORDERS`.
            let order = random.below(ORDERS as usize) as u32;
            let mut all = Collect::new(blocks)?;
            let mut part = Collect::new(blocks)?;
            Cursor::new(ORDERS - 1, 0).batch(&model, usize::MAX, &mut all);
            let mut windowed = Windowed::new(window, order, &mut part);
            Cursor::new(ORDERS - 1, 0).batch(&model, usize::MAX, &mut windowed);
            for start in (0..400).step_by(1 << order) {
                let unit = PfnRange::block(start, order).ok_or(EINVAL)?;
                let free = all.blocks.iter().any(|block| block.contains(&unit));
                let times = part
                    .blocks
                    .iter()
                    .filter(|block| block.contains(&unit))
                    .count();
                assert_eq!(times, usize::from(free && window.contains(&unit)));
            }
            for block in part.blocks.iter() {
                assert!(window.contains(block));
            }
        }
        Ok(())
    }

    /// The usual churn: blocks leave and join at the heads.
    #[test]
    fn churn_at_the_heads_hides_nothing_behind_it() -> Result {
        let mut random = Random::new(5);
        for _ in 0..100 {
            let blocks = 30 + random.below(60);
            let mut model = Model::random(&mut random, blocks)?;
            let mut sink = Collect::new(4 * blocks)?;
            let mut cursor = Cursor::new(ORDERS - 1, 0);
            let mut touched = KVec::<usize>::new();
            let mut next_pfn = blocks * 16;
            for batches in 0.. {
                assert!(batches < ENDLESS);
                if cursor.batch(&model, 3, &mut sink).0 == Batch::Done {
                    break;
                }
                let at = random.below(model.lists.len());
                let list = model.lists.get_mut(at).ok_or(EINVAL)?;
                if random.below(2) == 0 {
                    // Like an allocation.
                    if let Ok(pfn) = list.remove(0) {
                        touched.push(pfn, GFP_KERNEL)?;
                    }
                } else if batches < 200 {
                    list.push(next_pfn, GFP_KERNEL)?;
                    list.rotate_right(1);
                    touched.push(next_pfn, GFP_KERNEL)?;
                    next_pfn += 16;
                }
            }
            for at in 0..blocks {
                if touched.contains(&(at * 16)) {
                    continue;
                }
                let times = sink.blocks.iter().filter(|b| b.start() == at * 16).count();
                assert_eq!(times, 1);
            }
        }
        Ok(())
    }

    /// Blocks come, go and move anywhere between any two batches.
    #[test]
    fn any_churn_ends_and_reports_only_free_blocks() -> Result {
        let mut random = Random::new(6);
        for _ in 0..200 {
            let blocks = 1 + random.below(60);
            let mut model = Model::random(&mut random, blocks)?;
            let mut sink = Collect::new(16 * 1024)?;
            let mut cursor = Cursor::new(ORDERS - 1, 0);
            let limit = 1 + random.below(5);
            let mut most = 0;
            for batches in 0.. {
                assert!(batches < ENDLESS);
                let before = sink.blocks.len();
                let (batch, _) = cursor.batch(&model, limit, &mut sink);
                for block in sink.blocks.iter().skip(before) {
                    assert!(model.contains(block));
                }
                most = most.max(model.len());
                if batch == Batch::Done {
                    break;
                }
                for _ in 0..random.below(6) {
                    let at = random.below(model.lists.len());
                    let list = model.lists.get_mut(at).ok_or(EINVAL)?;
                    let taken = match list.len() {
                        0 => None,
                        len => list.remove(random.below(len)).ok(),
                    };
                    match taken {
                        // Freed again, as part of another list or order.
                        Some(pfn) if random.below(3) != 0 => model.insert(&mut random, pfn)?,
                        Some(_) => {}
                        None => model.insert(&mut random, blocks * 16 + batches * 16)?,
                    }
                }
            }
            // Each list has a budget of at most all blocks.
            assert!(sink.blocks.len() <= model.lists.len() * most);
        }
        Ok(())
    }

    /// What others free in front of the walk does not keep it in a list.
    #[test]
    fn a_list_that_grows_comes_to_an_end() -> Result {
        const BLOCKS: usize = 8;
        let order = ORDERS - 1;
        let mut model = Model::new()?;
        let mut sink = Collect::new(4 * BLOCKS)?;
        let mut cursor = Cursor::new(order, order);
        let mut done = false;
        for at in 0..3 * BLOCKS {
            let list = model.lists.get_mut(order as usize * LISTS).ok_or(EINVAL)?;
            list.push(at * 16, GFP_KERNEL)?;
            list.rotate_right(1);
            if at >= BLOCKS && !done {
                done = cursor.batch(&model, 1, &mut sink).0 == Batch::Done;
            }
        }
        assert!(done);
        // The one that came before the walk did is there, too.
        assert_eq!(sink.blocks.len(), BLOCKS + 1);
        Ok(())
    }

    /// The entry after which the walk stopped is taken, and freed again to the head of its list.
    #[test]
    fn an_entry_that_comes_back_at_the_head_does_not_hide_the_rest() -> Result {
        let order = ORDERS - 1;
        let first = order as usize * LISTS;
        let mut model = Model::row(first, 8)?;
        let mut sink = Collect::new(64)?;
        let mut cursor = Cursor::new(order, order);
        // From the tail on: the last one is that of number 5.
        assert_eq!(cursor.batch(&model, 3, &mut sink), (Batch::More, 3));
        let list = model.lists.get_mut(first).ok_or(EINVAL)?;
        let moved = list.remove(5)?;
        list.push(moved, GFP_KERNEL)?;
        list.rotate_right(1);
        assert_eq!(cursor.batch(&model, 64, &mut sink).0, Batch::Done);
        for at in 0..8 {
            let block = PfnRange::block(at * 16, order).ok_or(EINVAL)?;
            assert!(sink.times(&block) >= 1);
        }
        assert_eq!(cursor.restarts(), 0);
        Ok(())
    }

    /// The entry after which the walk stopped moves into a list that comes later.
    #[test]
    fn an_entry_that_strays_into_another_list_does_not_hide_this_one() -> Result {
        let order = ORDERS - 1;
        let first = order as usize * LISTS;
        let mut model = Model::row(first, 8)?;
        let mut sink = Collect::new(64)?;
        let mut cursor = Cursor::new(order, order);
        assert_eq!(cursor.batch(&model, 1, &mut sink), (Batch::More, 1));
        let moved = model
            .lists
            .get_mut(first)
            .ok_or(EINVAL)?
            .pop()
            .ok_or(EINVAL)?;
        let other = model.lists.get_mut(first + 1).ok_or(EINVAL)?;
        other.push(moved, GFP_KERNEL)?;
        assert_eq!(cursor.batch(&model, 64, &mut sink).0, Batch::Done);
        for at in 0..7 {
            let block = PfnRange::block(at * 16, order).ok_or(EINVAL)?;
            assert!(sink.times(&block) >= 1);
        }
        assert_eq!(cursor.restarts(), 1);
        Ok(())
    }
}
