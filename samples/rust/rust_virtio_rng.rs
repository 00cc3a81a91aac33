// SPDX-License-Identifier: GPL-2.0

//! A driver for the virtio entropy device: a file in debugfs gives random bytes.
//!
//! The smallest driver on the virtio bus that is one: a virtqueue, a buffer for the device to
//! write to, and somebody who waits for it. Each time that the file is read it has one line, the
//! bytes that came of one request. A system would rather use the kernel's own driver, which feeds
//! `/dev/hwrng`.
//!
//! Specification: Virtual I/O Device (VIRTIO), section 5.4, "Entropy Device".
//!
//! # When the device goes
//!
//! The device may take its time with a request, or never answer it, and go meanwhile: its buffer
//! belongs to the virtqueue, which drops it after the device was reset. The reset also makes
//! [`Virtqueue::used`] happen. So who waits for it finds that there is no access to the device any
//! more, and the file, which waits for its readers, can go.

extern crate kernel_next as kernel;

use kernel::{
    bindings,
    debugfs::{
        Stream,
        StreamDir,
        StreamFile, //
    },
    device,
    fmt,
    prelude::*,
    str::CString,
    sync::{
        Arc,
        Mutex, //
    },
    virtio::{
        self,
        Buffer,
        DeviceAccess,
        DeviceId,
        Feature,
        InBuffer,
        QueueInfo,
        Segment,
        Virtqueue, //
    }, //
};

/// Its only virtqueue.
const REQUEST_VQ: usize = 0;

/// The bytes that are asked for at a time.
const REQUEST_BYTES: usize = 64;

/// A request: room for the bytes.
struct Request(InBuffer<[u8; REQUEST_BYTES]>);

impl Buffer for Request {
    fn segment(&self) -> Segment<'_> {
        self.0.segment()
    }
}

/// What came of a request.
struct Entropy {
    bytes: [u8; REQUEST_BYTES],
    /// How many of them the device says to have written.
    len: usize,
}

/// Where the bytes come from.
#[pin_data]
struct Source {
    access: Arc<DeviceAccess>,
    queue: Arc<Virtqueue<Request>>,
    /// Held by who waits for the device, as a virtqueue's event is for one at a time.
    #[pin]
    turn: Mutex<()>,
}

impl Source {
    fn new(access: Arc<DeviceAccess>, queue: Arc<Virtqueue<Request>>) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            access,
            queue,
            turn <- kernel::new_mutex!(()),
        })
    }

    /// Takes back a request that the device has answered. If it has none, it gets one.
    fn poll(&self, dev: &virtio::Device<device::Bound>) -> Result<Option<Entropy>> {
        let queue = self.queue.bind(dev)?;
        let answered = queue.lock().get();
        if let Some((request, len)) = answered {
            let len = usize::try_from(len)?.min(REQUEST_BYTES);
            if len == 0 {
                return Err(EIO);
            }
            let bytes = request.0.read();
            return Ok(Some(Entropy { bytes, len }));
        }
        if queue.is_broken() {
            return Err(EIO);
        }
        // One that nobody waits for any more, after a signal, serves the next.
        if self.queue.lent() == 0 {
            let request = Request(InBuffer::new(GFP_KERNEL)?);
            queue.lock().add(request).map_err(|refused| refused.error)?;
            queue.kick()?;
        }
        Ok(None)
    }

    /// Waits for random bytes.
    ///
    /// Returns [`EBUSY`] if somebody else does, [`ENODEV`] if the device goes, and an error if a
    /// signal comes.
    fn wait(&self) -> Result<Entropy> {
        let _turn = self.turn.try_lock().ok_or(EBUSY)?;
        loop {
            let used = self.queue.used();
            used.arm();
            // Not longer: the device does not go as long as somebody has access to it.
            if let Some(entropy) = self.access.with(|dev| self.poll(dev))?? {
                return Ok(entropy);
            }
            used.wait_interruptible()?;
        }
    }
}

#[vtable]
impl Stream for Source {
    type OwnerModule = crate::LocalModule;
    type Place = Option<Entropy>;

    fn begin(&self) -> Result<Option<Entropy>> {
        Ok(None)
    }

    fn advance(&self, place: &mut Option<Entropy>) -> Result<bool> {
        if place.is_some() {
            return Ok(false);
        }
        *place = Some(self.wait()?);
        Ok(true)
    }

    fn show(&self, place: &Option<Entropy>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(entropy) = place else {
            return Ok(());
        };
        for byte in entropy.bytes.iter().take(entropy.len) {
            write!(f, "{byte:02x}")?;
        }
        writeln!(f)
    }
}

/// An entropy device.
#[pin_data]
struct Rng {
    queue: Arc<Virtqueue<Request>>,
    #[pin]
    _file: StreamFile<Source>,
}

kernel::virtio_device_table!(ID_TABLE, [DeviceId::new(bindings::VIRTIO_ID_RNG)]);

#[vtable]
impl virtio::Driver for Rng {
    type Data<'bound> = Self;

    const ID_TABLE: virtio::IdTable = &ID_TABLE;

    const FEATURES: &'static [Feature] = &[];

    fn probe<'bound>(
        dev: &'bound virtio::Device<device::Core<'_>>,
    ) -> impl PinInit<Self, Error> + 'bound {
        pin_init::pin_init_scope(move || {
            let mut queues = dev.find_virtqueues(&[Some(QueueInfo {
                name: c"requests",
                callback: true,
            })])?;
            let queue = queues.take(REQUEST_VQ)?;
            let source = Source::new(dev.new_access()?, queue.clone());
            let name = CString::try_from_fmt(fmt!("rust_virtio_rng-virtio{}", dev.index()))?;
            let dir = StreamDir::new(&name)?;
            Ok(try_pin_init!(Self {
                queue,
                _file <- StreamFile::new(&dir, c"bytes", source),
            }))
        })
    }

    fn vq_callback<'bound>(
        _dev: &'bound virtio::Device<device::Bound>,
        this: Pin<&Self>,
        _queue: usize,
    ) {
        this.queue.wake();
    }
}

kernel::module_virtio_driver! {
    type: Rng,
    name: "rust_virtio_rng",
    authors: ["The virtio-balloon-rs developers"],
    description: "Sample: virtio entropy device, with a file in debugfs",
    license: "GPL",
}
