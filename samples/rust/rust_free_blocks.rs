// SPDX-License-Identifier: GPL-2.0

//! Shows the machine's free blocks, zone by zone, in debugfs.
//!
//! The list is as long as there are free blocks. It is made as it is read, a few entries of a free
//! list under each hold of a zone's lock: see [`FreeWalk`] for what may be missed meanwhile. The
//! format is described in `Documentation/samples/index.rst`.

extern crate kernel_next as kernel;

use core::num::NonZero;
use kernel::{
    debugfs::{
        Stream,
        StreamDir,
        StreamFile, //
    },
    fmt,
    mm::{
        cond_resched,
        Batch,
        FreeWalk,
        Full,
        PfnRange,
        Sink,
        Zone,
        MAX_PAGE_ORDER, //
    },
    page::PAGE_SIZE,
    prelude::*,
    InPlaceModule, //
};

/// What readers of the list go by: it changes if they would not understand it any more.
const VERSION: u32 = 1;

/// Most entries of a free list that may be asked for under one hold of a zone's lock.
const MAX_BATCH: u32 = 1024;

/// The list: what is to be in it.
struct FreeBlocks {
    order: u32,
    batch: NonZero<usize>,
}

impl FreeBlocks {
    /// Reads the module's parameters.
    fn from_parameters() -> Result<Self> {
        let order = module_parameters::order.value();
        if order > MAX_PAGE_ORDER {
            pr_err!("order={order} is out of range: use 0 to {MAX_PAGE_ORDER}\n");
            return Err(EINVAL);
        }
        let batch = module_parameters::batch.value();
        let entries = usize::try_from(batch).ok().and_then(NonZero::new);
        match entries.filter(|_| batch <= MAX_BATCH) {
            Some(batch) => Ok(Self { order, batch }),
            None => {
                pr_err!("batch={batch} is out of range: use 1 to {MAX_BATCH}\n");
                Err(EINVAL)
            }
        }
    }
}

/// The blocks of one batch, for which there is memory before the zone is locked.
struct Found {
    blocks: KVec<PfnRange>,
    shown: usize,
}

impl Found {
    fn new(most: usize) -> Result<Self> {
        Ok(Self {
            blocks: KVec::with_capacity(most, GFP_KERNEL)?,
            shown: 0,
        })
    }

    /// Returns a block that was not returned yet; makes room if there is none.
    fn next(&mut self) -> Option<PfnRange> {
        let block = self.blocks.get(self.shown).copied();
        if block.is_some() {
            self.shown = self.shown.saturating_add(1);
        } else {
            self.blocks.clear();
            self.shown = 0;
        }
        block
    }
}

impl Sink for Found {
    fn block(&mut self, block: PfnRange) -> Result<(), Full> {
        self.blocks.push_within_capacity(block).map_err(|_| Full)
    }
}

/// A line of the list.
enum Line {
    Heading,
    Zone(Zone),
    Block(PfnRange),
    End,
}

/// Where a reader is in the list.
struct Place {
    /// [`None`] before the first line.
    line: Option<Line>,
    walk: FreeWalk,
    found: Found,
    zones: usize,
    blocks: usize,
}

impl Place {
    /// Walks until there is something to tell.
    fn next_line(&mut self) -> Option<Line> {
        match self.line {
            None => return Some(Line::Heading),
            Some(Line::End) => return None,
            Some(_) => {}
        }
        loop {
            if let Some(block) = self.found.next() {
                self.blocks = self.blocks.saturating_add(1);
                return Some(Line::Block(block));
            }
            if self.walk.batch(&mut self.found) == Batch::Done {
                return Some(Line::End);
            }
            if let (None, Some(zone)) = (self.walk.last_hold(), self.walk.zone()) {
                self.zones = self.zones.saturating_add(1);
                return Some(Line::Zone(zone));
            }
            cond_resched();
        }
    }
}

#[vtable]
impl Stream for FreeBlocks {
    type OwnerModule = crate::LocalModule;
    type Place = Place;

    fn begin(&self) -> Result<Place> {
        Ok(Place {
            line: None,
            walk: FreeWalk::new(self.order, self.batch),
            found: Found::new(self.batch.get())?,
            zones: 0,
            blocks: 0,
        })
    }

    fn advance(&self, place: &mut Place) -> Result<bool> {
        match place.next_line() {
            Some(line) => {
                place.line = Some(line);
                Ok(true)
            }
            None => Ok(false),
        }
    }

    fn show(&self, place: &Place, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &place.line {
            None => Ok(()),
            Some(Line::Heading) => writeln!(
                f,
                "free-blocks {VERSION} page_size={PAGE_SIZE} order={} max_order={MAX_PAGE_ORDER}",
                self.order
            ),
            Some(Line::Zone(zone)) => f.write_fmt(fmt!(
                "zone node={} name={} start={} end={} present={}\n",
                zone.node_id(),
                zone.name(),
                zone.start_pfn(),
                zone.end_pfn(),
                zone.present_pages()
            )),
            Some(Line::Block(block)) => {
                writeln!(f, "{} {}", block.start(), block.pages().trailing_zeros())
            }
            Some(Line::End) => writeln!(f, "end zones={} blocks={}", place.zones, place.blocks),
        }
    }
}

#[pin_data]
struct FreeBlocksModule {
    #[pin]
    _file: StreamFile<FreeBlocks>,
}

impl InPlaceModule for FreeBlocksModule {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(|| {
            let list = FreeBlocks::from_parameters()?;
            let dir = StreamDir::new(c"rust_free_blocks")?;
            Ok(try_pin_init!(Self {
                _file <- StreamFile::new(&dir, c"blocks", Ok::<_, Error>(list)),
            }))
        })
    }
}

module! {
    type: FreeBlocksModule,
    name: "rust_free_blocks",
    authors: ["The virtio-balloon-rs developers"],
    description: "Sample: shows the free blocks of memory in debugfs",
    license: "GPL",
    params: {
        order: u32 {
            default: 0,
            description: "Smallest order of the blocks that are shown, 0 to the highest order \
                          (default 0: all)",
        },
        batch: u32 {
            default: 64,
            description: "Most free list entries looked at under one hold of a zone's lock, \
                          1 to 1024 (default 64)",
        },
    },
}
