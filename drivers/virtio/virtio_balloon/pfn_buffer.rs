// SPDX-License-Identifier: GPL-2.0

//! Pages on their way into the balloon or out of it, and the numbers by which the host knows them.

use kernel::{
    mm::{
        BalloonPage,
        BalloonPages, //
    },
    prelude::*,
    virtio::{
        self,
        Buffer,
        OutBuffer,
        Segment, //
    }, //
};

use crate::target::{
    first_balloon_pfn,
    BALLOON_PAGES_PER_PAGE, //
};

/// Balloon pages in a buffer, the number that every host copes with.
const BALLOON_PAGES: usize = 256;

/// Most pages of the guest in a buffer.
pub(crate) const MAX_PAGES: usize = BALLOON_PAGES / BALLOON_PAGES_PER_PAGE;

static_assert!(MAX_PAGES > 0);

/// What the pages in a buffer are there for. The queue that it is in says the direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The host's target.
    Target,
    /// The guest has no memory left, and somebody waits for some.
    Oom,
    /// The kernel moves a page of the balloon: this one comes or goes in its place.
    Move,
    /// A page that came for a move that was given up goes again.
    Undo,
}

/// A buffer for the inflate or deflate queue.
///
/// It owns the pages: while the host has it nobody uses them, and when it is dropped, which is
/// after a reset if the host never returned it, they are free.
pub(crate) struct PfnBuffer {
    numbers: OutBuffer<[u32; BALLOON_PAGES]>,
    pages: BalloonPages,
    purpose: Purpose,
}

impl PfnBuffer {
    /// Allocates an empty buffer.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            numbers: OutBuffer::new([0; BALLOON_PAGES], GFP_KERNEL)?,
            pages: BalloonPages::new(MAX_PAGES)?,
            purpose: Purpose::Target,
        })
    }

    /// Returns what the pages are there for.
    pub(crate) fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// Returns the pages.
    pub(crate) fn pages(&self) -> &BalloonPages {
        &self.pages
    }

    /// Returns the pages, to put some in or take some out. The numbers have to be set then.
    pub(crate) fn pages_mut(&mut self) -> &mut BalloonPages {
        &mut self.pages
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
    }

    /// Writes down the numbers of the pages, for the host to read.
    ///
    /// Returns [`ERANGE`] if one cannot be told, see [`first_balloon_pfn`].
    pub(crate) fn set_numbers<Ctx: kernel::device::DeviceContext>(
        &mut self,
        dev: &virtio::Device<Ctx>,
        purpose: Purpose,
    ) -> Result {
        self.purpose = purpose;
        let mut numbers = self.numbers.get_mut().iter_mut();
        for pfn in self.pages.pfns() {
            let first = first_balloon_pfn(pfn).ok_or(ERANGE)?;
            let group = numbers.by_ref().take(BALLOON_PAGES_PER_PAGE);
            for (number, offset) in group.zip(0u32..BALLOON_PAGES_PER_PAGE as u32) {
                *number = dev.to_virtio(first.saturating_add(offset));
            }
        }
        Ok(())
    }
}

impl Buffer for PfnBuffer {
    fn segment(&self) -> Segment<'_> {
        const PER_PAGE: usize = BALLOON_PAGES_PER_PAGE * size_of::<u32>();
        self.numbers
            .prefix(self.pages.len().saturating_mul(PER_PAGE))
    }

    fn pages(&self) -> usize {
        // And the one that the numbers are in.
        self.pages.len().saturating_add(1)
    }
}
