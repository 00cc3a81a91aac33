// SPDX-License-Identifier: GPL-2.0

//! The balloon device: features, queues, callbacks.

use kernel::{
    bindings,
    debugfs,
    device,
    mm::{
        self,
        ShrinkerRegistration, //
    },
    prelude::*,
    str::CString,
    sync::Arc,
    virtio::{
        self,
        DeviceWork,
        Feature,
        Negotiation,
        QueueInfo, //
    },
    workqueue::OwnedQueue, //
};

use crate::{
    counters::HintCounters,
    held::HeldPages,
    hint::Hinting,
    policy::{
        Policy,
        Strategy, //
    },
    source::HintBuffer, //
};

const STATS_VQ: Feature = Feature::of::<{ bindings::VIRTIO_BALLOON_F_STATS_VQ }>();
const FREE_PAGE_HINT: Feature = Feature::of::<{ bindings::VIRTIO_BALLOON_F_FREE_PAGE_HINT }>();
const REPORTING: Feature = Feature::of::<{ bindings::VIRTIO_BALLOON_F_REPORTING }>();

/// Index of the free page queue in the specification's list (section 5.5.2).
const FREE_PAGE_VQ: usize = 3;

/// The virtqueues, and the feature without which a device does not have each.
///
/// Devices number their queues by what they *offer* (QEMU, Firecracker, crosvm and
/// cloud-hypervisor do), and Linux's transports by what the driver asks for. So all queues that
/// are offered are asked for, also those of features that are not accepted: otherwise every later
/// queue would be taken for the one before it.
const QUEUES: [(&CStr, Option<Feature>); 5] = [
    (c"inflate", None),
    (c"deflate", None),
    (c"stats", Some(STATS_VQ)),
    (c"free_page_vq", Some(FREE_PAGE_HINT)),
    (c"reporting_vq", Some(REPORTING)),
];

/// Hinting that is in use.
struct ActiveHinting {
    // Dropped first: nobody asks for the memory any more when it goes.
    _shrinker: Option<ShrinkerRegistration<HeldPages>>,
    work: Arc<DeviceWork<Hinting>>,
}

/// The data of a device.
#[pin_data]
pub(crate) struct Balloon {
    hinting: Option<ActiveHinting>,
    #[pin]
    _debugfs: debugfs::File<Arc<HintCounters>>,
}

impl Balloon {
    /// Returns the policy for a device, as far as the guest and the device allow it.
    fn policy(dev: &virtio::Device<device::Bound>, maps: bool) -> Result<Policy> {
        let mut policy = Policy::from_parameters()?;
        if !dev.has_feature(FREE_PAGE_HINT) {
            policy.strategy = Strategy::Off;
        }
        if policy.strategy == Strategy::Walk {
            let refusal = if mm::free_pages_have_content() {
                // A page that the host leaves out comes back with another content.
                Some("the guest relies on the content of free pages (init_on_free or page_poison)")
            } else if maps {
                // A copy at unmap would overwrite a page that is in use again.
                Some("the transport maps buffers for DMA")
            } else {
                None
            };
            match refusal {
                Some(reason) => {
                    dev_warn!(
                        dev,
                        "free_page_hint=2 (walk) refused: {}; using hold\n",
                        reason
                    );
                    policy.strategy = Strategy::Hold;
                }
                None => dev_warn!(
                    dev,
                    "free_page_hint=2 (walk) loses data unless the host arms dirty logging before \
                     each request: with QEMU on KVM, use -accel kvm,dirty-ring-size=N, or hold\n"
                ),
            }
        }
        Ok(policy)
    }

    /// Sets hinting up, if the policy has it.
    fn activate(
        dev: &virtio::Device<device::Core<'_>>,
        policy: Policy,
        queue: Arc<virtio::Virtqueue<HintBuffer>>,
        counters: &Arc<HintCounters>,
    ) -> Result<Option<ActiveHinting>> {
        let held = Arc::pin_init(HeldPages::new(counters.clone()), GFP_KERNEL)?;
        let _shrinker = match policy.strategy {
            Strategy::Off => return Ok(None),
            Strategy::Hold => Some(ShrinkerRegistration::new(c"virtio-balloon", held.clone())?),
            Strategy::Walk => None,
        };
        let work = dev.new_work(
            OwnedQueue::new_freezable_unbound(c"virtio-balloon")?,
            Hinting::new(policy, queue, held, counters.clone()),
        )?;
        Ok(Some(ActiveHinting { _shrinker, work }))
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
    const FEATURES: &'static [Feature] = &[FREE_PAGE_HINT];

    fn validate(
        _dev: &virtio::Device<device::Core<'_>>,
        negotiation: &mut Negotiation<'_>,
    ) -> Result {
        if Policy::from_parameters()?.strategy == Strategy::Off {
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
            let infos = QUEUES.map(|(name, feature)| {
                feature
                    .is_none_or(|feature| dev.offers(feature))
                    .then_some(QueueInfo {
                        name,
                        callback: name == c"free_page_vq",
                    })
            });
            let mut queues = dev.find_virtqueues(&infos)?;

            let queue = if dev.has_feature(FREE_PAGE_HINT) {
                Some(queues.take(FREE_PAGE_VQ)?)
            } else {
                None
            };
            let maps = match &queue {
                Some(queue) => queue.bind(dev)?.maps(),
                None => false,
            };
            let policy = Self::policy(dev, maps)?;
            let counters = HintCounters::new(policy.strategy, policy.walk_batch.get());
            let counters = Arc::new(counters, GFP_KERNEL)?;
            let hinting = match queue {
                Some(queue) => Self::activate(dev, policy, queue, &counters)?,
                None => None,
            };
            dev_info!(
                dev,
                "free page hinting: {}, order {}\n",
                policy.strategy,
                policy.hint_order
            );

            let name = fmt!("virtio_balloon_rs-virtio{}", dev.index());
            let dir = debugfs::Dir::new(&CString::try_from_fmt(name)?);
            Ok(try_pin_init!(Self {
                hinting,
                _debugfs <- dir.read_callback_file(c"hinting", counters, &|counters, f| {
                    counters.show(f)
                }),
            }))
        })
    }

    fn ready<'bound>(_dev: &'bound virtio::Device<device::Core<'_>>, this: Pin<&Self>) {
        // A migration may be under way already.
        if let Some(hinting) = &this.hinting {
            hinting.work.enqueue();
        }
    }

    fn config_changed<'bound>(_dev: &'bound virtio::Device<device::Bound>, this: Pin<&Self>) {
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
        if queue != FREE_PAGE_VQ {
            return;
        }
        if let Some(hinting) = &this.hinting {
            hinting.work.enqueue();
        }
    }
}
