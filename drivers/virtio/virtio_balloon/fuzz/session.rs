// SPDX-License-Identifier: GPL-2.0

//! A session: one device, played step by step.

use core::mem::offset_of;
use kernel::{
    bindings,
    mm::{
        free_pages_have_content,
        Nodes,
        OomHandler,
        Shrinker, //
    },
    page::Page,
    prelude::*,
    sync::Arc,
    time::{
        delay::fsleep,
        Delta, //
    },
    virtio::{
        mock::{
            Chain,
            Context,
            Defects,
            MockDevice,
            Setup,
            CONFIG_BYTES,
            MAX_QUEUES, //
        },
        Feature, //
    }, //
};

use super::{
    line::Order,
    model::{
        Broken,
        FreePages,
        Model, //
    },
    random::{
        mix,
        Random, //
    },
    step::{
        Kind,
        Role,
        Step, //
    },
};
use crate::{
    clock::testing::Haste,
    device::{
        Balloon,
        DEFLATE_ON_OOM,
        EXTENTS,
        FREE_PAGE_BITMAP,
        FREE_PAGE_HINT,
        MUST_TELL_HOST,
        PAGE_POISON,
        REPORTING,
        STATS_VQ, //
    },
    moving,
    policy::testing::{
        Choice,
        Chosen, //
    },
    tests::host::{
        managed_pages,
        ACTUAL,
        COMMAND_ID,
        EVENT_IDX,
        NUM_PAGES,
        PACKED, //
    }, //
};

const POISON: usize = offset_of!(bindings::virtio_balloon_config, poison_val);

/// A target above this is not left alone while the device answers by itself.
const HUGE: u32 = 4096;

const DRIVER_OK: u8 = bindings::VIRTIO_CONFIG_S_DRIVER_OK as u8;

pub(super) struct Session {
    device: MockDevice,
    model: Arc<Model>,
    /// Buffers that the device keeps, by role.
    held: [KVec<Chain>; 5],
    numbers: [Option<usize>; 5],
    choice: Choice,
    /// What the configuration has to be, but for what the driver writes.
    config: [u8; CONFIG_BYTES],
    free_pages: FreePages,
    in_order: bool,
    /// Queues that are never answered, and those that the device answers by itself.
    silent: u32,
    eager: u32,
    /// The session may break the rules of the ring, and has since the last set-up.
    hostile: bool,
    foul: bool,
    settle: bool,
    flickered: bool,
    /// The driver may have given up on something, or `actual` was overwritten.
    untold: bool,
    last_request: u32,
    last_command: u32,
    done: u64,
    // Dropped after the device, which may be probed until then.
    chosen: Option<Chosen>,
}

fn choose_policy(random: &mut Random) -> Choice {
    Choice {
        // CAST: Less than five.
        hint: random.below(5) as i32 - 1,
        walk_batch: random.one_of(&[1, 7, 512], 512),
        inflate: !random.once_in(12),
        extents: random.once_in(2),
        bitmap: random.once_in(2),
        drop_caches: if random.once_in(4) {
            random.below(4)
        } else {
            0
        },
        ..Choice::default()
    }
}

fn choose_setup(random: &mut Random) -> Setup {
    let mut setup = Setup::new(bindings::VIRTIO_ID_BALLOON);
    for (feature, once_in) in [
        (EVENT_IDX, 2),
        (PACKED, 2),
        (Feature::RING_INDIRECT_DESC, 4),
        (Feature::IN_ORDER, 5),
        (Feature::ACCESS_PLATFORM, 6),
        (MUST_TELL_HOST, 2),
        (DEFLATE_ON_OOM, 2),
        (PAGE_POISON, 2),
        (EXTENTS, 2),
    ] {
        if random.once_in(once_in) {
            setup = setup.offer(feature);
        }
    }
    for feature in [STATS_VQ, FREE_PAGE_HINT, FREE_PAGE_BITMAP, REPORTING] {
        if !random.once_in(4) {
            setup = setup.offer(feature);
        }
    }
    let packed = offers(&setup, PACKED);
    let same = random.once_in(2);
    let first = choose_size(random, packed);
    for size in setup.sizes.iter_mut() {
        *size = if same {
            first
        } else {
            choose_size(random, packed)
        };
    }
    for (at, value) in [
        (NUM_PAGES, random.below(300)),
        (COMMAND_ID, random.below(5)),
    ] {
        if random.once_in(2) {
            for (nth, byte) in value.to_le_bytes().into_iter().enumerate() {
                if let Some(slot) = setup.config.get_mut(at + nth) {
                    *slot = byte;
                }
            }
        }
    }
    setup
}

fn choose_size(random: &mut Random, packed: bool) -> u16 {
    if random.once_in(200) {
        return 0;
    }
    if packed && random.once_in(3) {
        return random.one_of(&[3, 5, 6, 7, 100, 255], 7);
    }
    random.one_of(&[1, 2, 4, 8, 64, 256, 1024], 64)
}

fn offers(setup: &Setup, feature: Feature) -> bool {
    setup.features & (1u64 << feature.bit()) != 0
}

/// The device's numbers of the queues.
fn numbers(setup: &Setup) -> [Option<usize>; 5] {
    let free_pages = offers(setup, FREE_PAGE_HINT) || offers(setup, FREE_PAGE_BITMAP);
    let there = [
        true,
        true,
        offers(setup, STATS_VQ),
        free_pages,
        offers(setup, REPORTING),
    ];
    let mut next = 0;
    there.map(|there| {
        let number = there.then_some(next);
        next += usize::from(there);
        number
    })
}

fn pause(ms: i64) {
    fsleep(Delta::from_millis(ms));
}

/// Plays a session. Returns what the driver did wrong, if anything. `count` is told each kind.
pub(super) fn play(order: &Order, mut count: impl FnMut(Kind)) -> Result<Option<(u64, Broken)>> {
    let managed = managed_pages();
    let mut session = Session::new(order)?;
    let mut failed = None;
    match &order.only {
        Some(only) => {
            for &index in only.iter() {
                failed = session.step(order, index, &mut count)?;
                if failed.is_some() {
                    break;
                }
            }
        }
        None => {
            for index in order.first..order.first.saturating_add(order.steps) {
                failed = session.step(order, index, &mut count)?;
                if failed.is_some() {
                    break;
                }
            }
        }
    }
    let last = session.done;
    let mut broken = session.end();
    let after = managed_pages();
    if after != managed && broken.is_none() {
        broken = Some(Broken {
            what: "managed pages are missing, or too many",
            // CAST: The difference, whatever its sign.
            number: managed.wrapping_sub(after) as u64,
        });
    }
    Ok(failed.or(broken.map(|broken| (last, broken))))
}

impl Session {
    fn new(order: &Order) -> Result<Self> {
        let mut random = Random::new(mix(order.seed, u64::MAX));
        let settle = random.once_in(2);
        let hostile = random.once_in(2);
        let choice = choose_policy(&mut random);
        let setup = choose_setup(&mut random);
        let model = Arc::pin_init(Model::new()?, GFP_KERNEL)?;
        let chosen = Some(choice.choose());
        let mut session = Self {
            device: MockDevice::with_defects(
                Setup::new(bindings::VIRTIO_ID_BALLOON),
                // Bound below, when it is known to the model.
                Defects {
                    refuses_features: true,
                    ..Defects::default()
                },
            )?,
            model,
            held: [const { KVec::new() }; 5],
            numbers: [None; 5],
            choice,
            config: setup.config,
            free_pages: FreePages::Nothing,
            in_order: false,
            silent: 0,
            eager: 0,
            hostile,
            foul: false,
            settle: order.settle.unwrap_or(settle),
            flickered: false,
            untold: false,
            last_request: 0,
            last_command: 0,
            done: 0,
            chosen,
        };
        session.device.set_observer(session.model.clone());
        session
            .device
            .set_defects(|defects| *defects = Defects::default());
        session.device.set_up(|slot| *slot = setup);
        session.bind();
        Ok(session)
    }

    fn number(&self, role: Role) -> Option<usize> {
        self.numbers.get(role as usize).copied().flatten()
    }

    fn is_alive(&self) -> bool {
        self.device.is_bound() && self.device.status() & DRIVER_OK != 0
    }

    fn set_config(&mut self, at: usize, bytes: &[u8]) {
        for (nth, &byte) in bytes.iter().enumerate() {
            if let Some(slot) = self.config.get_mut(at + nth) {
                *slot = byte;
            }
        }
        let mut id = [0; 4];
        for (nth, byte) in id.iter_mut().enumerate() {
            *byte = self.config.get(COMMAND_ID + nth).copied().unwrap_or(0);
        }
        self.model.allow_command(u32::from_le_bytes(id));
        if at < ACTUAL + 4 && at + bytes.len() > ACTUAL {
            self.untold = true;
        }
        self.device.set_up(|setup| {
            for (nth, &byte) in bytes.iter().enumerate() {
                if let Some(slot) = setup.config.get_mut(at + nth) {
                    *slot = byte;
                }
            }
        });
    }

    fn set_number(&mut self, at: usize, value: u32) {
        self.set_config(at, &value.to_le_bytes());
    }

    fn set_target(&mut self, pages: u32) {
        self.set_number(NUM_PAGES, pages);
        self.device.config_changed(Context::Thread);
    }

    fn set_eager(&mut self, queues: u32) {
        self.eager = queues;
        let mut bits = 0;
        for role in Role::ALL {
            if queues & role.bit() != 0 {
                bits |= self.number(role).map_or(0, |number| 1 << number);
            }
        }
        self.device.set_eager(bits);
    }

    /// The device has no queues any more.
    fn forget(&mut self) {
        self.model.reset();
        for held in self.held.iter_mut() {
            held.clear();
        }
        self.foul = false;
        self.flickered = false;
        self.silent = 0;
    }

    /// Lets the driver bind, from a clean state.
    fn bind(&mut self) {
        self.device.set_eager(0);
        self.eager = 0;
        self.forget();
        let mut numbers_now = [None; 5];
        let mut config = [0; CONFIG_BYTES];
        self.device.set_up(|setup| {
            numbers_now = numbers(setup);
            config = setup.config;
        });
        self.config = config;
        self.set_config(COMMAND_ID, &[]);
        self.numbers = numbers_now;
        self.model.set_queues(&self.numbers);
        self.device.bind();
        self.free_pages = if !self.is_alive() {
            FreePages::Nothing
        } else if self.device.has_feature(FREE_PAGE_BITMAP) {
            FreePages::Bitmaps
        } else if self.device.has_feature(FREE_PAGE_HINT) {
            FreePages::Hints
        } else {
            FreePages::Nothing
        };
        self.model.set_free_pages(self.free_pages);
        self.model
            .set_extents(self.is_alive() && self.device.has_feature(EXTENTS));
        self.in_order = self.is_alive() && self.device.has_feature(Feature::IN_ORDER);
    }

    /// Answers everything, so that the driver has to wait for nothing, and is a device that keeps
    /// the rules as far as it still can.
    fn be_kind(&mut self) {
        self.device
            .set_defects(|defects| *defects = Defects::default());
        self.set_number(NUM_PAGES, 0);
        let mut queues = Role::Inflate.bit() | Role::Deflate.bit() | Role::Reports.bit();
        if self.free_pages == FreePages::Hints {
            queues |= Role::FreePage.bit();
        }
        for role in Role::ALL {
            while queues & role.bit() != 0 && self.complete(role, 0, None, Context::Thread) {}
            if let Some(number) = self.number(role) {
                self.device.ask_for_notifications(number, true);
            }
        }
        self.set_eager(queues);
        self.device.config_changed(Context::Thread);
    }

    /// The device is about to break the rules of a ring.
    fn be_foul(&mut self, role: Role) {
        self.foul = true;
        self.model.set_foul(role);
    }

    fn is_foul(&self) -> bool {
        self.foul
            || self.is_alive()
                && [Role::Inflate, Role::Deflate]
                    .into_iter()
                    .filter_map(|role| self.number(role))
                    .any(|number| self.device.is_foul(number))
    }

    /// Prepares the end of a set-up. Returns whether the driver can empty the balloon.
    fn wind_down(&mut self, rude: bool) -> bool {
        if !self.is_alive() {
            return false;
        }
        if rude {
            return false;
        }
        let foul = self.is_foul();
        self.be_kind();
        if foul {
            // Otherwise the driver would wait for answers that cannot come.
            self.device.break_queues();
        }
        !foul && !self.untold
    }

    fn unbind(&mut self, rude: bool) {
        let clean = self.wind_down(rude);
        let _patience = clean.then(Haste::patient);
        self.device.unbind();
        self.check_empty(clean);
        self.forget();
    }

    /// Checks what the driver has left behind.
    fn check_empty(&mut self, clean: bool) {
        if clean {
            let pages = self.model.pages();
            if pages > 0 {
                self.model
                    .set_broken("pages are left in the balloon at its end", pages as u64);
            }
            let actual = self.device.config(ACTUAL);
            if actual > 0 {
                self.model
                    .set_broken("the size that was told last is not 0", u64::from(actual));
            }
        }
        self.untold = false;
        self.set_number(ACTUAL, 0);
        self.untold = false;
    }

    /// Makes the device one that the driver can use.
    fn revive(&mut self, rude: bool) {
        self.device
            .set_defects(|defects| *defects = Defects::default());
        if self.device.is_bound() {
            if !rude && self.is_alive() {
                // Otherwise the driver would wait for answers that cannot come.
                self.device.break_queues();
            }
            self.device.unbind();
        }
        self.bind();
        if !self.is_alive() {
            // Whatever it was that the driver did not like.
            let config = self.config;
            self.device.set_up(|setup| {
                *setup = Setup::new(bindings::VIRTIO_ID_BALLOON);
                setup.config = config;
            });
            self.bind();
        }
    }

    fn random_setup(&mut self, random: &mut Random) {
        let config = self.config;
        let mut setup = choose_setup(random);
        setup.config = config;
        self.device.set_up(|slot| *slot = setup);
    }

    #[cfg(CONFIG_PM_SLEEP)]
    fn freeze(&mut self, rude: bool, change: impl FnOnce(&mut Self)) {
        let clean = self.wind_down(rude);
        let patience = clean.then(Haste::patient);
        if self.device.freeze().is_err() {
            return;
        }
        drop(patience);
        self.check_empty(clean);
        self.device.set_eager(0);
        self.eager = 0;
        self.forget();
        change(self);
        let _ = self.device.restore();
    }

    #[cfg(not(CONFIG_PM_SLEEP))]
    fn freeze(&mut self, _rude: bool, _change: impl FnOnce(&mut Self)) {}

    /// The length that a device gives that has done what the buffer is there for.
    fn right_length(&self, role: Role, chain: &Chain) -> u32 {
        if chain.is_writable() && role != Role::Stats {
            u32::try_from(chain.bytes()).unwrap_or(u32::MAX)
        } else {
            0
        }
    }

    /// Gives a buffer back that was kept. Returns whether there was one.
    fn complete(&mut self, role: Role, nth: u32, len: Option<u32>, context: Context) -> bool {
        let in_order = self.in_order;
        let Some(held) = self.held.get_mut(role as usize) else {
            return false;
        };
        let nth = match (in_order, held.len()) {
            (_, 0) => return false,
            (true, _) => 0,
            (false, len) => (nth as usize).checked_rem(len).unwrap_or(0),
        };
        let Ok(chain) = held.remove(nth) else {
            return false;
        };
        let len = len.unwrap_or(self.right_length(role, &chain));
        self.device.finish(chain, len, context);
        true
    }

    /// Takes a buffer. Returns whether there was one.
    fn pop(&mut self, role: Role) -> Result<bool> {
        let Some(number) = self.number(role) else {
            return Ok(false);
        };
        if self.in_order && self.eager & role.bit() != 0 {
            // What is taken here would be overtaken.
            self.set_eager(self.eager & !role.bit());
        }
        match self.device.pop(number) {
            Ok(Some(chain)) => {
                let size = usize::from(self.device.queue_size(number));
                if let Some(held) = self.held.get_mut(role as usize) {
                    held.push(chain, GFP_KERNEL)?;
                    let used: usize = held.iter().map(|chain| chain.descriptors().len()).sum();
                    if used > size && !self.device.is_foul(number) {
                        self.model
                            .set_broken("more entries than the ring has", used as u64);
                    }
                }
                Ok(true)
            }
            Err(error) if error == EINVAL && !self.device.is_foul(number) => {
                self.model
                    .set_broken("a descriptor of a kind that was not negotiated", 0);
                Ok(false)
            }
            _ => Ok(false),
        }
    }

    /// Writes a request into a request buffer, and gives it back.
    fn request(&mut self, bytes: &[u8; 32], len: u32, context: Context) -> Result {
        if self.free_pages != FreePages::Bitmaps || self.silent & Role::FreePage.bit() != 0 {
            return Ok(());
        }
        for _ in 0..8 {
            let slot = self
                .held
                .get(Role::FreePage as usize)
                .and_then(|held| held.iter().position(Chain::is_writable));
            if let Some(nth) = slot {
                if let Some(chain) = self
                    .held
                    .get(Role::FreePage as usize)
                    .and_then(|held| held.get(nth))
                {
                    self.device.write(chain, 0, bytes);
                }
                // CAST: A short list.
                self.complete(Role::FreePage, nth as u32, Some(len), context);
                return Ok(());
            }
            if !self.pop(Role::FreePage)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Returns a request that is in order.
    fn good_request(&mut self, random: &mut Random) -> [u8; 32] {
        let end = Nodes::end_pfn() as u64;
        self.last_request = match self.last_request.wrapping_add(1 + random.below(3)) {
            0 => 1,
            id => id,
        };
        let order = random.below(11);
        let start = if random.once_in(2) {
            0
        } else {
            random.next().checked_rem(end).unwrap_or(0)
        };
        let stop = match random.below(3) {
            0 => 1 << 52,
            1 => end,
            _ => start + 1 + random.next() % 100_000,
        };
        let caches = if random.once_in(16) {
            random.below(4)
        } else {
            0
        };
        let mut bytes = [0; 32];
        put(&mut bytes, 0, &self.last_request.to_le_bytes());
        // CAST: Small numbers.
        let isolated = u8::from(random.once_in(3));
        put(&mut bytes, 4, &[1, caches as u8, order as u8, isolated]);
        put(&mut bytes, 8, &start.to_le_bytes());
        put(&mut bytes, 16, &stop.max(start + 1).to_le_bytes());
        bytes
    }

    fn step(
        &mut self,
        order: &Order,
        index: u64,
        count: &mut impl FnMut(Kind),
    ) -> Result<Option<(u64, Broken)>> {
        let step = Step::new(mix(order.seed, index), self.hostile);
        if order.trace {
            pr_info!("fuzz: step {} {}\n", index, step);
        }
        self.done = index;
        count(step.kind);
        // Memory may be short, which is no fault of anybody's.
        let result = self.perform(&step);
        if self.eager & Role::Inflate.bit() != 0
            && (self.flickered || self.device.config(NUM_PAGES) > HUGE)
        {
            // The driver may have read a target of terabytes, and would get them.
            pause(2);
            self.device.set_defects(|defects| defects.flickers = 0);
            self.flickered = false;
            self.set_target(step.n % 64);
        }
        if self.settle {
            self.device.settle();
        }
        self.check_config();
        match result {
            Err(error) if error == ENOMEM => {}
            result => result?,
        }
        Ok(self.model.broken().map(|broken| (index, broken)))
    }

    /// The driver writes only what it may.
    fn check_config(&mut self) {
        let mut config = [0; CONFIG_BYTES];
        self.device.set_up(|setup| config = setup.config);
        for (at, (is, was)) in config.iter().zip(self.config.iter_mut()).enumerate() {
            if (ACTUAL..ACTUAL + 4).contains(&at) || (POISON..POISON + 4).contains(&at) {
                *was = *is;
            } else if is != was {
                self.model
                    .set_broken("the driver wrote to the configuration", at as u64);
            }
        }
    }

    fn perform(&mut self, step: &Step) -> Result {
        let mut random = Random::new(step.value);
        if !self.is_alive() || self.is_foul() && random.once_in(12) {
            let rude = random.once_in(24);
            self.revive(rude);
        }
        let &Step {
            role, context, n, ..
        } = step;
        let number = self.number(role);
        let silent = self.silent & role.bit() != 0;
        // Once in so many times the device does not care that somebody waits.
        let rude = random.once_in(400);
        match step.kind {
            Kind::Target => {
                let target = match n % 16 {
                    0..=4 => 0,
                    5..=10 => random.below(64),
                    11..=13 => random.below(800),
                    14 => random.below(u32::MAX),
                    _ => u32::MAX,
                };
                self.set_number(NUM_PAGES, target);
                if n & 0x100 == 0 || target > HUGE {
                    self.device.config_changed(context);
                }
            }
            Kind::Command => {
                let last = self.last_command;
                self.last_command = match n % 8 {
                    0 => 0,
                    1 => 1,
                    2 => last,
                    3 => last.wrapping_sub(1),
                    4 => random.below(u32::MAX),
                    _ => last.wrapping_add(1),
                };
                self.set_number(COMMAND_ID, self.last_command);
                if n & 0x100 == 0 {
                    self.device.config_changed(context);
                }
            }
            Kind::ConfigByte => {
                let at = (random.next() % CONFIG_BYTES as u64) as usize;
                // CAST: Any byte will do.
                self.set_config(at, &[random.next() as u8]);
                if n & 1 == 0 {
                    self.device.config_changed(context);
                }
            }
            Kind::Flicker => {
                self.model.allow_any_command();
                self.flickered = true;
                self.device
                    .set_defects(|defects| defects.flickers = 1 + n % 6);
                self.device.config_changed(context);
            }
            Kind::ConfigStorm => {
                for nth in 0..4 + n % 40 {
                    self.set_number(NUM_PAGES, if nth & 1 == 0 { 0 } else { random.below(300) });
                    self.device.config_changed(context);
                }
            }
            Kind::Interrupt => {
                if let Some(number) = number {
                    self.device.interrupt(number, context);
                }
            }
            Kind::Spurious => {
                if let Some(number) = number {
                    self.device.spurious_callback(number, context);
                }
            }
            Kind::InterruptStorm => {
                for nth in 0..8 + n % 50 {
                    if nth & 1 == 0 {
                        self.device.interrupt((nth / 2) as usize % 5, context);
                    } else {
                        self.device
                            .spurious_callback((nth / 2) as usize % 5, context);
                    }
                }
            }
            Kind::Pop => {
                for _ in 0..1 + n % 4 {
                    if !self.pop(role)? {
                        break;
                    }
                }
            }
            Kind::Complete => {
                if !silent {
                    self.complete(role, n, None, context);
                }
            }
            Kind::CompleteWrong => {
                if !silent {
                    let len = random.one_of(&[0, 1, 3, 31, 33, 4096, u32::MAX], 5);
                    self.complete(role, n, Some(len), context);
                }
            }
            Kind::Answer => {
                for _ in 0..1 + n % 8 {
                    if silent {
                        break;
                    }
                    if !self.pop(role)? && self.held.get(role as usize).is_none_or(KVec::is_empty) {
                        break;
                    }
                    // Request buffers are kept for requests.
                    if role == Role::FreePage && self.free_pages == FreePages::Bitmaps {
                        let report = self
                            .held
                            .get(role as usize)
                            .and_then(|held| held.iter().position(|chain| !chain.is_writable()));
                        match report {
                            // CAST: A short list.
                            Some(nth) => {
                                self.complete(role, nth as u32, None, context);
                            }
                            None => continue,
                        }
                    } else {
                        self.complete(role, 0, None, context);
                    }
                }
            }
            Kind::Ask => {
                if let Some(number) = number {
                    self.device.ask_for_notifications(number, n & 1 == 0);
                }
            }
            Kind::Silence => {
                self.silent |= role.bit();
                self.set_eager(self.eager & !role.bit());
            }
            Kind::Eager => {
                let mut queues = n & 0x1b & !self.silent;
                if self.free_pages != FreePages::Hints {
                    queues &= !Role::FreePage.bit();
                }
                if self.in_order {
                    // In order means what is kept as well.
                    for role in Role::ALL {
                        while queues & role.bit() != 0
                            && self.complete(role, 0, None, Context::Thread)
                        {
                        }
                    }
                }
                self.set_eager(queues);
            }
            Kind::StatsStorm => {
                if silent {
                    return Ok(());
                }
                // In order means what is kept first.
                if !self.in_order || !self.complete(Role::Stats, 0, None, context) {
                    let before = self.eager;
                    self.set_eager(before | Role::Stats.bit());
                    pause(1);
                    self.set_eager(before);
                }
            }
            Kind::Stats => {
                self.pop(Role::Stats)?;
                if self.silent & Role::Stats.bit() == 0 {
                    self.complete(Role::Stats, n, None, context);
                }
            }
            Kind::Request => {
                let bytes = self.good_request(&mut random);
                self.request(&bytes, 32, context)?;
            }
            Kind::RequestBroken => {
                let mut bytes = self.good_request(&mut random);
                let at = n as usize % 32;
                // CAST: Any byte will do.
                put(&mut bytes, at, &[random.next() as u8]);
                self.request(&bytes, 32, context)?;
            }
            Kind::RequestRandom => {
                let mut bytes = [0; 32];
                for at in (0..32).step_by(8) {
                    put(&mut bytes, at, &random.next().to_le_bytes());
                }
                self.request(&bytes, 32, context)?;
            }
            Kind::RequestLength => {
                let bytes = self.good_request(&mut random);
                let len = random.one_of(&[0, 1, 3, 4, 31, 33, 64, u32::MAX], 0);
                self.request(&bytes, len, context)?;
            }
            Kind::RequestId => {
                let last = self.last_request;
                let mut bytes = self.good_request(&mut random);
                let id = random.one_of(&[0, last, last, last.wrapping_sub(1)], 0);
                self.last_request = last;
                put(&mut bytes, 0, &id.to_le_bytes());
                self.request(&bytes, 32, context)?;
            }
            Kind::Cancel => {
                let id = if n % 4 == 0 {
                    random.below(u32::MAX)
                } else {
                    self.last_request
                };
                let mut bytes = [0; 32];
                put(&mut bytes, 0, &id.to_le_bytes());
                put(&mut bytes, 4, &[2]);
                self.request(&bytes, 32, context)?;
            }
            Kind::ScribbleHeld => self.scribble_held(role),
            Kind::ScribblePages => self.scribble_pages(n, random.below(1 << 18)),
            Kind::Pressure => {
                let mut pages = KVec::with_capacity(320, GFP_KERNEL)?;
                for _ in 0..64 + n % 256 {
                    // If the host has taken all there is, kswapd runs, and nobody is killed.
                    let Ok(page) = Page::alloc_page(GFP_NOWAIT | __GFP_NOWARN) else {
                        break;
                    };
                    pages.push(page, GFP_KERNEL)?;
                }
            }
            Kind::Pause => pause(1 + i64::from(n % 20)),
            Kind::Oom | Kind::Move | Kind::HintOom => self.handler(step.kind, rude),
            Kind::Shrink => {
                let objects = 1 << (n % 20);
                self.device.with_data::<Balloon, _>(|_, balloon| {
                    if let Some(hinting) = &balloon.hinting {
                        hinting.work.held.count();
                        hinting.work.held.scan(objects);
                    }
                });
            }
            Kind::Rebind => {
                self.unbind(rude);
                self.bind();
            }
            Kind::Withdraw => {
                self.random_setup(&mut random);
                if n & 1 == 0 {
                    self.unbind(rude);
                    self.choice = choose_policy(&mut random);
                    // The old one ends what the new one begins.
                    self.chosen = None;
                    self.chosen = Some(self.choice.choose());
                    self.bind();
                }
            }
            Kind::RefuseFeatures => {
                self.unbind(rude);
                self.device
                    .set_defects(|defects| defects.refuses_features = true);
                self.bind();
            }
            Kind::Freeze => self.freeze(rude, |_| ()),
            Kind::FreezeChanged => self.freeze(rude, |this| this.random_setup(&mut random)),
            Kind::FreezeNoQueues => self.freeze(rude, |this| {
                this.device.set_defects(|defects| defects.no_queues = true);
            }),
            Kind::Shutdown => {
                self.device.shut_down();
                self.replace()?;
            }
            Kind::Surprise => {
                self.device.break_queues();
                self.replace()?;
            }
            Kind::PushStray => {
                if let Some(number) = number {
                    let size = u32::from(self.device.queue_size(number)).max(1);
                    let id = random.below(size);
                    if !self.device.has_id(number, id) {
                        self.be_foul(role);
                        self.device.push_id(number, id, random.below(64));
                        self.device.interrupt(number, context);
                    }
                }
            }
            Kind::PushOutOfRange => {
                if let Some(number) = number {
                    self.be_foul(role);
                    let size = u32::from(self.device.queue_size(number));
                    let id = random.one_of(&[size, size + 1, 0xffff, 0x1_0000 + size, u32::MAX], 0);
                    self.device.push_id(number, id, random.below(64));
                    self.device.interrupt(number, context);
                }
            }
            Kind::Jump => {
                if let Some(number) = number {
                    self.be_foul(role);
                    // CAST: Any number will do.
                    let by = random.one_of(&[1, 2, 0x7fff, 0xffff, n as u16], 1);
                    self.device.jump(number, by);
                    self.device.interrupt(number, context);
                }
            }
            Kind::BreakQueues => {
                self.foul = true;
                self.device.break_queues();
            }
            Kind::Deaf => {
                self.foul = true;
                self.device.set_defects(|defects| defects.deaf = true);
            }
        }
        Ok(())
    }

    /// The device goes, and another one comes.
    fn replace(&mut self) -> Result {
        self.device.unplug();
        self.forget();
        let mut setup = None;
        self.device.set_up(|slot| setup = Some(slot.clone()));
        let defects = Defects {
            refuses_features: true,
            ..Defects::default()
        };
        self.device = MockDevice::with_defects(Setup::new(bindings::VIRTIO_ID_BALLOON), defects)?;
        self.device.set_observer(self.model.clone());
        self.device
            .set_defects(|defects| *defects = Defects::default());
        if let Some(setup) = setup {
            self.device.set_up(|slot| *slot = setup);
        }
        self.untold = false;
        self.bind();
        self.untold = self.device.config(ACTUAL) != 0;
        Ok(())
    }

    /// Overwrites all that the device has in its buffers.
    fn scribble_held(&mut self, role: Role) {
        let allowed = match role {
            Role::FreePage => {
                self.free_pages == FreePages::Bitmaps
                    || self.free_pages == FreePages::Hints && self.choice.hint == 1
            }
            // These are free pages: some kernels check what is in them.
            Role::Reports => !cfg!(CONFIG_KASAN) && !free_pages_have_content(),
            _ => true,
        };
        if allowed && !self.foul {
            for chain in self.held.get(role as usize).into_iter().flatten() {
                self.device.scribble(chain);
            }
        }
    }

    /// Overwrites pages in the balloon.
    fn scribble_pages(&mut self, n: u32, from: u32) {
        let Some(queue) = self.number(Role::Inflate) else {
            return;
        };
        if self.is_foul() || !self.is_alive() {
            return;
        }
        // What is given back meanwhile is not the device's any more.
        let before = self.eager;
        self.set_eager(before & !Role::Deflate.bit());
        let mut next = from;
        for _ in 0..1 + n % 16 {
            let Some(pfn) = self.model.page_from(next) else {
                break;
            };
            self.device.scribble_page(queue, pfn);
            next = pfn.wrapping_add(64);
        }
        self.set_eager(before & !self.silent);
    }

    /// Calls what the kernel calls when memory is short.
    fn handler(&mut self, kind: Kind, rude: bool) {
        if !rude {
            if self.is_foul() || self.silent != 0 {
                return;
            }
            let target = self.device.config(NUM_PAGES);
            self.be_kind();
            if target <= HUGE {
                self.set_target(target);
            }
        }
        let replaced = self.device.with_data::<Balloon, _>(|_, balloon| {
            let resizing = &**balloon.resizing;
            match kind {
                Kind::Oom => {
                    resizing.free_pages();
                }
                Kind::HintOom => {
                    if let Some(hinting) = &balloon.hinting {
                        hinting.work.held.free_pages();
                    }
                }
                _ => return moving::testing::move_page(&resizing.0),
            }
            Ok(())
        });
        if rude || replaced.is_some_and(|result| result.is_err()) {
            self.untold = true;
        }
        self.set_eager(self.eager & !self.silent);
    }

    /// Ends the session. Returns what is wrong, if anything.
    fn end(mut self) -> Option<Broken> {
        let clean = self.wind_down(false);
        let _patience = clean.then(Haste::patient);
        self.device.unbind();
        self.check_empty(clean);
        self.device.unplug();
        self.model.broken()
    }
}

fn put(bytes: &mut [u8; 32], at: usize, value: &[u8]) {
    for (nth, &byte) in value.iter().enumerate() {
        if let Some(slot) = bytes.get_mut(at + nth) {
            *slot = byte;
        }
    }
}

const _: () = assert!(MAX_QUEUES >= 5);
