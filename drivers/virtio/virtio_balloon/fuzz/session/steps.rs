// SPDX-License-Identifier: GPL-2.0

//! What the steps of a session do.

use core::mem::offset_of;
use kernel::{
    bindings,
    mm::{
        free_pages_have_content,
        OomHandler,
        Shrinker, //
    },
    page::Page,
    prelude::*,
    virtio::mock::{
        Context,
        Defects,
        MockDevice,
        Setup,
        CONFIG_BYTES, //
    }, //
};

use super::{
    choose,
    pause,
    requests::put,
    Session,
    HUGE, //
};
use crate::{
    device::Balloon,
    fuzz::{
        line::Order,
        model::{
            Broken,
            FreePages, //
        },
        random::{
            mix,
            Random, //
        },
        step::{
            Kind,
            Role,
            Step, //
        }, //
    },
    moving,
    tests::host::{
        ACTUAL,
        COMMAND_ID,
        NUM_PAGES, //
    }, //
};

const POISON: usize = offset_of!(bindings::virtio_balloon_config, poison_val);

impl Session {
    pub(super) fn step(
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
                    self.choice = choose::policy(&mut random);
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
}
