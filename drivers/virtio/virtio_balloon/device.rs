// SPDX-License-Identifier: GPL-2.0

//! The balloon device: features, queues, callbacks.

use core::mem::offset_of;
use kernel::{
    bindings,
    debugfs::{
        StreamDir,
        StreamFile, //
    },
    device,
    mm::{
        self,
        Caches,
        OomNotifier,
        PageBalloon,
        PageReporting,
        ShrinkerRegistration, //
    },
    module::this_module,
    pm::SleepNotifier,
    prelude::*,
    str::CString,
    sync::Arc,
    virtio::{
        self,
        ConfigField,
        DeviceAccess,
        DeviceWork,
        Feature,
        Negotiation,
        QueueInfo,
        ReportSleep, //
    },
    workqueue::OwnedQueue, //
};

use crate::{
    about::About,
    answers::Answers,
    awake::{
        Awake,
        STATISTICS, //
    },
    bitmap::{
        Bitmap,
        BitmapBuffer,
        MIN_RING, //
    },
    counters::{
        BalloonCounters,
        BitmapCounters,
        HintCounters, //
    },
    events::Kind,
    held::HeldPages,
    hint::Hinting,
    isolated::IsolatedPages,
    oom,
    page_buffer::Format,
    policy::{
        Policy,
        Strategy, //
    },
    reporting::Reporter,
    resizing::Resizing,
    shown::{
        BalloonState,
        BitmapState,
        DeviceState,
        HintState,
        Shown, //
    },
    shown_file::{
        Show,
        Whole, //
    },
    sizing::Sizing,
    source::HintBuffer,
    stats::Statistics, //
};

pub(crate) const MUST_TELL_HOST: Feature =
    Feature::of::<{ bindings::VIRTIO_BALLOON_F_MUST_TELL_HOST }>();
pub(crate) const STATS_VQ: Feature = Feature::of::<{ bindings::VIRTIO_BALLOON_F_STATS_VQ }>();
pub(crate) const DEFLATE_ON_OOM: Feature =
    Feature::of::<{ bindings::VIRTIO_BALLOON_F_DEFLATE_ON_OOM }>();
pub(crate) const FREE_PAGE_HINT: Feature =
    Feature::of::<{ bindings::VIRTIO_BALLOON_F_FREE_PAGE_HINT }>();
pub(crate) const PAGE_POISON: Feature = Feature::of::<{ bindings::VIRTIO_BALLOON_F_PAGE_POISON }>();
pub(crate) const FREE_PAGE_BITMAP: Feature =
    Feature::of::<{ bindings::VIRTIO_BALLOON_F_FREE_PAGE_BITMAP }>();
pub(crate) const EXTENTS: Feature = Feature::of::<{ bindings::VIRTIO_BALLOON_F_EXTENTS }>();
pub(crate) const REPORTING: Feature = Feature::of::<{ bindings::VIRTIO_BALLOON_F_REPORTING }>();

/// The features as debugfs calls them, by the names of the specifications.
const FEATURE_NAMES: [(Feature, &str); 8] = [
    (MUST_TELL_HOST, "must_tell_host"),
    (STATS_VQ, "stats_vq"),
    (DEFLATE_ON_OOM, "deflate_on_oom"),
    (FREE_PAGE_HINT, "free_page_hint"),
    (PAGE_POISON, "page_poison"),
    (REPORTING, "reporting"),
    (EXTENTS, "extents"),
    (FREE_PAGE_BITMAP, "free_page_bitmap"),
];

// Indexes of the virtqueues in the specification's list (section 5.5.2).
const INFLATE_VQ: usize = 0;
const DEFLATE_VQ: usize = 1;
const STATISTICS_VQ: usize = 2;
const FREE_PAGE_VQ: usize = 3;
const REPORTING_VQ: usize = 4;

/// What the guest fills free pages with.
const POISON_VAL: ConfigField<u32> =
    ConfigField::at::<{ offset_of!(bindings::virtio_balloon_config, poison_val) }>();

/// The virtqueues, and the features without any of which a device does not have each.
///
/// Devices number their queues by what they *offer* (QEMU, Firecracker, crosvm and
/// cloud-hypervisor do), and Linux's transports by what the driver asks for. So all queues that
/// are offered are asked for, also those of features that are not accepted: otherwise every later
/// queue would be taken for the one before it.
const QUEUES: [(&CStr, &[Feature]); 5] = [
    (c"inflate", &[]),
    (c"deflate", &[]),
    (c"stats", &[STATS_VQ]),
    (c"free_page_vq", &[FREE_PAGE_HINT, FREE_PAGE_BITMAP]),
    (c"reporting_vq", &[REPORTING]),
];

/// Hinting that is in use.
pub(crate) struct ActiveHinting {
    // Dropped first: nobody asks for the memory any more when it goes.
    _shrinker: Option<ShrinkerRegistration<HeldPages>>,
    _held_oom: Option<Pin<KBox<OomNotifier<HeldPages>>>>,
    _isolated_oom: Option<IsolatedOom>,
    pub(crate) work: Arc<DeviceWork<Hinting>>,
}

/// Where the kernel asks for isolated memory before it kills somebody.
type IsolatedOom = Pin<KBox<OomNotifier<IsolatedPages>>>;

/// The free page bitmap that is in use.
pub(crate) struct ActiveBitmap {
    // Dropped first.
    _oom: Option<IsolatedOom>,
    pub(crate) work: Arc<DeviceWork<Bitmap>>,
}

/// Free page reporting that is in use.
struct ActiveReporting {
    _sleep: Pin<KBox<SleepNotifier<ReportSleep>>>,
    /// Most blocks of a report, as the kernel was told.
    capacity: usize,
    /// There until it is dropped.
    registration: Option<Pin<KBox<PageReporting<Reporter>>>>,
    reporter: Arc<Reporter>,
}

impl Drop for ActiveReporting {
    fn drop(&mut self) {
        let registration = self.registration.take();
        if self.reporter.queue.is_stuck() {
            // To end it is to wait for a report that does not return: the kernel keeps it.
            core::mem::forget(registration);
        }
    }
}

/// Creates a file of a device in debugfs.
fn file<'a, T: Show>(
    dir: &'a StreamDir,
    name: &'a CStr,
    shown: Arc<T>,
) -> impl PinInit<StreamFile<Whole<T>>, Error> + 'a {
    StreamFile::new(dir, name, Ok::<_, Error>(Whole(shown)))
}

/// The data of a device.
#[pin_data]
pub(crate) struct Balloon {
    // These are called by the kernel, and are the first to go.
    _oom: Option<Pin<KBox<OomNotifier<Resizing>>>>,
    reporting: Option<ActiveReporting>,
    pub(crate) hinting: Option<ActiveHinting>,
    pub(crate) bitmap: Option<ActiveBitmap>,
    pub(crate) isolated: Arc<IsolatedPages>,
    statistics: Option<Arc<DeviceWork<Statistics>>>,
    pub(crate) resizing: Arc<DeviceWork<Resizing>>,
    awake: Arc<Awake>,
    about: Arc<About>,
    #[pin]
    _about_file: StreamFile<Whole<About>>,
    #[pin]
    _answers_file: StreamFile<Whole<Answers>>,
    #[pin]
    _hinting_file: StreamFile<Whole<HintCounters>>,
    #[pin]
    _bitmap_file: StreamFile<Whole<BitmapCounters>>,
    #[pin]
    _isolation_file: StreamFile<Whole<IsolatedPages>>,
    #[pin]
    _balloon_file: StreamFile<Whole<BalloonCounters>>,
}

impl Balloon {
    /// Returns the policy for a device, as far as the guest and the device allow it.
    fn policy(dev: &virtio::Device<device::Bound>, mut policy: Policy, maps: bool) -> Policy {
        if !dev.has_feature(FREE_PAGE_HINT) {
            policy.strategy = Strategy::Off;
        }
        if let Some(reason) = Self::refusal(policy.strategy, maps) {
            dev_warn!(
                dev,
                "free page hinting: {} refused: {}; using hold\n",
                policy.strategy,
                reason
            );
            policy.strategy = Strategy::Hold;
        }
        if policy.strategy == Strategy::Walk {
            dev_warn!(
                dev,
                "free_page_hint=2 (walk) loses data unless the host arms dirty logging before \
                 each request: with QEMU on KVM, use -accel kvm,dirty-ring-size=N, or hold\n"
            );
        }
        policy
    }

    /// Returns why a strategy cannot be had here.
    fn refusal(strategy: Strategy, maps: bool) -> Option<&'static str> {
        if !matches!(strategy, Strategy::Walk | Strategy::Isolate) {
            None
        } else if strategy == Strategy::Isolate && !mm::can_isolate() {
            Some("this kernel does not let a driver isolate free blocks")
        } else if mm::free_pages_have_content() {
            // A page that the host leaves out comes back with another content.
            Some("the guest relies on the content of free pages (init_on_free or page_poison)")
        } else if maps {
            // A copy at unmap would overwrite a page that is in use again, or not mapped.
            Some("the transport maps buffers for DMA")
        } else {
            None
        }
    }

    /// Has the kernel wait for isolated memory before it kills somebody for want of some.
    fn isolated_oom(isolated: &Arc<IsolatedPages>) -> Result<IsolatedOom> {
        KBox::pin_init(
            OomNotifier::new(oom::PRIORITY_OF_HINTS, isolated.clone()),
            GFP_KERNEL,
        )
    }

    /// Sets hinting up, if the policy has it.
    fn activate(
        dev: &virtio::Device<device::Core<'_>>,
        policy: Policy,
        workqueue: &Arc<OwnedQueue>,
        queue: Arc<virtio::Virtqueue<HintBuffer>>,
        isolated: &Arc<IsolatedPages>,
        counters: &Arc<HintCounters>,
        answers: &Arc<Answers>,
    ) -> Result<Option<ActiveHinting>> {
        let held = Arc::pin_init(HeldPages::new(counters.clone()), GFP_KERNEL)?;
        let (mut _shrinker, mut _held_oom, mut _isolated_oom) = (None, None, None);
        match policy.strategy {
            Strategy::Off => return Ok(None),
            Strategy::Hold => {
                _shrinker = Some(ShrinkerRegistration::new(c"virtio-balloon", held.clone())?);
                _held_oom = Some(KBox::pin_init(
                    OomNotifier::new(oom::PRIORITY_OF_HINTS, held.clone()),
                    GFP_KERNEL,
                )?);
            }
            Strategy::Walk => {}
            Strategy::Isolate => _isolated_oom = Some(Self::isolated_oom(isolated)?),
        }
        let work = dev.new_work(
            workqueue.clone(),
            Hinting::new(
                policy,
                queue,
                held,
                isolated.clone(),
                counters.clone(),
                answers.clone(),
            ),
        )?;
        Ok(Some(ActiveHinting {
            _shrinker,
            _held_oom,
            _isolated_oom,
            work,
        }))
    }

    /// Sets the free page bitmap up.
    fn bitmap(
        dev: &virtio::Device<device::Core<'_>>,
        policy: Policy,
        workqueue: &Arc<OwnedQueue>,
        queue: Arc<virtio::Virtqueue<BitmapBuffer>>,
        isolated: &Arc<IsolatedPages>,
        counters: &Arc<BitmapCounters>,
        answers: &Arc<Answers>,
    ) -> Result<Option<ActiveBitmap>> {
        let ring = queue.bind(dev)?.size();
        if ring < MIN_RING {
            dev_warn!(
                dev,
                "no free page bitmap: the device's free page queue has {} descriptors, fewer than \
                 {}\n",
                ring,
                MIN_RING
            );
            return Ok(None);
        }
        let _oom = match mm::can_isolate() {
            true => Some(Self::isolated_oom(isolated)?),
            false => None,
        };
        let item = Bitmap::new(
            policy,
            queue,
            ring,
            isolated.clone(),
            counters.clone(),
            answers.clone(),
        );
        let work = dev.new_work(workqueue.clone(), item)?;
        dev_info!(
            dev,
            "free page bitmap: on{}, the host may drop {}\n",
            if mm::can_isolate() {
                ", isolated blocks as well"
            } else {
                ""
            },
            policy.drop_caches.allowed
        );
        Ok(Some(ActiveBitmap { _oom, work }))
    }

    /// Sets reporting up. It begins when the device is live.
    fn reporting(
        dev: &virtio::Device<device::Core<'_>>,
        policy: Policy,
        queues: &mut virtio::Virtqueues<'_, '_>,
        access: &Arc<DeviceAccess>,
        counters: &Arc<BalloonCounters>,
    ) -> Result<Option<ActiveReporting>> {
        if !dev.has_feature(REPORTING) {
            return Ok(None);
        }
        let queue = Arc::new(
            queues.take_report_queue(REPORTING_VQ, this_module::<crate::LocalModule>())?,
            GFP_KERNEL,
        )?;
        let capacity = queue.size(dev)?;
        let _sleep = ReportSleep::watch(dev, queue.clone())?;
        let reporter = Reporter {
            queue,
            access: access.clone(),
            counters: counters.clone(),
        };
        let reporter = Arc::new(reporter, GFP_KERNEL)?;
        let registration = KBox::pin_init(
            PageReporting::new(policy.reporting_order, capacity, reporter.clone()),
            GFP_KERNEL,
        )?;
        Ok(Some(ActiveReporting {
            _sleep,
            capacity,
            registration: Some(registration),
            reporter,
        }))
    }

    /// Returns how the host is told of pages of the balloon.
    fn format(dev: &virtio::Device<device::Bound>) -> Format {
        if dev.has_feature(EXTENTS) {
            Format::Extents
        } else {
            Format::Numbers
        }
    }

    /// Tells the host what free pages are filled with.
    ///
    /// To be done before `DRIVER_OK` each time, as a reset makes the device forget it.
    fn tell_poison(dev: &virtio::Device<device::Bound>) -> Result {
        if dev.has_feature(PAGE_POISON) {
            dev.write_config(POISON_VAL, mm::free_page_pattern())?;
        }
        Ok(())
    }

    /// Gives back what the host has, as far as it goes along, before the device is reset.
    fn quiesce(&self, dev: &virtio::Device<device::Bound>) {
        if let Err(error) = Sizing::empty(&self.resizing.0, dev) {
            dev_warn!(
                dev,
                "cannot empty the balloon ({:?}); its pages are used again after the device was \
                 reset\n",
                error
            );
        }
    }
}

kernel::virtio_device_table!(
    ID_TABLE,
    [virtio::DeviceId::new(bindings::VIRTIO_ID_BALLOON)]
);

#[vtable]
impl virtio::Driver for Balloon {
    type Data<'bound> = Self;

    const ID_TABLE: virtio::IdTable = &ID_TABLE;
    const FEATURES: &'static [Feature] = &[
        MUST_TELL_HOST,
        STATS_VQ,
        DEFLATE_ON_OOM,
        FREE_PAGE_HINT,
        PAGE_POISON,
        REPORTING,
        EXTENTS,
        FREE_PAGE_BITMAP,
    ];

    fn validate(
        dev: &virtio::Device<device::Core<'_>>,
        negotiation: &mut Negotiation<'_>,
    ) -> Result {
        if !mm::free_pages_have_content() {
            // There is no pattern to tell the host.
            negotiation.refuse(PAGE_POISON);
        } else if !negotiation.accepts(PAGE_POISON) && negotiation.accepts(REPORTING) {
            dev_info!(
                dev,
                "no free page reporting: free pages have a content (init_on_free or page_poison), \
                 and the device does not offer page-poison\n"
            );
            negotiation.refuse(REPORTING);
        }
        let policy = Policy::from_parameters()?;
        if !policy.statistics {
            negotiation.refuse(STATS_VQ);
        }
        if !policy.reporting {
            negotiation.refuse(REPORTING);
        }
        if !policy.extents {
            negotiation.refuse(EXTENTS);
        }
        if !policy.bitmap {
            negotiation.refuse(FREE_PAGE_BITMAP);
        } else if negotiation.accepts(FREE_PAGE_BITMAP) && mm::free_pages_have_content() {
            // A page that the host leaves out comes back with another content.
            dev_warn!(
                dev,
                "free_page_bitmap=1 refused: the guest relies on the content of free pages \
                 (init_on_free or page_poison)\n"
            );
            negotiation.refuse(FREE_PAGE_BITMAP);
        }
        if negotiation.accepts(FREE_PAGE_BITMAP) {
            // The device keeps request buffers, and uses reports that came after them.
            negotiation.refuse(Feature::IN_ORDER);
        }
        // They share a virtqueue.
        if policy.strategy == Strategy::Off || negotiation.accepts(FREE_PAGE_BITMAP) {
            negotiation.refuse(FREE_PAGE_HINT);
        }
        // Each buffer is one entry, and must not need memory to be added.
        negotiation.refuse(Feature::RING_INDIRECT_DESC);
        // The host reaches the pages by their guest physical address, past any IOMMU.
        negotiation.refuse(Feature::ACCESS_PLATFORM);
        Ok(())
    }

    fn probe<'bound>(
        dev: &'bound virtio::Device<device::Core<'_>>,
    ) -> impl PinInit<Self, Error> + 'bound {
        pin_init::pin_init_scope(move || {
            if !dev.has_config() {
                dev_err!(dev, "the device has no configuration space\n");
                return Err(EINVAL);
            }
            let infos = QUEUES.map(|(name, features)| {
                let exists =
                    features.is_empty() || features.iter().any(|&feature| dev.offers(feature));
                exists.then_some(QueueInfo {
                    name,
                    callback: true,
                })
            });
            let mut queues = dev.find_virtqueues(&infos)?;

            let workqueue = OwnedQueue::new_freezable_unbound(c"virtio-balloon")?;
            let access = dev.new_access()?;
            let awake = Arc::pin_init(Awake::new(dev.as_ref().into()), GFP_KERNEL)?;
            let counters = Arc::new(
                BalloonCounters::new(Shown::new(BalloonState::Settled)),
                GFP_KERNEL,
            )?;

            let policy = Policy::from_parameters()?;
            let bitmap_counters =
                BitmapCounters::new(policy.walk_batch.get(), Shown::new(BitmapState::Off));
            let bitmap_counters = Arc::new(bitmap_counters, GFP_KERNEL)?;
            let isolated = Arc::new(IsolatedPages::new(), GFP_KERNEL)?;
            let answers = if dev.has_feature(FREE_PAGE_BITMAP) {
                (Kind::Bitmap, policy.drop_caches.allowed)
            } else {
                (Kind::Hint, Caches::NONE)
            };
            let answers = Answers::new(dev.index(), answers.0, answers.1);
            let answers = Arc::pin_init(answers, GFP_KERNEL)?;
            let bitmap = if dev.has_feature(FREE_PAGE_BITMAP) {
                let queue = queues.take(FREE_PAGE_VQ)?;
                Self::bitmap(
                    dev,
                    policy,
                    &workqueue,
                    queue,
                    &isolated,
                    &bitmap_counters,
                    &answers,
                )?
            } else {
                None
            };

            let queue = if dev.has_feature(FREE_PAGE_HINT) {
                Some(queues.take(FREE_PAGE_VQ)?)
            } else {
                None
            };
            let maps = match &queue {
                Some(queue) => queue.bind(dev)?.maps(),
                None => false,
            };
            let policy = Self::policy(dev, policy, maps);
            let hint_counters = HintCounters::new(
                policy.strategy,
                policy.walk_batch.get(),
                Shown::new(HintState::Off),
            );
            let hint_counters = Arc::new(hint_counters, GFP_KERNEL)?;
            let hinting = match queue {
                Some(queue) => Self::activate(
                    dev,
                    policy,
                    &workqueue,
                    queue,
                    &isolated,
                    &hint_counters,
                    &answers,
                )?,
                None => None,
            };
            dev_info!(
                dev,
                "free page hinting: {}, order {}\n",
                policy.strategy,
                policy.hint_order
            );

            let statistics = if dev.has_feature(STATS_VQ) {
                let queue = queues.take(STATISTICS_VQ)?;
                let item = Statistics::new(queue, awake.clone(), counters.clone());
                Some(dev.new_work(workqueue.clone(), item)?)
            } else {
                None
            };

            if !policy.inflate {
                dev_info!(
                    dev,
                    "inflate=0: the balloon stays empty, whatever its target\n"
                );
            }
            let sizing = Sizing::new(
                queues.take(INFLATE_VQ)?,
                queues.take(DEFLATE_VQ)?,
                access.clone(),
                awake.clone(),
                counters.clone(),
                Self::format(dev),
                policy.inflate,
            );
            // With `DEFLATE_ON_OOM` the pages are still the guest's, if it comes to the worst.
            let lower_total = !dev.has_feature(DEFLATE_ON_OOM);
            let balloon = Arc::pin_init(PageBalloon::new(lower_total, sizing), GFP_KERNEL)?;
            let resizing = dev.new_work(workqueue, Ok(Resizing(balloon.clone())))?;
            let _oom = if dev.has_feature(DEFLATE_ON_OOM) {
                let handler = Arc::new(Resizing(balloon), GFP_KERNEL)?;
                Some(KBox::pin_init(
                    OomNotifier::new(oom::PRIORITY, handler),
                    GFP_KERNEL,
                )?)
            } else {
                None
            };

            let reporting = Self::reporting(dev, policy, &mut queues, &access, &counters)?;
            Self::tell_poison(dev)?;

            let about = About::new(
                &FEATURE_NAMES,
                |feature| dev.has_feature(feature),
                Self::format(dev),
                hint_counters.clone(),
                bitmap_counters.clone(),
            )?;
            let about = Arc::new(about, GFP_KERNEL)?;
            let shown = about.clone();
            let account = isolated.clone();
            let name = CString::try_from_fmt(fmt!("virtio_balloon_rs-virtio{}", dev.index()))?;
            let dir = StreamDir::new(&name)?;
            Ok(try_pin_init!(Self {
                _oom,
                reporting,
                hinting,
                bitmap,
                isolated,
                statistics,
                resizing,
                awake,
                about,
                _about_file <- file(&dir, c"device", shown),
                _answers_file <- file(&dir, c"last_request", answers),
                _bitmap_file <- file(&dir, c"bitmap", bitmap_counters),
                _hinting_file <- file(&dir, c"hinting", hint_counters),
                _isolation_file <- file(&dir, c"isolation", account),
                _balloon_file <- file(&dir, c"balloon", counters),
            }))
        })
    }

    fn ready<'bound>(dev: &'bound virtio::Device<device::Core<'_>>, this: Pin<&Self>) {
        this.about.state.set(DeviceState::Live);
        this.resizing.0.target_changed();
        this.resizing.enqueue();
        if let Some(statistics) = &this.statistics {
            statistics.enqueue();
        }
        // A migration may be under way already.
        if let Some(hinting) = &this.hinting {
            hinting.work.enqueue();
        }
        if let Some(bitmap) = &this.bitmap {
            bitmap.work.enqueue();
        }
        let reporting = this.reporting.as_ref();
        if let Some(registration) = reporting.and_then(|reporting| reporting.registration.as_ref())
        {
            match registration.register() {
                // After a suspend it still is.
                Ok(false) => {}
                Ok(true) => dev_info!(
                    dev,
                    "free page reporting: order {}\n",
                    registration.current_order()
                ),
                Err(error) => dev_warn!(
                    dev,
                    "no free page reporting ({:?}): another device has it; unbind that one first\n",
                    error
                ),
            }
        }
    }

    fn config_changed<'bound>(_dev: &'bound virtio::Device<device::Bound>, this: Pin<&Self>) {
        this.resizing.0.target_changed();
        this.resizing.enqueue();
        if let Some(hinting) = &this.hinting {
            hinting.work.config_changed();
            hinting.work.enqueue();
        }
    }

    fn vq_callback<'bound>(
        _dev: &'bound virtio::Device<device::Bound>,
        this: Pin<&Self>,
        queue: usize,
    ) {
        match queue {
            INFLATE_VQ | DEFLATE_VQ => {
                this.resizing.0.wake();
                this.resizing.enqueue();
            }
            STATISTICS_VQ => {
                if let Some(statistics) = &this.statistics {
                    this.awake.begin(STATISTICS);
                    statistics.enqueue();
                }
            }
            FREE_PAGE_VQ => {
                if let Some(bitmap) = &this.bitmap {
                    bitmap.work.enqueue();
                }
                if let Some(hinting) = &this.hinting {
                    hinting.work.enqueue();
                }
            }
            REPORTING_VQ => {
                if let Some(reporting) = &this.reporting {
                    reporting.reporter.queue.wake();
                }
            }
            _ => {}
        }
    }

    fn unbind<'bound>(dev: &'bound virtio::Device<device::Core<'_>>, this: Pin<&Self>) {
        this.about.state.set(DeviceState::Leaving);
        this.quiesce(dev);
    }

    fn freeze<'bound>(dev: &'bound virtio::Device<device::Core<'_>>, this: Pin<&Self>) {
        this.about.state.set(DeviceState::Suspended);
        this.quiesce(dev);
        if let Some(hinting) = &this.hinting {
            hinting.work.freeze();
        }
        if let Some(bitmap) = &this.bitmap {
            bitmap.work.freeze();
        }
    }

    fn restore<'bound>(dev: &'bound virtio::Device<device::Core<'_>>, this: Pin<&Self>) -> Result {
        Sizing::restore(&this.resizing.0, Self::format(dev))?;
        if let Some(statistics) = &this.statistics {
            statistics.restore()?;
        }
        if let Some(hinting) = &this.hinting {
            hinting.work.restore()?;
        }
        if let Some(bitmap) = &this.bitmap {
            bitmap.work.restore(dev)?;
        }
        if let Some(reporting) = &this.reporting {
            if reporting.reporter.queue.size(dev)? < reporting.capacity {
                dev_warn!(
                    dev,
                    "no free page reporting until the driver is bound again: the queue is shorter \
                     than before\n"
                );
            }
        }
        Self::tell_poison(dev)
    }
}
