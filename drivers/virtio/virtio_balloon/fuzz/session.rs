// SPDX-License-Identifier: GPL-2.0

//! A session: one device, played step by step.

#[path = "session/choose.rs"]
mod choose;
#[path = "session/requests.rs"]
mod requests;
#[path = "session/steps.rs"]
mod steps;

use kernel::{
    bindings,
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
        Role, //
    },
};
use crate::{
    clock::testing::Haste,
    device::{
        EXTENTS,
        FREE_PAGE_BITMAP,
        FREE_PAGE_HINT, //
    },
    policy::testing::{
        Choice,
        Chosen, //
    },
    tests::host::{
        managed_pages,
        ACTUAL,
        COMMAND_ID,
        NUM_PAGES, //
    }, //
};

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
        let choice = choose::policy(&mut random);
        let setup = choose::setup(&mut random);
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
            numbers_now = choose::numbers(setup);
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
        let mut setup = choose::setup(random);
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

const _: () = assert!(MAX_QUEUES >= 5);
