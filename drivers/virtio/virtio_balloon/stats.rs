// SPDX-License-Identifier: GPL-2.0

//! Memory statistics (`VIRTIO_BALLOON_F_STATS_VQ`).
//!
//! Specification: section 5.5.6.3, "Memory Statistics". The device has one buffer of ours. When it
//! wants fresh numbers it returns the buffer, and gets it back with them.
//!
//! The buffer goes out for the first time after `DRIVER_OK`, so that there is no notification
//! before. What is in it depends on the kernel's configuration alone, so it is the same statistics
//! each time.

use kernel::{
    bindings,
    device,
    mm::{
        MemInfo,
        Reclaimed,
        VmEvents, //
    },
    new_mutex,
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
    virtio::{
        self,
        Buffer,
        DeviceWorkItem,
        OutBuffer,
        Segment,
        Stop,
        Then,
        Virtqueue, //
    }, //
};
use zerocopy::native_endian::{
    U16,
    U64, //
};
use zerocopy_derive::{
    Immutable,
    IntoBytes, //
};

use crate::{
    awake::{
        Awake,
        STATISTICS, //
    },
    counters::BalloonCounters,
    failure, //
};

// CAST: A small constant.
const TAGS: usize = bindings::VIRTIO_BALLOON_S_NR as usize;

/// `struct virtio_balloon_stat`, in the byte order of the device.
#[derive(Clone, Copy, IntoBytes, Immutable)]
#[repr(C)]
struct Stat {
    tag: U16,
    value: U64,
}

const STAT_BYTES: usize = size_of::<Stat>();

static_assert!(STAT_BYTES == size_of::<bindings::virtio_balloon_stat>());
static_assert!(STAT_BYTES == 10);

/// The buffer in the statistics queue.
pub(crate) struct StatsBuffer {
    stats: OutBuffer<[Stat; TAGS]>,
    len: usize,
}

impl StatsBuffer {
    fn new() -> Result<Self> {
        let none = Stat {
            tag: U16::ZERO,
            value: U64::ZERO,
        };
        Ok(Self {
            stats: OutBuffer::new([none; TAGS], GFP_KERNEL)?,
            len: 0,
        })
    }

    /// Adds a statistic.
    fn push(&mut self, dev: &virtio::Device<device::Bound>, tag: u32, value: u64) {
        let tag = u16::try_from(tag).unwrap_or(u16::MAX);
        if let Some(stat) = self.stats.get_mut().get_mut(self.len) {
            *stat = Stat {
                tag: U16::new(dev.to_virtio(tag)),
                value: U64::new(dev.to_virtio(value)),
            };
            self.len = self.len.saturating_add(1);
        }
    }

    /// Fills it with fresh numbers.
    fn fill(&mut self, dev: &virtio::Device<device::Bound>) {
        self.len = 0;
        let mut push = |tag, value| self.push(dev, tag, value);
        // CAST: The size of a page fits into 64 bits.
        let bytes = |pages: u64| pages.saturating_mul(PAGE_SIZE as u64);

        if let Some(events) = VmEvents::read() {
            push(
                bindings::VIRTIO_BALLOON_S_SWAP_IN,
                bytes(events.swapped_in()),
            );
            push(
                bindings::VIRTIO_BALLOON_S_SWAP_OUT,
                bytes(events.swapped_out()),
            );
            push(bindings::VIRTIO_BALLOON_S_MAJFLT, events.major_faults());
            push(bindings::VIRTIO_BALLOON_S_MINFLT, events.faults());
            push(bindings::VIRTIO_BALLOON_S_OOM_KILL, events.oom_kills());
            push(
                bindings::VIRTIO_BALLOON_S_ALLOC_STALL,
                events.alloc_stalls(),
            );
            let reclaimed = Reclaimed::read();
            push(
                bindings::VIRTIO_BALLOON_S_ASYNC_SCAN,
                bytes(reclaimed.kswapd_scanned),
            );
            push(
                bindings::VIRTIO_BALLOON_S_DIRECT_SCAN,
                bytes(reclaimed.direct_scanned),
            );
            push(
                bindings::VIRTIO_BALLOON_S_ASYNC_RECLAIM,
                bytes(reclaimed.kswapd_taken),
            );
            push(
                bindings::VIRTIO_BALLOON_S_DIRECT_RECLAIM,
                bytes(reclaimed.direct_taken),
            );
            if let Some((allocated, failed)) = events.huge_pages() {
                push(bindings::VIRTIO_BALLOON_S_HTLB_PGALLOC, allocated);
                push(bindings::VIRTIO_BALLOON_S_HTLB_PGFAIL, failed);
            }
        }
        let memory = MemInfo::read();
        push(bindings::VIRTIO_BALLOON_S_MEMFREE, bytes(memory.free));
        push(bindings::VIRTIO_BALLOON_S_MEMTOT, bytes(memory.total));
        push(bindings::VIRTIO_BALLOON_S_AVAIL, bytes(memory.available));
        push(bindings::VIRTIO_BALLOON_S_CACHES, bytes(memory.file));
    }
}

impl Buffer for StatsBuffer {
    fn segment(&self) -> Segment<'_> {
        self.stats.prefix(self.len.saturating_mul(STAT_BYTES))
    }
}

/// The statistics of a device.
#[pin_data]
pub(crate) struct Statistics {
    queue: Arc<Virtqueue<StatsBuffer>>,
    awake: Arc<Awake>,
    counters: Arc<BalloonCounters>,
    /// The buffer, while the device does not have it.
    #[pin]
    idle: Mutex<Option<StatsBuffer>>,
}

impl Statistics {
    /// Creates what statistics need.
    pub(crate) fn new(
        queue: Arc<Virtqueue<StatsBuffer>>,
        awake: Arc<Awake>,
        counters: Arc<BalloonCounters>,
    ) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(move || {
            let buffer = StatsBuffer::new()?;
            Ok(try_pin_init!(Self {
                queue,
                awake,
                counters,
                idle <- new_mutex!(Some(buffer)),
            }))
        })
    }

    /// Starts anew with a device that was reset. The work must not run.
    pub(crate) fn restore(&self) -> Result {
        let buffer = StatsBuffer::new()?;
        *self.idle.lock() = Some(buffer);
        Ok(())
    }

    fn refresh(&self, dev: &virtio::Device<device::Bound>) -> Result {
        let queue = self.queue.bind(dev)?;
        let mut idle = self.idle.lock();
        let Some(mut buffer) = idle.take().or_else(|| queue.get()) else {
            queue.kick_owed()?;
            return Ok(());
        };
        buffer.fill(dev);
        queue.lock().add(buffer).map_err(|refused| {
            *idle = Some(refused.buffer);
            refused.error
        })?;
        self.counters.stats_updates.add(1);
        queue.kick()?;
        Ok(())
    }
}

impl DeviceWorkItem for Statistics {
    fn run(&self, dev: &virtio::Device<device::Bound>, _stop: Stop<'_>) -> Then {
        self.awake.take(STATISTICS);
        let result = self.refresh(dev);
        self.awake.end();
        let Err(error) = result else {
            return Then::Done;
        };
        if self.queue.bind(dev).is_ok_and(|queue| !queue.is_broken()) {
            return Then::After(failure::RETRY_MS);
        }
        failure::report(dev, "statistics", error);
        Then::Done
    }
}
