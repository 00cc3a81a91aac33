// SPDX-License-Identifier: GPL-2.0

//! A host that keeps the rules: the device's side of the balloon, for tests.

use core::{
    cell::Cell,
    mem::offset_of,
    panic::Location, //
};
use kernel::{
    bindings,
    mm::Nodes,
    prelude::*,
    time::Msecs,
    virtio::{
        mock::{
            Chain,
            Context,
            Defects,
            MockDevice,
            Setup, //
        },
        Feature, //
    },
};

use crate::{
    counters::BalloonCounters,
    device::{
        Balloon,
        DEFLATE_ON_OOM,
        EXTENTS,
        FREE_PAGE_BITMAP,
        FREE_PAGE_HINT,
        MUST_TELL_HOST,
        REPORTING,
        STATS_VQ, //
    },
    policy::testing::{
        Choice,
        Chosen, //
    }, //
};

/// How long the driver may take for anything, in milliseconds: guests are slow without KVM.
pub(super) const SOON: Msecs = 20_000;

// The offsets of the configuration space's fields.
pub(crate) const NUM_PAGES: usize = offset_of!(bindings::virtio_balloon_config, num_pages);
pub(crate) const ACTUAL: usize = offset_of!(bindings::virtio_balloon_config, actual);
pub(crate) const COMMAND_ID: usize = NUM_PAGES + 8;

// The virtqueues of a device that offers all features, by its numbers.
pub(super) const INFLATE: usize = 0;
pub(super) const DEFLATE: usize = 1;
pub(super) const STATS: usize = 2;
pub(super) const FREE_PAGE: usize = 3;
pub(super) const REPORTS: usize = 4;
pub(super) const QUEUES: usize = REPORTS + 1;

/// All features of the balloon that decide what it does.
pub(super) const FEATURES: [Feature; 7] = [
    MUST_TELL_HOST,
    STATS_VQ,
    DEFLATE_ON_OOM,
    FREE_PAGE_HINT,
    REPORTING,
    EXTENTS,
    FREE_PAGE_BITMAP,
];

pub(crate) const EVENT_IDX: Feature = Feature::of::<{ bindings::VIRTIO_RING_F_EVENT_IDX }>();
pub(crate) const PACKED: Feature = Feature::of::<{ bindings::VIRTIO_F_RING_PACKED }>();

/// The kinds of rings that there are.
pub(super) const RINGS: [&[Feature]; 4] = [&[], &[EVENT_IDX], &[PACKED], &[PACKED, EVENT_IDX]];

/// A host with one balloon.
pub(super) struct Host {
    pub(super) device: MockDevice,
    /// What the host may still do before a test interrupts it.
    budget: Cell<usize>,
    // Dropped after the device, which may be probed until then.
    _chosen: Chosen,
}

/// Fails a test, with a word on why.
#[track_caller]
pub(super) fn ensure(condition: bool, what: &str) -> Result {
    if !condition {
        let at = Location::caller();
        pr_err!("test: {}:{}: not so: {}\n", at.file(), at.line(), what);
        return Err(EINVAL);
    }
    Ok(())
}

/// Fails a test unless two numbers are the same.
#[track_caller]
pub(super) fn same(left: impl TryInto<u64>, right: impl TryInto<u64>, what: &str) -> Result {
    let left = left.try_into().map_err(|_| ERANGE)?;
    let right = right.try_into().map_err(|_| ERANGE)?;
    if left != right {
        let at = Location::caller();
        let (file, line) = (at.file(), at.line());
        pr_err!("test: {file}:{line}: {left} is not {right}: {what}\n");
        return Err(EINVAL);
    }
    Ok(())
}

/// A device that offers some features.
pub(super) fn offering(features: &[Feature]) -> Setup {
    features
        .iter()
        .copied()
        .fold(Setup::new(bindings::VIRTIO_ID_BALLOON), Setup::offer)
}

/// A device that offers every feature of a balloon.
pub(super) fn everything() -> Setup {
    offering(&FEATURES)
}

/// Changes a device: all its queues are of this kind and size.
pub(super) fn with_rings(mut setup: Setup, kind: &[Feature], size: u16) -> Setup {
    setup = kind.iter().copied().fold(setup, Setup::offer);
    setup.sizes.fill(size);
    setup
}

/// Changes a device: one of its queues has this size.
pub(super) fn with_size(mut setup: Setup, queue: usize, size: u16) -> Setup {
    if let Some(at) = setup.sizes.get_mut(queue) {
        *at = size;
    }
    setup
}

/// Returns the number of free pages, as good as the kernel's counters are.
pub(super) fn free_pages() -> usize {
    Nodes::new().fold(0, |sum, node| sum + node.free_pages())
}

/// Returns the number of pages that the kernel takes to be there.
pub(crate) fn managed_pages() -> usize {
    Nodes::new().fold(0, |sum, node| sum + node.managed_pages())
}

impl Drop for Host {
    fn drop(&mut self) {
        // A test that is over does not look at what the driver waits for.
        self.let_go();
    }
}

impl Host {
    /// Plugs a device in, to which the driver binds.
    pub(super) fn new(choice: Choice, setup: Setup) -> Result<Self> {
        let host = Self::with_defects(choice, setup, Defects::default())?;
        ensure(host.device.is_bound(), "the driver binds")?;
        Ok(host)
    }

    /// Plugs a device in to which the driver may not bind.
    pub(super) fn with_defects(choice: Choice, setup: Setup, defects: Defects) -> Result<Self> {
        let _chosen = choice.choose();
        let device = MockDevice::with_defects(setup, defects)?;
        Ok(Self {
            device,
            budget: Cell::new(usize::MAX),
            _chosen,
        })
    }

    /// Limits the number of buffers that the host takes and gives back. After that it gets
    /// [`EINTR`].
    pub(super) fn interrupt_after(&self, actions: usize) {
        self.budget.set(actions);
    }

    fn spend(&self) -> Result {
        let left = self.budget.get().checked_sub(1).ok_or(EINTR)?;
        self.budget.set(left);
        Ok(())
    }

    /// Sets the balloon's target, in 4 KiB pages.
    pub(super) fn set_target(&self, pages: u32) {
        self.device.set_config(NUM_PAGES, pages);
        self.device.config_changed(Context::Interrupt);
    }

    /// Sets the command id of free page hinting.
    pub(super) fn set_command(&self, id: u32) {
        self.device.set_config(COMMAND_ID, id);
        self.device.config_changed(Context::Interrupt);
    }

    /// Returns the size that the driver has told, in 4 KiB pages.
    pub(super) fn actual(&self) -> u32 {
        self.device.config(ACTUAL)
    }

    /// Waits until something is so.
    #[track_caller]
    pub(super) fn wait_until(&self, done: impl FnMut() -> Result<bool>) -> Result {
        let result = self.device.wait_until(SOON, done);
        ensure(result != Err(ETIMEDOUT), "it comes in time")?;
        result
    }

    /// Waits for a buffer.
    #[track_caller]
    pub(super) fn wait_for(&self, queue: usize) -> Result<Chain> {
        self.spend()?;
        let result = self.device.wait_for(queue, SOON);
        ensure(!matches!(result, Err(ETIMEDOUT)), "a buffer comes in time")?;
        result
    }

    /// Returns the 4 KiB pages in a buffer of the inflate or deflate queue: first page and number
    /// of each range. Fails a test unless the buffer is in order.
    pub(super) fn ranges(&self, chain: &Chain) -> Result<KVec<(u64, u64)>> {
        ensure(!chain.is_writable(), "page numbers are to be read")?;
        let (each, most) = if self.has(EXTENTS) {
            (16, 4096)
        } else {
            (4, 1024)
        };
        ensure(
            (each..=most).contains(&chain.bytes()) && chain.bytes() % each == 0,
            "a buffer has 1 to 256 numbers or extents",
        )?;
        let word = |at| self.device.read_u32(chain, at).ok_or(EIO);
        let mut ranges = KVec::with_capacity(chain.bytes() / each, GFP_KERNEL)?;
        for at in (0..chain.bytes()).step_by(each) {
            let range = if each == 16 {
                let field =
                    |at| Ok::<_, Error>(u64::from(word(at)?) | u64::from(word(at + 4)?) << 32);
                (field(at)?, field(at + 8)?)
            } else {
                (u64::from(word(at)?), 1)
            };
            ensure(range.1 > 0, "no extent is empty")?;
            ranges.push(range, GFP_KERNEL)?;
        }
        Ok(ranges)
    }

    /// Gives a buffer back that was not written to.
    pub(super) fn finish(&self, chain: Chain) -> Result {
        self.finish_written(chain, 0)
    }

    /// Gives a buffer back of which `len` bytes were written.
    pub(super) fn finish_written(&self, chain: Chain, len: u32) -> Result {
        self.spend()?;
        self.device.finish(chain, len, Context::Interrupt);
        Ok(())
    }

    /// Gives the buffers back with which the host would hold up an orderly end: those with pages
    /// of the balloon, from now on at once.
    pub(super) fn let_go(&self) {
        for queue in [INFLATE, DEFLATE] {
            for id in 0..u32::from(self.device.queue_size(queue)) {
                if self.device.has_id(queue, id) {
                    self.device.push_id(queue, id, 0);
                }
            }
            self.device.interrupt(queue, Context::Interrupt);
        }
        self.device.set_eager(1 << INFLATE | 1 << DEFLATE);
    }

    /// Unbinds the driver, with a host that goes along.
    pub(super) fn unbind(&self) -> Result {
        self.let_go();
        self.device.unbind();
        self.device.set_eager(0);
        ensure(!self.device.is_bound(), "the driver unbinds")?;
        self.is_reset()
    }

    /// Fails a test unless the device was reset, and no driver has it.
    pub(super) fn is_reset(&self) -> Result {
        let acknowledge = bindings::VIRTIO_CONFIG_S_ACKNOWLEDGE;
        same(
            self.device.status(),
            acknowledge,
            "the status of a device that is new",
        )
    }

    /// Binds the driver again, and sees whether that works.
    pub(super) fn bind(&self) -> Result {
        ensure(self.device.bind(), "the driver binds again")
    }

    /// Calls `f` with the driver's data.
    pub(super) fn with<R>(&self, f: impl FnOnce(Pin<&Balloon>) -> R) -> Result<R> {
        self.device
            .with_data::<Balloon, _>(|_, balloon| f(balloon))
            .ok_or(ENODEV)
    }

    /// Returns one of the driver's counters.
    pub(super) fn counter(&self, read: impl FnOnce(&BalloonCounters) -> u64) -> Result<u64> {
        self.with(|balloon| read(&balloon.resizing.0.counters))
    }

    /// Returns whether the driver has accepted a feature.
    pub(super) fn has(&self, feature: Feature) -> bool {
        self.device.has_feature(feature)
    }
}
