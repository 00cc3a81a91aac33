// SPDX-License-Identifier: GPL-2.0

//! The way through a zone's free lists, without the zone.
//!
//! A zone has a list of free blocks for each order and migrate type. The walk goes from the
//! highest order down, visits at most a given number of entries under one hold of the zone's lock,
//! and goes on where it was under the next one. Between two holds the lists change.
//!
//! How the place survives the gap:
//!
//! - The walk goes from the tail of a list to its head. Pages are allocated from the head, and
//!   most are freed to it, so what lies behind the walk changes least.
//! - The last few entries that were visited are remembered by their page frame number: the
//!   *trail*. Nothing is written to the list or to a page.
//! - On return the newest of these that is still the start of a free block of this order, and
//!   whose successor is still the entry visited before it, is where the walk goes on. An entry
//!   that left the list and came back at another place fails the second test. If none passes it,
//!   the newest that is still free serves.
//! - If the whole trail is gone, the list is walked again from its tail.
//!
//! How it ends: each list has a budget, the number of entries that there were at this order when
//! the walk came to it. No entry is visited beyond it, whatever others add meanwhile.
//!
//! While nobody else changes the lists, each entry is visited exactly once. Under churn an entry
//! may be missed or visited again; in both cases what was reported was free when it was visited.

use crate::prelude::*;

use super::PfnRange;

/// What lies next to an entry of a free list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Neighbour {
    /// The block that starts at this page frame.
    Block(usize),
    /// The head of the list of this number.
    End(usize),
    /// The entry itself is not the start of a free block of the given order.
    Gone,
}

/// A zone's free lists at one instant; they do not change while the value exists.
pub trait FreeLists {
    /// Number of lists of each order.
    const LISTS: usize;

    /// Returns the number of blocks of exactly this order, in all its lists.
    fn blocks(&self, order: u32) -> usize;

    /// Returns the page frame number of the last entry of a list.
    ///
    /// Returns [`None`] for a list that is empty, does not exist, or is not to be walked.
    fn last(&self, order: u32, list: usize) -> Option<usize>;

    /// Returns what comes before the block of this order at `pfn`, towards the head of its list.
    fn before(&self, order: u32, pfn: usize) -> Neighbour;

    /// Returns what comes after the block of this order at `pfn`, towards the tail of its list.
    fn after(&self, order: u32, pfn: usize) -> Neighbour;

    /// Returns what comes before a block like [`FreeLists::before`], and need not look whether it
    /// is one.
    ///
    /// # Safety
    ///
    /// `pfn` must be one that this value has returned as an entry of a list of this order.
    unsafe fn onward(&self, order: u32, pfn: usize) -> Neighbour {
        self.before(order, pfn)
    }
}

/// The sink cannot take a block now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Takes the blocks that a walk finds.
///
/// It is called with the zone's lock held and interrupts off: it must neither sleep, allocate nor
/// print, and must not touch the pages.
pub trait Sink {
    /// Takes a block, or refuses it: the walk then stops, and comes back to the same block.
    fn block(&mut self, block: PfnRange) -> Result<(), Full>;
}

/// Takes the part of each block that lies in a window, and hands it on.
///
/// A window of page frames need not begin or end with a block.
pub struct Windowed<'a, S: Sink> {
    window: PfnRange,
    order: u32,
    sink: &'a mut S,
}

impl<'a, S: Sink> Windowed<'a, S> {
    /// Creates a sink that hands on whole blocks of `2^order` pages, aligned to their size, that
    /// lie within `window`.
    pub fn new(window: PfnRange, order: u32, sink: &'a mut S) -> Self {
        Self {
            window,
            order,
            sink,
        }
    }
}

impl<S: Sink> Sink for Windowed<'_, S> {
    fn block(&mut self, block: PfnRange) -> Result<(), Full> {
        match block.clip(&self.window, self.order) {
            Some(part) => self.sink.block(part),
            None => Ok(()),
        }
    }
}

/// How a batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batch {
    /// The limit was reached.
    More,
    /// The sink was full.
    Full,
    /// All the lists were walked.
    Done,
}

/// Number of entries that a walk remembers, a power of two.
const TRAIL: usize = 16;

/// The entries of a list that were visited last.
struct Trail {
    /// The one that was visited as the nth is at n modulo their number.
    pfns: [usize; TRAIL],
    visited: usize,
}

impl Trail {
    const fn new() -> Self {
        Self {
            pfns: [0; TRAIL],
            visited: 0,
        }
    }

    /// Forgets all of it. What is in the slots is not looked at any more.
    fn clear(&mut self) {
        self.visited = 0;
    }

    fn push(&mut self, pfn: usize) {
        if let Some(slot) = self.pfns.get_mut(self.visited & (TRAIL - 1)) {
            *slot = pfn;
        }
        self.visited = self.visited.saturating_add(1);
    }

    /// Returns an entry by its age, 1 for the newest.
    fn by_age(&self, age: usize) -> Option<usize> {
        let nth = self.visited.checked_sub(age)?;
        self.pfns.get(nth & (TRAIL - 1)).copied()
    }

    /// Returns what the walk comes to next, or [`None`] if nothing of the trail is left.
    fn next<L: FreeLists>(&self, lists: &L, order: u32) -> Option<Neighbour> {
        let mut newest_free = None;
        for age in 1..=TRAIL {
            let Some(pfn) = self.by_age(age) else {
                break;
            };
            let successor = lists.after(order, pfn);
            if successor == Neighbour::Gone {
                continue;
            }
            newest_free = newest_free.or(Some(pfn));
            let in_place = if age == self.visited {
                // The first entry of all was the last one of its list.
                matches!(successor, Neighbour::End(_))
            } else if age < TRAIL {
                let older = self.by_age(age.wrapping_add(1));
                older.is_some_and(|older| successor == Neighbour::Block(older))
            } else {
                false
            };
            if in_place {
                return Some(lists.before(order, pfn));
            }
        }
        newest_free.map(|pfn| lists.before(order, pfn))
    }
}

/// The place of a walk in the free lists of one zone.
pub struct Cursor {
    order: u32,
    lowest: u32,
    list: usize,
    /// Entries that may still be visited in this list; [`None`] before its first one.
    budget: Option<usize>,
    trail: Trail,
    restarts: usize,
    taken: Taken,
    done: bool,
}

/// What the sink of a walk has taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Free blocks.
    pub blocks: usize,
    /// Pages of these.
    pub pages: usize,
}

impl Cursor {
    /// Creates a cursor for a walk from order `highest` down to order `lowest`, both included.
    pub const fn new(highest: u32, lowest: u32) -> Self {
        Self {
            order: highest,
            lowest,
            list: 0,
            budget: None,
            trail: Trail::new(),
            restarts: 0,
            taken: Taken {
                blocks: 0,
                pages: 0,
            },
            done: highest < lowest,
        }
    }

    /// Returns how often the place in a list was lost and the list was walked again.
    pub fn restarts(&self) -> usize {
        self.restarts
    }

    /// Returns what was taken since the walk began.
    pub fn taken(&self) -> Taken {
        self.taken
    }

    /// Visits up to `limit` entries.
    ///
    /// Returns how the batch ended and how many entries it looked at. An entry that the sink
    /// refused counts, too.
    pub fn batch<L: FreeLists>(
        &mut self,
        lists: &L,
        limit: usize,
        sink: &mut impl Sink,
    ) -> (Batch, usize) {
        let mut visited = 0usize;
        while !self.done {
            let order = self.order;
            let budget = match self.budget {
                Some(budget) => budget,
                None => lists.blocks(order),
            };
            let mut at = self.resume(lists);
            // One number to look at for each entry: this loop is what a walk costs.
            let most = budget.min(limit.saturating_sub(visited));
            let mut left = most;
            let mut refused = false;
            while let Neighbour::Block(pfn) = at {
                if left == 0 {
                    break;
                }
                left = left.wrapping_sub(1);
                if let Some(block) = PfnRange::block(pfn, order) {
                    if sink.block(block).is_err() {
                        refused = true;
                        break;
                    }
                }
                self.trail.push(pfn);
                // SAFETY: `pfn` came out of `resume()` or of this function just now, which have it
                // from `lists`.
                at = unsafe { lists.onward(order, pfn) };
            }
            // At most `most`, so that none of these wraps.
            let entries = most.wrapping_sub(left);
            visited = visited.wrapping_add(entries);
            let mut budget = budget.wrapping_sub(entries);
            let blocks = entries.saturating_sub(refused.into());
            self.taken.blocks = self.taken.blocks.saturating_add(blocks);
            let pages = blocks.saturating_mul(1usize.checked_shl(order).unwrap_or(0));
            self.taken.pages = self.taken.pages.saturating_add(pages);
            if refused {
                // It comes again, and takes from the budget then.
                budget = budget.wrapping_add(1);
                self.budget = Some(budget);
                return (Batch::Full, visited);
            }
            if budget != 0 && matches!(at, Neighbour::Block(_)) {
                self.budget = Some(budget);
                return (Batch::More, visited);
            }

            // The head of another list: the entry had moved there. Walk the rest of this one. That
            // ends: from the tail on nothing strays under this hold, so the next round takes from
            // the budget.
            let strayed = matches!(at, Neighbour::End(list) if list != self.list);
            if strayed && budget != 0 {
                self.trail.clear();
                self.restarts = self.restarts.saturating_add(1);
                self.budget = Some(budget);
                continue;
            }
            self.next_list::<L>();
        }
        (Batch::Done, visited)
    }

    /// Returns the entry to go on with.
    fn resume<L: FreeLists>(&mut self, lists: &L) -> Neighbour {
        match self.trail.next(lists, self.order) {
            Some(next) => return next,
            None if self.trail.visited != 0 => {
                self.trail.clear();
                self.restarts = self.restarts.saturating_add(1);
            }
            None => {}
        }
        match lists.last(self.order, self.list) {
            Some(pfn) => Neighbour::Block(pfn),
            None => Neighbour::End(self.list),
        }
    }

    /// Goes on to the next list, or to the next order.
    fn next_list<L: FreeLists>(&mut self) {
        self.trail.clear();
        self.budget = None;
        self.list = self.list.saturating_add(1);
        if self.list >= L::LISTS {
            self.list = 0;
            match self.order.checked_sub(1) {
                Some(order) if order >= self.lowest => self.order = order,
                _ => self.done = true,
            }
        }
    }
}
