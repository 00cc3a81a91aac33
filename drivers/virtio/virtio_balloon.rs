// SPDX-License-Identifier: GPL-2.0

//! Virtio balloon driver.
//!
//! It gives memory to the host and takes it back as the host asks for it, tells it how much there
//! is, and which of it is free, so that a live migration can leave this out. See
//! `Documentation/admin-guide/virtio-balloon.rst` for its use.
//!
//! Specification: Virtual I/O Device (VIRTIO), section 5.5, "Traditional Memory Balloon Device".

extern crate kernel_next as kernel;

use kernel::{
    driver,
    prelude::*,
    virtio,
    InPlaceModule, //
};

#[path = "virtio_balloon/about.rs"]
mod about;
#[path = "virtio_balloon/answers.rs"]
mod answers;
#[path = "virtio_balloon/awake.rs"]
mod awake;
#[path = "virtio_balloon/bitmap.rs"]
mod bitmap;
#[path = "virtio_balloon/bitmap_request.rs"]
mod bitmap_request;
#[path = "virtio_balloon/cache_drop.rs"]
mod cache_drop;
#[path = "virtio_balloon/clock.rs"]
mod clock;
#[path = "virtio_balloon/counters.rs"]
mod counters;
#[path = "virtio_balloon/device.rs"]
mod device;
#[path = "virtio_balloon/events.rs"]
mod events;
#[path = "virtio_balloon/failure.rs"]
mod failure;
#[path = "virtio_balloon/filling.rs"]
mod filling;
#[cfg(CONFIG_VIRTIO_BALLOON_KUNIT_TEST)]
#[path = "virtio_balloon/fuzz.rs"]
mod fuzz;
#[path = "virtio_balloon/held.rs"]
mod held;
#[path = "virtio_balloon/hint.rs"]
mod hint;
#[path = "virtio_balloon/hold.rs"]
mod hold;
#[path = "virtio_balloon/isolate.rs"]
mod isolate;
#[path = "virtio_balloon/isolated.rs"]
mod isolated;
#[path = "virtio_balloon/moving.rs"]
mod moving;
#[path = "virtio_balloon/oom.rs"]
mod oom;
#[path = "virtio_balloon/outbox.rs"]
mod outbox;
#[path = "virtio_balloon/page_buffer.rs"]
mod page_buffer;
#[path = "virtio_balloon/page_queues.rs"]
mod page_queues;
#[path = "virtio_balloon/policy.rs"]
mod policy;
#[path = "virtio_balloon/reporting.rs"]
mod reporting;
#[path = "virtio_balloon/resizing.rs"]
mod resizing;
#[path = "virtio_balloon/rounds.rs"]
mod rounds;
#[path = "virtio_balloon/shown.rs"]
mod shown;
#[path = "virtio_balloon/shown_file.rs"]
mod shown_file;
#[path = "virtio_balloon/sizing.rs"]
mod sizing;
#[path = "virtio_balloon/source.rs"]
mod source;
#[path = "virtio_balloon/stats.rs"]
mod stats;
#[path = "virtio_balloon/target.rs"]
mod target;
#[cfg(CONFIG_VIRTIO_BALLOON_KUNIT_TEST)]
#[path = "virtio_balloon/tests.rs"]
mod tests;
#[path = "virtio_balloon/unseen.rs"]
mod unseen;
#[path = "virtio_balloon/walk.rs"]
mod walk;

/// The module: its parameters are valid, and the driver is registered.
#[pin_data]
struct BalloonModule {
    // Dropped first: a session ends before the driver goes.
    #[cfg(CONFIG_VIRTIO_BALLOON_KUNIT_TEST)]
    #[pin]
    _run: kernel::debugfs::File<kernel::sync::Arc<fuzz::Fuzzer>>,
    #[cfg(CONFIG_VIRTIO_BALLOON_KUNIT_TEST)]
    #[pin]
    _result: kernel::debugfs::File<kernel::sync::Arc<fuzz::Fuzzer>>,
    #[pin]
    _driver: driver::Registration<virtio::Adapter<device::Balloon>>,
    #[cfg(CONFIG_VIRTIO_BALLOON_KUNIT_TEST)]
    #[pin]
    _dead_report: kernel::debugfs::File<tests::dead_report::DeadReport>,
}

impl InPlaceModule for BalloonModule {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(move || {
            // An unknown value must not pass for another one: it may be a matter of data loss.
            policy::Policy::from_parameters()?;
            #[cfg(CONFIG_VIRTIO_BALLOON_KUNIT_TEST)]
            let dir = kernel::debugfs::Dir::new(c"virtio_balloon_rs-tests");
            #[cfg(CONFIG_VIRTIO_BALLOON_KUNIT_TEST)]
            let (fuzz_dir, fuzzer) = (
                kernel::debugfs::Dir::new(c"virtio_balloon_rs-fuzz"),
                kernel::sync::Arc::pin_init(fuzz::Fuzzer::new(), GFP_KERNEL)?,
            );
            Ok(try_pin_init!(Self {
                #[cfg(CONFIG_VIRTIO_BALLOON_KUNIT_TEST)]
                _run <- fuzz_dir.write_callback_file(c"run", fuzzer.clone(), &|fuzzer, reader| {
                    fuzzer.command(reader)
                }),
                #[cfg(CONFIG_VIRTIO_BALLOON_KUNIT_TEST)]
                _result <- fuzz_dir.read_callback_file(c"result", fuzzer, &|fuzzer, f| {
                    fuzzer.show(f)
                }),
                #[cfg(CONFIG_VIRTIO_BALLOON_KUNIT_TEST)]
                _dead_report <- dir.write_callback_file(
                    c"dead_report",
                    tests::dead_report::DeadReport::new(),
                    &|device, reader| device.command(reader),
                ),
                _driver <- driver::Registration::new(
                    <Self as kernel::ModuleMetadata>::NAME,
                    module,
                ),
            }))
        })
    }
}

module! {
    type: BalloonModule,
    name: "virtio_balloon_rs",
    authors: ["The virtio-balloon-rs developers"],
    description: "Virtio balloon driver in Rust",
    license: "GPL",
    // Each ends with what Documentation/admin-guide/virtio-balloon.rst has in the parentheses:
    // unit, range, default.
    params: {
        free_page_hint: i32 {
            default: -1,
            description: "Free page hinting: 0 off, 1 hold the pages, 2 walk the free lists \
                          (loses data unless the host arms dirty logging first), 3 isolate the \
                          pages, -1 isolate if the kernel can, else hold (-1 to 3, default -1)",
        },
        free_page_hint_order: i32 {
            default: -1,
            description: "Smallest blocks to hint at; -1: those of 2 MiB \
                          (an order, -1 or 0 to the highest, default -1)",
        },
        free_page_walk_batch: u32 {
            default: 64,
            description: "Most free list entries looked at under one hold of a zone's lock \
                          (entries, 1 to 65536, default 64)",
        },
        free_page_bitmap: bool {
            default: false,
            description: "Let the host ask for a bitmap of the free memory, instead of hinting, \
                          if the device has this extension (default 0)",
        },
        drop_caches: u32 {
            default: 0,
            description: "Caches that the host may drop before it gets the bitmap: 0 none, \
                          1 page cache, 2 slab, 3 both (0 to 3, default 0)",
        },
        drop_caches_interval_s: u32 {
            default: 60,
            description: "Time from one time that the host drops caches to the next, at least \
                          (seconds, 0 to 4294967295, default 60)",
        },
        drop_caches_wait_ms: u32 {
            default: 5000,
            description: "How long the host's answer waits for caches to be dropped \
                          (milliseconds, 0 to 60000, default 5000)",
        },
        inflate: bool {
            default: true,
            description: "Give memory to the host when it asks for it; 0 leaves the balloon \
                          empty, whatever its target (default 1)",
        },
        extents: bool {
            default: false,
            description: "Tell the host of memory in the balloon by ranges, and give it whole huge \
                          pages, if the device has this extension (default 0)",
        },
        statistics: bool {
            default: true,
            description: "Tell the host how the guest uses its memory (default 1)",
        },
        free_page_reporting: bool {
            default: true,
            description: "Report free blocks to the host, for it to discard (default 1)",
        },
        page_reporting_order: i32 {
            default: -1,
            description: "Smallest blocks in free page reporting; -1: as the kernel's parameter \
                          of this name says, or those of 2 MiB \
                          (an order, -1 or 0 to the highest, default -1)",
        },
    },
}
