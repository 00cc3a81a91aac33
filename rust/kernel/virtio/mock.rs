// SPDX-License-Identifier: GPL-2.0

//! A virtio device that a test plays, for builds with tests only.
//!
//! It is a device on the virtio bus, with configuration operations and rings of its own, to which
//! a driver binds as to any other. What the other side does, in which order, and from which
//! context it calls back, is up to the test: there is no host.
//!
//! The device obeys the specification on its own account: it touches memory only while it has the
//! buffer, and nothing after a reset. A test can make it break any rule; then it goes on to write
//! to the ring, but no longer to the memory behind it, as nobody knows whose that is. So a report
//! of KASAN is always the driver's fault.

mod ring;

pub use self::ring::{
    Chain,
    Descriptor, //
};

use self::ring::Ring;
use super::{
    lifecycle::Lifecycle,
    Device,
    Driver,
    Feature, //
};
use crate::{
    bindings,
    container_of,
    device,
    error::to_result,
    new_spinlock_irq,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Event,
        SpinLockIrq, //
    },
    time::{
        ClockSource,
        Monotonic,
        Msecs,
        NSEC_PER_MSEC, //
    },
    types::Opaque, //
};
use core::ptr::NonNull;

/// Most virtqueues of a device.
pub const MAX_QUEUES: usize = 8;

/// Bytes of the configuration space.
pub const CONFIG_BYTES: usize = 64;

/// What a device is like before a driver sees it.
#[derive(Clone)]
pub struct Setup {
    /// The device type.
    pub id: u32,
    /// The features that it offers.
    pub features: u64,
    /// The sizes of its virtqueues, in its own order; 0 for one that it does not have.
    pub sizes: [u16; MAX_QUEUES],
    /// The configuration space.
    pub config: [u8; CONFIG_BYTES],
}

impl Setup {
    /// A device with queues of 128 entries that offers version 1 and nothing else.
    pub fn new(id: u32) -> Self {
        Self {
            id,
            features: 0,
            sizes: [128; MAX_QUEUES],
            config: [0; CONFIG_BYTES],
        }
        .offer(Feature::VERSION_1)
    }

    /// Offers a feature.
    pub fn offer(mut self, feature: Feature) -> Self {
        self.features |= 1u64.checked_shl(feature.bit()).unwrap_or(0);
        self
    }
}

/// Where a callback comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// A thread that may sleep.
    Thread,
    /// A softirq.
    Softirq,
    /// Code that has turned interrupts off.
    IrqsOff,
    /// A hardware interrupt.
    Interrupt,
}

impl Context {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Thread, Self::Softirq, Self::IrqsOff, Self::Interrupt];

    fn call<F: FnMut()>(self, mut f: F) {
        extern "C" fn callback<F: FnMut()>(f: *mut c_void) {
            // SAFETY: Called with the pointer below, while `f` is not used otherwise.
            unsafe { (*f.cast::<F>())() };
        }
        let f: *mut F = &raw mut f;
        match self {
            // SAFETY: `f` is valid.
            Self::Thread => unsafe { (*f)() },
            // SAFETY: The function calls back once, with `f`, before it returns.
            Self::Softirq => unsafe { bindings::next_mock_softirq(Some(callback::<F>), f.cast()) },
            // SAFETY: As above.
            Self::IrqsOff => unsafe { bindings::next_mock_irqs_off(Some(callback::<F>), f.cast()) },
            // SAFETY: As above.
            Self::Interrupt => unsafe {
                bindings::next_mock_interrupt(Some(callback::<F>), f.cast())
            },
        }
    }
}

/// What is wrong with a device.
#[derive(Clone, Copy, Debug, Default)]
pub struct Defects {
    /// It refuses the features that were negotiated.
    pub refuses_features: bool,
    /// Its virtqueues cannot be set up.
    pub no_queues: bool,
    /// Notifications do not reach it.
    pub deaf: bool,
    /// A reset does not complete: it keeps its status, and goes on as before.
    pub never_resets: bool,
    /// So many of the next reads of the configuration give something else each time.
    pub flickers: u32,
}

/// What all devices have done since the module was loaded.
static ACTIONS: Atomic<usize> = Atomic::new(0);

/// Returns how many things all devices have done: a buffer taken or given back, a callback, a
/// change of the configuration.
pub fn actions() -> usize {
    ACTIONS.load(Relaxed)
}

fn act() {
    ACTIONS.fetch_add(1, Relaxed);
}

/// Looks at what goes through the virtqueues of a device, while it keeps the rules of the ring.
///
/// Both are called with the device locked and interrupts off, in the order of the ring. The
/// function reads from the buffer, from an offset on, and returns the number of bytes.
pub trait Observer: Send + Sync {
    /// The device has taken a buffer.
    fn popped(&self, chain: &Chain, read: &mut dyn FnMut(usize, &mut [u8]) -> usize);

    /// The device is about to give a buffer back.
    fn returned(&self, chain: &Chain, read: &mut dyn FnMut(usize, &mut [u8]) -> usize);
}

struct Hardware {
    setup: Setup,
    status: u8,
    rings: [Option<Ring>; MAX_QUEUES],
    generation: u32,
    /// The driver was reset, and has not set its virtqueues up again.
    is_reset: bool,
    /// Callbacks that are running.
    callbacks: u32,
    defects: Defects,
    /// The queues whose buffers it gives back by itself, by bits.
    eager: u32,
    /// Reads of the configuration by the driver.
    reads: usize,
    observer: Option<Arc<dyn Observer>>,
}

#[pin_data]
struct Mock {
    #[pin]
    vdev: Opaque<bindings::virtio_device>,
    #[pin]
    hardware: SpinLockIrq<Hardware>,
    notified: [Atomic<u32>; MAX_QUEUES],
    #[pin]
    activity: Event,
}

// SAFETY: All that changes is behind a lock, but for the C device, which has locks of its own.
unsafe impl Send for Mock {}
// SAFETY: As above.
unsafe impl Sync for Mock {}

/// A mock device on the virtio bus. It leaves the bus when this is dropped.
pub struct MockDevice {
    mock: Arc<Mock>,
    /// Whether it is on the bus.
    registered: bool,
}

static OPERATIONS: bindings::virtio_config_ops = bindings::virtio_config_ops {
    get: Some(Mock::get),
    set: Some(Mock::set),
    generation: None,
    get_status: Some(Mock::get_status),
    set_status: Some(Mock::set_status),
    reset: Some(Mock::reset),
    find_vqs: Some(Mock::find_vqs),
    del_vqs: Some(Mock::del_vqs),
    synchronize_cbs: Some(Mock::synchronize_cbs),
    get_features: Some(Mock::get_features),
    get_extended_features: None,
    finalize_features: Some(Mock::finalize_features),
    bus_name: None,
    set_vq_affinity: None,
    get_vq_affinity: None,
    get_shm_region: None,
    disable_vq_and_reset: None,
    enable_vq_after_reset: None,
};

impl Mock {
    /// # Safety
    ///
    /// The device must be that of a `Mock` which lives on while the reference is used.
    unsafe fn of<'a>(vdev: *mut bindings::virtio_device) -> &'a Self {
        // SAFETY: By the safety requirement; `Opaque` is `repr(transparent)`.
        unsafe { &*container_of!(Opaque::cast_from(vdev), Self, vdev) }
    }

    extern "C" fn get(
        vdev: *mut bindings::virtio_device,
        offset: c_uint,
        buf: *mut c_void,
        len: c_uint,
    ) {
        // SAFETY: The bus calls this with a device of ours.
        let this = unsafe { Self::of(vdev) };
        let mut hw = this.hardware.lock();
        hw.reads = hw.reads.wrapping_add(1);
        for nth in 0..len as usize {
            let at = (offset as usize).wrapping_add(nth);
            let mut byte = hw.setup.config.get(at).copied().unwrap_or(0xff);
            if hw.defects.flickers > 0 {
                // CAST: Any byte will do.
                byte = byte.wrapping_add((hw.reads as u8).wrapping_mul(97));
            }
            // SAFETY: The caller has room for `len` bytes.
            unsafe { buf.cast::<u8>().add(nth).write(byte) };
        }
        hw.defects.flickers = hw.defects.flickers.saturating_sub(1);
    }

    extern "C" fn set(
        vdev: *mut bindings::virtio_device,
        offset: c_uint,
        buf: *const c_void,
        len: c_uint,
    ) {
        // SAFETY: The bus calls this with a device of ours.
        let this = unsafe { Self::of(vdev) };
        let mut hw = this.hardware.lock();
        for nth in 0..len as usize {
            let at = (offset as usize).wrapping_add(nth);
            if let Some(byte) = hw.setup.config.get_mut(at) {
                // SAFETY: The caller has `len` bytes.
                *byte = unsafe { buf.cast::<u8>().add(nth).read() };
            }
        }
        drop(hw);
        this.activity.signal();
    }

    extern "C" fn get_status(vdev: *mut bindings::virtio_device) -> u8 {
        // SAFETY: The bus calls this with a device of ours.
        unsafe { Self::of(vdev) }.hardware.lock().status
    }

    extern "C" fn set_status(vdev: *mut bindings::virtio_device, status: u8) {
        // SAFETY: The bus calls this with a device of ours.
        unsafe { Self::of(vdev) }.hardware.lock().status = status;
    }

    extern "C" fn reset(vdev: *mut bindings::virtio_device) {
        // SAFETY: The bus calls this with a device of ours.
        let this = unsafe { Self::of(vdev) };
        {
            let mut hw = this.hardware.lock();
            if !hw.defects.never_resets {
                hw.status = 0;
                hw.is_reset = true;
            }
        }
        this.wait_for_callbacks();
    }

    extern "C" fn synchronize_cbs(vdev: *mut bindings::virtio_device) {
        // SAFETY: The bus calls this with a device of ours.
        unsafe { Self::of(vdev) }.wait_for_callbacks();
    }

    /// Waits until no callback of a virtqueue is running, as transports do with their interrupts.
    fn wait_for_callbacks(&self) {
        while self.hardware.lock().callbacks > 0 {
            // SAFETY: Resets come from contexts that may sleep.
            unsafe { bindings::msleep(1) };
        }
    }

    extern "C" fn get_features(vdev: *mut bindings::virtio_device) -> u64 {
        // SAFETY: The bus calls this with a device of ours.
        unsafe { Self::of(vdev) }.hardware.lock().setup.features
    }

    extern "C" fn finalize_features(vdev: *mut bindings::virtio_device) -> c_int {
        // SAFETY: The bus calls this with a device of ours.
        let this = unsafe { Self::of(vdev) };
        // SAFETY: As above.
        unsafe { bindings::vring_transport_features(vdev) };
        if this.hardware.lock().defects.refuses_features {
            EOPNOTSUPP.to_errno()
        } else {
            0
        }
    }

    extern "C" fn find_vqs(
        vdev: *mut bindings::virtio_device,
        nvqs: c_uint,
        vqs: *mut *mut bindings::virtqueue,
        infos: *mut bindings::virtqueue_info,
        _affinity: *mut bindings::irq_affinity,
    ) -> c_int {
        // SAFETY: The bus calls this with a device of ours.
        let this = unsafe { Self::of(vdev) };
        let mut index = 0;
        for nth in 0..nvqs as usize {
            // SAFETY: The caller has `nvqs` elements in both arrays.
            let (info, slot) = unsafe { (&*infos.add(nth), vqs.add(nth)) };
            let vq = if info.name.is_null() {
                core::ptr::null_mut()
            } else {
                match this.create(vdev, index, info) {
                    Ok(vq) => {
                        index += 1;
                        vq.as_ptr()
                    }
                    Err(error) => {
                        this.delete();
                        return error.to_errno();
                    }
                }
            };
            // SAFETY: As above.
            unsafe { slot.write(vq) };
        }
        this.hardware.lock().is_reset = false;
        0
    }

    /// Creates the virtqueue with the device's number `index`.
    fn create(
        &self,
        vdev: *mut bindings::virtio_device,
        index: usize,
        info: &bindings::virtqueue_info,
    ) -> Result<NonNull<bindings::virtqueue>> {
        const ALIGN: c_uint = 64;
        let (size, generation) = {
            let mut hw = self.hardware.lock();
            hw.generation = hw.generation.wrapping_add(1);
            let size = hw.setup.sizes.get(index).copied().unwrap_or(0);
            if size == 0 || hw.defects.no_queues {
                return Err(ENOENT);
            }
            (size, hw.generation)
        };
        let number = c_uint::try_from(index)?;
        // SAFETY: The device is valid, its features are negotiated, and its parent is not used, as
        // it does without the DMA API.
        let vq = unsafe {
            bindings::vring_create_virtqueue(
                number,
                c_uint::from(size),
                ALIGN,
                vdev,
                true,
                true,
                false,
                Some(Self::notify),
                info.callback,
                info.name,
            )
        };
        let vq = NonNull::new(vq).ok_or(ENOMEM)?;
        let has = |bit| {
            // SAFETY: The device is valid.
            unsafe { bindings::next_virtio_test_bit(vdev, bit) }
        };
        // SAFETY: It was just created, and is deleted in `delete()`, which drops the ring first.
        let ring = unsafe {
            Ring::new(
                vq,
                has(bindings::VIRTIO_F_RING_PACKED),
                has(bindings::VIRTIO_RING_F_EVENT_IDX),
                generation,
            )
        };
        match ring {
            Ok(ring) => {
                if let Some(slot) = self.hardware.lock().rings.get_mut(index) {
                    *slot = Some(ring);
                }
                Ok(vq)
            }
            Err(error) => {
                // SAFETY: It was just created.
                unsafe { bindings::vring_del_virtqueue(vq.as_ptr()) };
                Err(error)
            }
        }
    }

    extern "C" fn del_vqs(vdev: *mut bindings::virtio_device) {
        // SAFETY: The bus calls this with a device of ours.
        let this = unsafe { Self::of(vdev) };
        this.delete();
        // Without queues it is no more than a piece of memory: the bus complains of drivers that
        // leave a device with a status.
        this.hardware.lock().status = 0;
    }

    fn delete(&self) {
        for index in 0..MAX_QUEUES {
            let ring = match self.hardware.lock().rings.get_mut(index) {
                Some(ring) => ring.take(),
                None => None,
            };
            self.wait_for_callbacks();
            if let Some(ring) = ring {
                let vq = ring.vq;
                drop(ring);
                // SAFETY: It was created in `create()`, and nobody uses it any more.
                unsafe { bindings::vring_del_virtqueue(vq.as_ptr()) };
            }
        }
    }

    extern "C" fn notify(vq: *mut bindings::virtqueue) -> bool {
        // SAFETY: The ring calls this with a virtqueue of ours.
        let (vdev, index) = unsafe { ((*vq).vdev, (*vq).index) };
        // SAFETY: As above.
        let this = unsafe { Self::of(vdev) };
        if let Some(count) = this.notified.get(index as usize) {
            count.fetch_add(1, Relaxed);
        }
        this.activity.signal();
        let deaf = this.hardware.lock().defects.deaf;
        if !deaf {
            this.answer(index as usize);
        }
        !deaf
    }

    /// Gives all buffers of a queue back at once, if the device is to do so by itself.
    fn answer(&self, queue: usize) {
        // A driver that goes on to add buffers as they come back notifies of them.
        const AT_A_TIME: usize = 256;

        let mut used = false;
        for _ in 0..AT_A_TIME {
            let mut hw = self.hardware.lock();
            if hw.eager & 1u32.checked_shl(queue as u32).unwrap_or(0) == 0 {
                break;
            }
            let Ok(Some(chain)) = hw.pop(queue) else {
                break;
            };
            hw.push(&chain, 0);
            used = true;
        }
        if used {
            self.interrupt(queue, Context::IrqsOff);
        }
    }

    fn interrupt(&self, queue: usize, context: Context) {
        self.call_back(queue, context, |vq| {
            // SAFETY: The virtqueue is valid.
            unsafe { bindings::vring_interrupt(0, vq.as_ptr().cast()) };
        });
    }

    /// Calls `f` for a virtqueue, which is valid until that returns, if the device may use it.
    fn call_back(&self, queue: usize, context: Context, f: impl Fn(NonNull<bindings::virtqueue>)) {
        let vq = {
            let mut hw = self.hardware.lock();
            let Some(vq) = hw.ring(queue).map(|ring| ring.vq) else {
                return;
            };
            // It is not deleted while this counts.
            hw.callbacks += 1;
            vq
        };
        act();
        context.call(|| f(vq));
        self.hardware.lock().callbacks -= 1;
    }

    extern "C" fn release(dev: *mut bindings::device) {
        // SAFETY: The kernel calls this with the device that is part of a `struct virtio_device`.
        let vdev = unsafe { container_of!(dev, bindings::virtio_device, dev) };
        // SAFETY: That one is part of a `Mock`.
        let this = unsafe { Self::of(vdev) };
        // SAFETY: The pointer comes from `Arc::into_raw()` in `MockDevice::new()`, and this is
        // called once.
        drop(unsafe { Arc::from_raw(this) });
    }
}

impl MockDevice {
    /// Puts a device on the bus. If there is a driver for it, it has tried to bind on return.
    pub fn new(setup: Setup) -> Result<Self> {
        Self::with_defects(setup, Defects::default())
    }

    /// The same for a device that has defects from the start.
    pub fn with_defects(setup: Setup, defects: Defects) -> Result<Self> {
        let id = setup.id;
        let hardware = Hardware {
            setup,
            status: 0,
            rings: [const { None }; MAX_QUEUES],
            generation: 0,
            is_reset: true,
            callbacks: 0,
            defects,
            eager: 0,
            reads: 0,
            observer: None,
        };
        let mock = Arc::pin_init(
            pin_init!(Mock {
                vdev <- Opaque::ffi_init(|slot: *mut bindings::virtio_device| {
                    // SAFETY: `slot` is valid for writes, and zeroes are what the bus expects.
                    unsafe {
                        slot.write_bytes(0, 1);
                        (*slot).id.device = id;
                        (*slot).id.vendor = bindings::VIRTIO_DEV_ANY_ID;
                        (*slot).config = &raw const OPERATIONS;
                        (*slot).dev.release = Some(Mock::release);
                    };
                }),
                hardware <- new_spinlock_irq!(hardware),
                notified: [const { Atomic::new(0) }; MAX_QUEUES],
                activity <- Event::new(),
            }),
            GFP_KERNEL,
        )?;
        // For `release()`.
        let raw = Arc::into_raw(mock.clone());
        // SAFETY: The device is initialised as far as the bus wants it to be.
        let result = to_result(unsafe { bindings::register_virtio_device((*raw).vdev.get()) });
        if let Err(error) = result {
            // SAFETY: The bus has initialised the device, and wants it to be put in this case.
            unsafe { bindings::put_device(&raw mut (*(*raw).vdev.get()).dev) };
            return Err(error);
        }
        Ok(Self {
            mock,
            registered: true,
        })
    }

    fn vdev(&self) -> *mut bindings::virtio_device {
        self.mock.vdev.get()
    }

    fn dev(&self) -> *mut bindings::device {
        // SAFETY: The device is valid.
        unsafe { &raw mut (*self.vdev()).dev }
    }

    /// Returns whether a driver is bound to it.
    pub fn is_bound(&self) -> bool {
        // SAFETY: The device is valid. Nobody else binds or unbinds it.
        self.registered && !unsafe { (*self.dev()).driver }.is_null()
    }

    /// Returns the status field.
    pub fn status(&self) -> u8 {
        self.mock.hardware.lock().status
    }

    /// Returns whether a feature was negotiated.
    pub fn has_feature(&self, feature: Feature) -> bool {
        // SAFETY: The device is valid.
        unsafe { bindings::next_virtio_test_bit(self.vdev(), feature.bit()) }
    }

    /// Changes what is wrong with it.
    pub fn set_defects(&self, change: impl FnOnce(&mut Defects)) {
        change(&mut self.mock.hardware.lock().defects);
    }

    /// Changes what it is like. Features and sizes count at the next set-up.
    pub fn set_up(&self, change: impl FnOnce(&mut Setup)) {
        change(&mut self.mock.hardware.lock().setup);
    }

    /// Has somebody look at all buffers from now on.
    pub fn set_observer(&self, observer: Arc<dyn Observer>) {
        let old = self.mock.hardware.lock().observer.replace(observer);
        drop(old);
    }

    /// Returns a little-endian field of the configuration space.
    pub fn config(&self, offset: usize) -> u32 {
        let hw = self.mock.hardware.lock();
        let mut bytes = [0; 4];
        for (nth, byte) in bytes.iter_mut().enumerate() {
            *byte = hw.setup.config.get(offset + nth).copied().unwrap_or(0);
        }
        u32::from_le_bytes(bytes)
    }

    /// Changes a little-endian field of the configuration space, and does not say so.
    pub fn set_config(&self, offset: usize, value: u32) {
        act();
        let mut hw = self.mock.hardware.lock();
        for (nth, byte) in value.to_le_bytes().into_iter().enumerate() {
            if let Some(at) = hw.setup.config.get_mut(offset + nth) {
                *at = byte;
            }
        }
    }

    /// Returns how often the driver has read the configuration space.
    pub fn config_reads(&self) -> usize {
        self.mock.hardware.lock().reads
    }

    /// Says that the configuration space has changed.
    pub fn config_changed(&self, context: Context) {
        if self.registered {
            act();
            // SAFETY: The device is on the bus.
            context.call(|| unsafe { bindings::virtio_config_changed(self.vdev()) });
        }
    }

    /// Calls back for a virtqueue, by the device's number, whether there is a reason or not.
    ///
    /// Nothing happens if it does not exist, or the device was reset.
    pub fn interrupt(&self, queue: usize, context: Context) {
        self.mock.interrupt(queue, context);
    }

    /// Makes the device give the buffers of some queues back by itself when it is notified: those
    /// whose bits are set.
    pub fn set_eager(&self, queues: u32) {
        self.mock.hardware.lock().eager = queues;
        for queue in 0..MAX_QUEUES {
            self.mock.answer(queue);
        }
    }

    /// Calls back for a virtqueue even if nothing was used, past the ring's own check.
    pub fn spurious_callback(&self, queue: usize, context: Context) {
        self.mock.call_back(queue, context, |vq| {
            // SAFETY: The virtqueue is valid.
            if let Some(callback) = unsafe { (*vq.as_ptr()).callback } {
                // SAFETY: As above.
                unsafe { callback(vq.as_ptr()) };
            }
        });
    }

    /// Returns how often the driver has notified a virtqueue.
    pub fn notifications(&self, queue: usize) -> u32 {
        self.mock.notified.get(queue).map_or(0, |n| n.load(Relaxed))
    }

    /// Asks not to be notified of buffers, or to be notified again.
    pub fn ask_for_notifications(&self, queue: usize, wanted: bool) {
        if let Some(ring) = self.mock.hardware.lock().ring(queue) {
            ring.ask_for_notifications(wanted);
        }
    }

    /// Returns the number of entries of a virtqueue, 0 if it does not exist.
    pub fn queue_size(&self, queue: usize) -> u16 {
        let mut hw = self.mock.hardware.lock();
        hw.ring(queue).map_or(0, |ring| ring.size())
    }

    /// Returns whether the driver has made a buffer available.
    pub fn has_available(&self, queue: usize) -> bool {
        let mut hw = self.mock.hardware.lock();
        hw.ring(queue).is_some_and(|ring| ring.available() > 0)
    }

    /// Takes the next buffer that the driver has made available.
    pub fn pop(&self, queue: usize) -> Result<Option<Chain>> {
        self.mock.hardware.lock().pop(queue)
    }

    /// Waits for a buffer, for `timeout` milliseconds at most ([`ETIMEDOUT`]).
    pub fn wait_for(&self, queue: usize, timeout: Msecs) -> Result<Chain> {
        let mut chain = None;
        self.wait_until(timeout, || {
            chain = self.pop(queue)?;
            Ok(chain.is_some())
        })?;
        chain.ok_or(ETIMEDOUT)
    }

    /// Waits until something is so, for `timeout` milliseconds at most ([`ETIMEDOUT`]).
    pub fn wait_until(&self, timeout: Msecs, mut done: impl FnMut() -> Result<bool>) -> Result {
        const SLICE_MS: Msecs = 2;
        let deadline =
            Monotonic::ktime_get().saturating_add(i64::from(timeout).saturating_mul(NSEC_PER_MSEC));
        loop {
            self.mock.activity.arm();
            if done()? {
                return Ok(());
            }
            if Monotonic::ktime_get() >= deadline {
                return Err(ETIMEDOUT);
            }
            self.mock.activity.wait(SLICE_MS);
        }
    }

    /// Reads from a buffer that the device has. Returns the number of bytes.
    pub fn read(&self, chain: &Chain, offset: usize, bytes: &mut [u8]) -> usize {
        let mut hw = self.mock.hardware.lock();
        hw.owner(chain)
            .map_or(0, |ring| ring.read(chain, offset, bytes))
    }

    /// Writes to a buffer that the device has, whether it may or not. Returns the number of bytes.
    pub fn write(&self, chain: &Chain, offset: usize, bytes: &[u8]) -> usize {
        let mut hw = self.mock.hardware.lock();
        let Some(ring) = hw.owner(chain) else {
            return 0;
        };
        let mut done = 0;
        ring.each_byte(chain, offset, bytes.len(), |nth, at| {
            if let Some(&byte) = bytes.get(nth) {
                // SAFETY: As above.
                unsafe { at.write_volatile(byte) };
                done += 1;
            }
        });
        done
    }

    /// Reads a little-endian number from a buffer that the device has.
    pub fn read_u32(&self, chain: &Chain, offset: usize) -> Option<u32> {
        let mut bytes = [0; 4];
        (self.read(chain, offset, &mut bytes) == 4).then_some(u32::from_le_bytes(bytes))
    }

    /// Overwrites the start and the end of each entry that the device may write to, as a host that
    /// discards the memory would.
    pub fn scribble(&self, chain: &Chain) {
        for entry in chain.descriptors().iter().filter(|entry| entry.writable) {
            let mut hw = self.mock.hardware.lock();
            if hw.owner(chain).is_none() || entry.len < 8 {
                return;
            }
            for at in [entry.address, entry.address + u64::from(entry.len) - 8] {
                overwrite(at);
            }
        }
    }

    /// Overwrites the start of the 4 KiB page that is in the balloon, unless the device was reset.
    ///
    /// The caller sees to it that the driver has given the page away, through `queue`.
    pub fn scribble_page(&self, queue: usize, pfn: u32) {
        const PAGE_SHIFT: u32 = 12;
        let mut hw = self.mock.hardware.lock();
        if hw.ring(queue).is_some_and(|ring| !ring.foul) {
            overwrite(u64::from(pfn) << PAGE_SHIFT);
        }
    }

    /// Gives a buffer back, `len` bytes of which the device says to have written.
    pub fn push(&self, chain: Chain, len: u32) {
        self.mock.hardware.lock().push(&chain, len);
    }

    /// Gives a buffer back, and calls back if the driver asks for that.
    pub fn finish(&self, chain: Chain, len: u32, context: Context) {
        let queue = chain.queue;
        self.push(chain, len);
        let mut hw = self.mock.hardware.lock();
        let wanted = hw.ring(queue).is_some_and(|ring| ring.wants_callback());
        drop(hw);
        if wanted {
            self.interrupt(queue, context);
        }
    }

    /// Says that a buffer was used, whether the device has it or not.
    pub fn push_id(&self, queue: usize, id: u32, len: u32) {
        if let Some(ring) = self.mock.hardware.lock().ring(queue) {
            act();
            ring.push(id, len);
        }
    }

    /// Returns whether the device has a buffer of this id.
    pub fn has_id(&self, queue: usize, id: u32) -> bool {
        let mut hw = self.mock.hardware.lock();
        hw.ring(queue).is_some_and(|ring| ring.has(id))
    }

    /// Says that more buffers were used than were.
    pub fn jump(&self, queue: usize, by: u16) {
        if let Some(ring) = self.mock.hardware.lock().ring(queue) {
            act();
            ring.jump(by);
        }
    }

    /// Returns whether the device has broken a rule of the ring since it was set up.
    pub fn is_foul(&self, queue: usize) -> bool {
        let mut hw = self.mock.hardware.lock();
        hw.ring(queue).is_none_or(|ring| ring.foul)
    }

    /// Marks all virtqueues as broken, as a transport does whose device is gone.
    pub fn break_queues(&self) {
        // SAFETY: The device is valid.
        unsafe { bindings::virtio_break_device(self.vdev()) };
    }

    /// Unbinds the driver.
    pub fn unbind(&self) {
        // SAFETY: The device is on the bus, or was never bound.
        unsafe { bindings::device_release_driver(self.dev()) };
    }

    /// Looks for a driver again. Returns whether one is bound.
    pub fn bind(&self) -> bool {
        if self.registered {
            // SAFETY: The device is on the bus.
            let _ = unsafe { bindings::device_attach(self.dev()) };
        }
        self.is_bound()
    }

    /// Suspends the device, as its transport does. The driver must be bound.
    #[cfg(CONFIG_PM_SLEEP)]
    pub fn freeze(&self) -> Result {
        // SAFETY: The device is valid.
        to_result(unsafe { bindings::virtio_device_freeze(self.vdev()) })
    }

    /// Resumes the device.
    #[cfg(CONFIG_PM_SLEEP)]
    pub fn restore(&self) -> Result {
        // SAFETY: The device is valid.
        to_result(unsafe { bindings::virtio_device_restore(self.vdev()) })
    }

    /// The machine goes down. The driver must be bound.
    pub fn shut_down(&self) {
        if self.is_bound() {
            // SAFETY: The device is valid, and on the virtio bus.
            unsafe { bindings::next_mock_shutdown(self.vdev()) };
        }
    }

    /// Takes the device off the bus.
    pub fn unplug(&mut self) {
        if core::mem::replace(&mut self.registered, false) {
            // SAFETY: The device is on the bus, and this is done once.
            unsafe { bindings::unregister_virtio_device(self.vdev()) };
        }
    }

    /// Waits until the driver has done what it was told to, as far as it does not have to wait.
    pub fn settle(&self) {
        if self.is_bound() {
            // SAFETY: The driver is bound, and nobody else unbinds it.
            unsafe { Lifecycle::settle(self.vdev()) };
        }
    }

    /// Calls `f` with the device and the data of its driver.
    ///
    /// Returns [`None`] if it is not bound to a driver of type `T`, or was suspended.
    pub fn with_data<T: Driver, R>(
        &self,
        f: impl FnOnce(&Device<device::Bound>, Pin<&T::Data<'_>>) -> R,
    ) -> Option<R> {
        const DRIVER_OK: u8 = bindings::VIRTIO_CONFIG_S_DRIVER_OK as u8;
        if !self.is_bound() || self.status() & DRIVER_OK == 0 {
            return None;
        }
        // SAFETY: The device is bound to a driver of the virtio bus.
        let table = unsafe {
            let driver = (*self.dev()).driver;
            (*container_of!(driver, bindings::virtio_driver, driver)).id_table
        };
        if table != T::ID_TABLE.as_ptr() {
            return None;
        }
        // SAFETY: The device is bound; nobody else unbinds it.
        let dev = unsafe { &*self.vdev().cast::<Device<device::BoundInternal>>() };
        // SAFETY: It is bound to the driver with the table of `T`, which has set its data.
        let data = unsafe { dev.as_ref().drvdata_borrow::<T::Data<'_>>() };
        Some(f(dev, data))
    }
}

impl Drop for MockDevice {
    fn drop(&mut self) {
        self.unplug();
    }
}

impl Hardware {
    /// Returns the device's side of a virtqueue, if it may use it.
    fn ring(&mut self, queue: usize) -> Option<&mut Ring> {
        if self.is_reset {
            return None;
        }
        self.rings.get_mut(queue)?.as_mut()
    }

    fn pop(&mut self, queue: usize) -> Result<Option<Chain>> {
        let observer = self.observer.clone();
        let Some(ring) = self.ring(queue) else {
            return Ok(None);
        };
        let chain = ring.pop(queue)?;
        if chain.is_some() {
            act();
        }
        if let (Some(chain), Some(observer), false) = (&chain, observer, ring.foul) {
            observer.popped(chain, &mut |offset, bytes| ring.read(chain, offset, bytes));
        }
        Ok(chain)
    }

    fn push(&mut self, chain: &Chain, len: u32) {
        let observer = self.observer.clone();
        if let (Some(ring), Some(observer)) = (self.owner(chain), observer) {
            observer.returned(chain, &mut |offset, bytes| ring.read(chain, offset, bytes));
        }
        if let Some(ring) = self.ring(chain.queue) {
            if ring.generation == chain.generation {
                act();
                ring.push(u32::from(chain.id), len);
            }
        }
    }

    /// Returns the ring of a buffer that the device has, and whose memory it may touch.
    fn owner(&mut self, chain: &Chain) -> Option<&mut Ring> {
        self.ring(chain.queue)
            .filter(|ring| !ring.foul && ring.generation == chain.generation)
            .filter(|ring| ring.has(u32::from(chain.id)))
    }
}

impl Ring {
    /// Reads from a buffer that the device has. Returns the number of bytes.
    fn read(&self, chain: &Chain, offset: usize, bytes: &mut [u8]) -> usize {
        let mut done = 0;
        self.each_byte(chain, offset, bytes.len(), |nth, at| {
            if let Some(byte) = bytes.get_mut(nth) {
                // SAFETY: The byte is part of a buffer that the driver has made available, and
                // does not take back before the device's lock is released.
                *byte = unsafe { at.read_volatile() };
                done += 1;
            }
        });
        done
    }

    /// Calls `f` for `len` bytes of a buffer, or as many as it has, with their number and address.
    fn each_byte(
        &self,
        chain: &Chain,
        offset: usize,
        len: usize,
        mut f: impl FnMut(usize, NonNull<u8>),
    ) {
        let mut skip = offset;
        let mut done = 0;
        for entry in chain.descriptors() {
            let size = entry.len as usize;
            if skip >= size {
                skip -= size;
                continue;
            }
            // SAFETY: The address is that of memory of the guest.
            let memory = unsafe { bindings::next_mock_memory(entry.address) };
            let Some(memory) = NonNull::new(memory.cast::<u8>()) else {
                return;
            };
            for at in skip..size {
                if done >= len {
                    return;
                }
                // SAFETY: The entry has `size` bytes.
                f(done, unsafe { memory.add(at) });
                done += 1;
            }
            skip = 0;
        }
    }
}

/// Overwrites eight bytes of the guest's memory that were given to the device.
fn overwrite(address: u64) {
    // SAFETY: The address is that of memory of the guest.
    let memory = unsafe { bindings::next_mock_memory(address) };
    if let Some(memory) = NonNull::new(memory.cast::<u64>()) {
        // SAFETY: The memory is the device's until it gives the buffer back.
        unsafe { memory.write_unaligned(0xdead_face_dead_face) };
    }
}
