// SPDX-License-Identifier: GPL-2.0

//! Pages on their way into the balloon or out of it, and the numbers by which the host knows them.

use kernel::{
    bindings,
    mm::{
        BalloonPage,
        BalloonPages,
        PageRun,
        PageRunStack,
        PfnRange,
        Run, //
    },
    prelude::*,
    virtio::{
        self,
        Buffer,
        OutBuffer,
        Segment, //
    }, //
};
use zerocopy::little_endian::U64;
use zerocopy_derive::{
    Immutable,
    IntoBytes, //
};

use crate::{
    events::{
        Deflate,
        Inflate, //
    },
    policy::DEFAULT_ORDER,
    target::{
        first_balloon_pfn,
        BALLOON_PAGES_PER_PAGE, //
    },
};

pub(crate) use crate::events::{
    Format,
    Purpose, //
};

/// Numbers of balloon pages in a buffer: as many as every host copes with.
const NUMBERS: usize = 256;

/// Most single pages of the guest in a buffer.
pub(crate) const MAX_PAGES: usize = NUMBERS / BALLOON_PAGES_PER_PAGE;

static_assert!(MAX_PAGES > 0);

/// The order of blocks that go into the balloon as they are.
pub(crate) const BLOCK_ORDER: u32 = DEFAULT_ORDER;

/// Pages of such a block.
pub(crate) const BLOCK_PAGES: usize = 1 << BLOCK_ORDER;

/// Most blocks in a buffer, 128 MiB of them: after each buffer there is progress to be
/// seen, and an opportunity to stop.
pub(crate) const MAX_BLOCKS: usize = 64;

/// Most extents in a buffer (`VIRTIO_BALLOON_EXTENTS_MAX`).
// CAST: A small constant.
const EXTENTS: usize = bindings::VIRTIO_BALLOON_EXTENTS_MAX as usize;

static_assert!(MAX_PAGES <= EXTENTS && MAX_BLOCKS <= EXTENTS);

/// `struct virtio_balloon_extent`.
#[derive(Clone, Copy, Default, IntoBytes, Immutable)]
#[repr(C)]
struct Extent {
    start_pfn: U64,
    nr_pages: U64,
}

static_assert!(size_of::<Extent>() == size_of::<bindings::virtio_balloon_extent>());
static_assert!(size_of::<Extent>() == 16);

impl Extent {
    fn new(range: PfnRange) -> Self {
        // CAST: A `usize` fits into 64 bits. Neither product is more than a guest's address.
        let balloon_pages =
            |pages: usize| U64::new((pages as u64).saturating_mul(BALLOON_PAGES_PER_PAGE as u64));
        Self {
            start_pfn: balloon_pages(range.start()),
            nr_pages: balloon_pages(range.pages()),
        }
    }
}

/// What the host reads.
enum Content {
    Numbers(OutBuffer<[u32; NUMBERS]>),
    Extents(Extents),
}

/// An array of extents that is being written.
struct Extents {
    array: OutBuffer<[Extent; EXTENTS]>,
    len: usize,
    /// The ranges of the last two, which may still grow.
    last: Option<PfnRange>,
    last_but_one: Option<PfnRange>,
}

impl Extents {
    fn clear(&mut self) {
        self.len = 0;
        self.last = None;
        self.last_but_one = None;
    }

    /// Writes a range down, for which there has to be room. The last extent takes it in if they
    /// are neighbours, and the one before that both if it is what was missing between them.
    fn add(&mut self, range: PfnRange) {
        let mut joined = range;
        if let Some(both) = self.last.and_then(|last| last.adjoin(&range)) {
            joined = both;
            if let Some(all) = self.last_but_one.and_then(|other| other.adjoin(&both)) {
                joined = all;
                self.last_but_one = None;
                self.len = self.len.saturating_sub(1);
            }
        } else {
            self.last_but_one = self.last;
            self.len = self.len.saturating_add(1);
        }
        self.last = Some(joined);
        if let Some(at) = self.len.checked_sub(1) {
            if let Some(extent) = self.array.get_mut().get_mut(at) {
                *extent = Extent::new(joined);
            }
        }
    }
}

/// A buffer for the inflate or deflate queue.
///
/// It owns the pages, single ones or whole blocks: while the host has it nobody uses them, and when
/// it is dropped, which is after a reset if the host never returned it, they are free.
pub(crate) struct PageBuffer {
    content: Content,
    pages: BalloonPages,
    blocks: PageRunStack,
    purpose: Purpose,
}

impl PageBuffer {
    /// Allocates an empty buffer.
    pub(crate) fn new(format: Format) -> Result<Self> {
        Ok(Self {
            content: match format {
                Format::Numbers => Content::Numbers(OutBuffer::new([0; NUMBERS], GFP_KERNEL)?),
                Format::Extents => Content::Extents(Extents {
                    array: OutBuffer::new([Extent::default(); EXTENTS], GFP_KERNEL)?,
                    len: 0,
                    last: None,
                    last_but_one: None,
                }),
            },
            pages: BalloonPages::new(MAX_PAGES)?,
            blocks: PageRunStack::new(),
            purpose: Purpose::Target,
        })
    }

    /// Returns what the pages are there for.
    pub(crate) fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// Returns the number of pages, those of blocks included.
    pub(crate) fn len(&self) -> usize {
        self.pages.len().saturating_add(self.blocks.pages())
    }

    /// Returns whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn format(&self) -> Format {
        match self.content {
            Content::Numbers(_) => Format::Numbers,
            Content::Extents(_) => Format::Extents,
        }
    }

    /// Returns what a tracepoint says of it on its way into the balloon of a device.
    pub(crate) fn as_inflate(&self, dev: c_int) -> Inflate {
        Inflate {
            dev,
            purpose: self.purpose,
            format: self.format(),
            pages: self.len(),
            block_pages: self.blocks.pages(),
            bytes: self.segment().bytes_of_ours(),
        }
    }

    /// Returns the same for the way out.
    pub(crate) fn as_deflate(&self, dev: c_int) -> Deflate {
        Deflate {
            dev,
            purpose: self.purpose,
            format: self.format(),
            pages: self.len(),
            block_pages: self.blocks.pages(),
            bytes: self.segment().bytes_of_ours(),
        }
    }

    /// Returns whether blocks can be told to the host as such.
    pub(crate) fn takes_blocks(&self) -> bool {
        matches!(self.content, Content::Extents(_))
    }

    /// Returns the single pages, to put some in or take some out. Not for a buffer of blocks.
    pub(crate) fn pages_mut(&mut self) -> &mut BalloonPages {
        &mut self.pages
    }

    /// Puts blocks into a buffer of blocks. Gives them back if it cannot hold them.
    pub(crate) fn add_run(&mut self, run: PageRun) -> Result<(), PageRun> {
        let pages = self.len().saturating_add(run.range().pages());
        match &mut self.content {
            Content::Extents(extents) if pages <= MAX_BLOCKS * BLOCK_PAGES => {
                extents.add(run.range());
                self.blocks.push(run);
                Ok(())
            }
            _ => Err(run),
        }
    }

    /// Takes blocks out.
    pub(crate) fn take_run(&mut self) -> Option<PageRun> {
        self.blocks.pop()
    }

    /// Puts one page into the empty buffer.
    pub(crate) fn fill_one(&mut self, page: BalloonPage) {
        self.clear();
        // There is room for one.
        let _ = self.pages.push(page);
    }

    /// Gives up all pages.
    pub(crate) fn clear(&mut self) {
        while self.pages.pop().is_some() {}
        drop(self.blocks.take());
        if let Content::Extents(extents) = &mut self.content {
            extents.clear();
        }
    }

    /// Writes down which pages these are, for the host to read.
    ///
    /// Returns [`ERANGE`] if one cannot be told, see [`first_balloon_pfn`].
    pub(crate) fn set_numbers<Ctx: kernel::device::DeviceContext>(
        &mut self,
        dev: &virtio::Device<Ctx>,
        purpose: Purpose,
    ) -> Result {
        self.purpose = purpose;
        match &mut self.content {
            Content::Numbers(numbers) => {
                let mut numbers = numbers.get_mut().iter_mut();
                for pfn in self.pages.pfns() {
                    let first = first_balloon_pfn(pfn).ok_or(ERANGE)?;
                    let group = numbers.by_ref().take(BALLOON_PAGES_PER_PAGE);
                    // CAST: A small constant.
                    for (number, offset) in group.zip(0u32..BALLOON_PAGES_PER_PAGE as u32) {
                        *number = dev.to_virtio(first.saturating_add(offset));
                    }
                }
            }
            // Blocks are written down as they come.
            Content::Extents(extents) if self.blocks.pages() == 0 => {
                extents.clear();
                for pfn in self.pages.pfns() {
                    extents.add(PfnRange::new(pfn, 1).ok_or(ERANGE)?);
                }
            }
            Content::Extents(_) => {}
        }
        Ok(())
    }
}

impl Buffer for PageBuffer {
    fn segment(&self) -> Segment<'_> {
        const PER_PAGE: usize = BALLOON_PAGES_PER_PAGE * size_of::<u32>();
        match &self.content {
            Content::Numbers(numbers) => numbers.prefix(self.pages.len().saturating_mul(PER_PAGE)),
            Content::Extents(extents) => {
                let len = extents.len.saturating_mul(size_of::<Extent>());
                extents.array.prefix(len)
            }
        }
    }

    fn pages(&self) -> usize {
        // And the one that the numbers are in.
        self.len().saturating_add(1)
    }
}

#[cfg(CONFIG_VIRTIO_BALLOON_KUNIT_TEST)]
#[kernel::prelude::kunit_tests(rust_virtio_balloon_extents)]
mod tests {
    use super::*;
    use kernel::testing::Random;

    fn written(ranges: &[(usize, usize)]) -> Result<KVec<(u64, u64)>> {
        let mut extents = Extents {
            array: OutBuffer::new([Extent::default(); EXTENTS], GFP_KERNEL)?,
            len: 0,
            last: None,
            last_but_one: None,
        };
        for &(start, pages) in ranges {
            extents.add(PfnRange::new(start, pages).ok_or(EINVAL)?);
        }
        let mut found = KVec::new();
        for extent in extents.array.get_mut().iter().take(extents.len) {
            let pair = (extent.start_pfn.get(), extent.nr_pages.get());
            found.push(pair, GFP_KERNEL)?;
        }
        Ok(found)
    }

    // CAST: A small constant.
    const EACH: u64 = BALLOON_PAGES_PER_PAGE as u64;

    #[test]
    fn neighbours_become_one_extent() -> Result {
        assert_eq!(
            &*written(&[(7, 1), (8, 1), (9, 3)])?,
            [(7 * EACH, 5 * EACH)]
        );
        assert_eq!(
            &*written(&[(9, 3), (8, 1), (7, 1)])?,
            [(7 * EACH, 5 * EACH)]
        );
        // The second half of each block comes after the first, and the blocks from above.
        let halves = [(12, 2), (14, 2), (8, 2), (10, 2), (4, 2), (6, 2)];
        assert_eq!(&*written(&halves)?, [(4 * EACH, 12 * EACH)]);
        let apart = [(1, 1), (3, 1), (5, 1)];
        assert_eq!(
            &*written(&apart)?,
            [(EACH, EACH), (3 * EACH, EACH), (5 * EACH, EACH)]
        );
        Ok(())
    }

    /// Whatever comes in which order, each page is in exactly one extent.
    #[test]
    fn each_page_is_told_once() -> Result {
        const PAGES: usize = 200;
        let mut random = Random::new(3);
        for _ in 0..300 {
            let mut ranges = KVec::new();
            let mut at = 0;
            while at < PAGES {
                let pages = 1 + random.below(3);
                if random.below(3) > 0 {
                    ranges.push((at, pages), GFP_KERNEL)?;
                }
                at += pages;
            }
            // Mostly in some order.
            for _ in 0..random.below(20) {
                let (a, b) = (random.below(ranges.len()), random.below(ranges.len()));
                ranges.swap(a, b);
            }
            let mut told = [0u8; PAGES + 4];
            for &(start, pages) in written(&ranges)?.iter() {
                assert!(pages > 0);
                for pfn in start / EACH..(start + pages) / EACH {
                    // CAST: It is small.
                    *told.get_mut(pfn as usize).ok_or(ERANGE)? += 1;
                }
            }
            for &(start, pages) in ranges.iter() {
                for pfn in start..start + pages {
                    let times = told.get_mut(pfn).ok_or(ERANGE)?;
                    assert_eq!(core::mem::take(times), 1);
                }
            }
            assert!(told.iter().all(|&times| times == 0));
        }
        Ok(())
    }
}
