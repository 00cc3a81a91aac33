// SPDX-License-Identifier: GPL-2.0

//! Free page hinting (`VIRTIO_BALLOON_F_FREE_PAGE_HINT`).
//!
//! All is done by one work item, which is never blocked: it does what can be done, and is queued
//! again when the host gives another command or returns buffers. So a host that does not answer
//! holds nothing up, and unbinding does not have to wait for it.
//!
//! What a round costs the host is kept small: neighbouring blocks make one buffer, the host is
//! notified once for many buffers, it calls back only when something waits for it, and the
//! command id is read only after the host said that it changed.
//!
//! Lock order: `state`, then the virtqueue or [`HeldPages`]; the last two are never nested.

use core::mem::offset_of;
use kernel::{
    bindings, device, mm, new_mutex,
    prelude::*,
    sync::{
        atomic::{
            AtomicFlag,
            Full, //
        },
        Arc,
        Mutex, //
    },
    virtio::{
        self,
        ConfigField,
        DeviceWorkItem,
        OutBuffer,
        Queue,
        Refused,
        Stop,
        Then,
        Virtqueue, //
    },
};

use crate::{
    answers::{
        Answer,
        Answers, //
    },
    counters::HintCounters,
    events::Ending,
    failure,
    held::HeldPages,
    hold::Hold,
    isolate::Isolate,
    isolated::IsolatedPages,
    policy::{
        Policy,
        Strategy, //
    },
    rounds::{
        Command,
        Phase,
        Rounds, //
    },
    shown::HintState,
    source::{
        Gathered,
        HintBuffer,
        Source, //
    },
    unseen::Unseen,
    walk::Walk, //
};

/// The host's command id. The C header has it in a union with its former name.
const COMMAND_ID: ConfigField<u32> =
    ConfigField::at::<{ offset_of!(bindings::virtio_balloon_config, __bindgen_anon_1) }>();

static_assert!(offset_of!(bindings::virtio_balloon_config, __bindgen_anon_1) == 8);

/// Free page hinting of a device.
#[pin_data]
pub(crate) struct Hinting {
    queue: Arc<Virtqueue<HintBuffer>>,
    pub(crate) held: Arc<HeldPages>,
    pub(crate) counters: Arc<HintCounters>,
    answers: Arc<Answers>,
    /// The smallest order of blocks that are hinted at.
    order: u32,
    /// The configuration has changed since the command id was read.
    command_is_stale: AtomicFlag,
    #[pin]
    state: Mutex<State>,
}

/// What the work item needs from one run to the next.
struct State {
    rounds: Rounds,
    /// From the start of a round to its stop.
    answer: Option<Answer>,
    source: Source,
    /// Buffers for a start and a stop, while the host does not have them.
    ids: [Option<OutBuffer<u32>>; 2],
    /// The source has runs that are to be sent before more are gathered.
    sending: bool,
    /// The source has no more.
    gathered_all: bool,
    /// The host is done: what it still returns goes back to the guest at once.
    done: bool,
    unseen: Unseen,
    /// The last notification was left out because the device did not ask for it.
    unasked: bool,
    /// The device is broken.
    failed: bool,
}

impl State {
    /// Creates the state of a device that was just set up.
    fn new(source: Source) -> Result<Self> {
        Ok(Self {
            rounds: Rounds::default(),
            answer: None,
            source,
            ids: new_ids()?,
            sending: false,
            gathered_all: false,
            done: false,
            unseen: Unseen::default(),
            unasked: false,
            failed: false,
        })
    }

    /// Forgets all but the source, which has ended.
    fn restart(&mut self) -> Result {
        // The device may have had some of the old ones.
        self.ids = new_ids()?;
        self.rounds = Rounds::default();
        self.answer = None;
        self.sending = false;
        self.gathered_all = false;
        self.done = false;
        self.unseen = Unseen::default();
        self.unasked = false;
        self.failed = false;
        Ok(())
    }

    /// Keeps the buffer of a command id for the next one.
    fn return_id(&mut self, id: OutBuffer<u32>) {
        if let Some(slot) = self.ids.iter_mut().find(|slot| slot.is_none()) {
            *slot = Some(id);
        }
    }
}

/// Allocates the buffers for command ids.
fn new_ids() -> Result<[Option<OutBuffer<u32>>; 2]> {
    Ok([
        Some(OutBuffer::new(0, GFP_KERNEL)?),
        Some(OutBuffer::new(0, GFP_KERNEL)?),
    ])
}

impl From<Phase> for HintState {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Idle => Self::Idle,
            Phase::Opening(_) => Self::Opening,
            Phase::Gathering => Self::Gathering,
            Phase::Closing => Self::Closing,
        }
    }
}

/// How to go on after a step.
enum Next {
    /// With another one.
    Step,
    /// When the host returns buffers.
    Wait,
}

impl Hinting {
    /// Creates what hinting needs. The strategy must not be [`Strategy::Off`].
    pub(crate) fn new(
        policy: Policy,
        queue: Arc<Virtqueue<HintBuffer>>,
        held: Arc<HeldPages>,
        isolated: Arc<IsolatedPages>,
        counters: Arc<HintCounters>,
        answers: Arc<Answers>,
    ) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(move || {
            let source = match policy.strategy {
                Strategy::Walk => Source::Walk(Walk::new(policy, counters.clone())?),
                Strategy::Isolate => {
                    Source::Isolate(Isolate::new(policy, isolated, counters.clone())?)
                }
                _ => Source::Hold(Hold::new(policy, held.clone(), counters.clone())?),
            };
            let state = State::new(source)?;
            Ok(try_pin_init!(Self {
                queue,
                held,
                counters,
                answers,
                order: policy.hint_order,
                command_is_stale: AtomicFlag::new(true),
                state <- new_mutex!(state),
            }))
        })
    }

    /// Ends what is going on before the device is reset for a suspend. The work must not run.
    pub(crate) fn freeze(&self) {
        let mut state = self.state.lock();
        state.source.end();
        state.answer = None;
        drop(state);
        self.held.release_all();
    }

    /// Starts anew with a device that was reset. The work must not run.
    pub(crate) fn restore(&self) -> Result {
        self.state.lock().restart()?;
        self.counters.state.set(HintState::Idle);
        self.counters.nothing_held();
        self.config_changed();
        Ok(())
    }

    /// The configuration has changed; the work is to be queued after this.
    ///
    /// May be called from any context.
    pub(crate) fn config_changed(&self) {
        self.command_is_stale.xchg(true, Full);
    }

    /// Follows the host's command, if it may have changed.
    fn follow(&self, dev: &virtio::Device<device::Bound>, state: &mut State) -> Result {
        if !self.command_is_stale.xchg(false, Full) {
            return Ok(());
        }
        let id = dev.read_config(COMMAND_ID)?;
        self.answers.seen(id, 0);
        let command = Command::from_id(id);
        if state.rounds.follow(command) {
            self.counters.interrupted.add(1);
            if let Some(answer) = &mut state.answer {
                answer.ends(Ending::Interrupted);
            }
        }
        match command {
            Command::Done => {
                state.done = true;
                self.held.release_all();
            }
            // Whatever came before it, what is in flight still belongs to the host's last DONE.
            Command::Stop => {}
            Command::Request(_) => state.done = false,
        }
        Ok(())
    }

    /// Takes back the buffers that the host has returned.
    fn reap(&self, queue: &Queue<'_, HintBuffer>, state: &mut State) {
        loop {
            let Some((buffer, _)) = queue.lock().get() else {
                return;
            };
            match buffer {
                HintBuffer::Id(id) => state.return_id(id),
                HintBuffer::Held(run) if state.done => self.held.release(run),
                HintBuffer::Held(run) => self.held.keep(run),
                HintBuffer::Walked(_) => {}
                // The host has taken it out of its migration, and sees all writes from now on.
                HintBuffer::Isolated(run) => drop(run),
            }
        }
    }

    /// Gives a buffer to the host.
    fn send(
        &self,
        queue: &Queue<'_, HintBuffer>,
        state: &mut State,
        buffer: HintBuffer,
    ) -> Result<(), Refused<HintBuffer>> {
        queue.lock().add(buffer)?;
        self.counters.elements.add(1);
        state.unseen.add();
        Ok(())
    }

    /// Tells a full ring, which is only a matter of time, from a device that is broken.
    fn not_sent(&self, error: Error) -> Result<bool> {
        if error != ENOSPC {
            return Err(error);
        }
        self.counters.ring_full.add(1);
        Ok(false)
    }

    /// Sends a command id. Returns whether it could be sent.
    fn send_id(
        &self,
        dev: &virtio::Device<device::Bound>,
        queue: &Queue<'_, HintBuffer>,
        state: &mut State,
        id: u32,
    ) -> Result<bool> {
        let Some(mut buffer) = state.ids.iter_mut().find_map(Option::take) else {
            return Ok(false);
        };
        buffer.set(dev.to_virtio(id));
        match self.send(queue, state, HintBuffer::Id(buffer)) {
            Ok(()) => Ok(true),
            Err(refused) => {
                if let HintBuffer::Id(buffer) = refused.buffer {
                    state.return_id(buffer);
                }
                self.not_sent(refused.error)
            }
        }
    }

    /// Sends what the source has. Returns whether all of it could be sent.
    fn send_runs(&self, queue: &Queue<'_, HintBuffer>, state: &mut State) -> Result<bool> {
        while let Some(buffer) = state.source.take() {
            let range = buffer.range();
            match self.send(queue, state, buffer) {
                Ok(()) => {
                    self.counters.runs.add(1);
                    if let Some(range) = range {
                        self.counters.pages.add(range.pages());
                        if let Some(answer) = &mut state.answer {
                            answer.hinted(range);
                        }
                    }
                }
                Err(refused) => {
                    state.source.put_back(refused.buffer);
                    return self.not_sent(refused.error);
                }
            }
        }
        Ok(true)
    }

    /// Notifies the host of what was added.
    fn kick(&self, queue: &Queue<'_, HintBuffer>, state: &mut State) -> Result {
        if let Some(notified) = state.unseen.kick(queue, 1)? {
            if notified {
                self.counters.notifications.add(1);
            }
            state.unasked = !notified;
        }
        Ok(())
    }

    /// Notifies the host although it did not ask for it, if something may be left that it has not
    /// seen.
    ///
    /// QEMU asks for no notifications while it reads the queue, and when it ends that, it asks for
    /// them without looking again (`virtio_ballloon_get_free_page_hints()`). What is added between
    /// the two it does not see, and with a full ring there would be no further notification.
    fn kick_at_last(&self, queue: &Queue<'_, HintBuffer>, state: &mut State) -> Result {
        if core::mem::take(&mut state.unasked) && queue.lock().lent() > 0 {
            self.counters.notifications.add(1);
            queue.notify()?;
        }
        Ok(())
    }

    /// Does the next thing of a round.
    fn step(
        &self,
        dev: &virtio::Device<device::Bound>,
        queue: &Queue<'_, HintBuffer>,
        state: &mut State,
    ) -> Result<Next> {
        match state.rounds.phase() {
            Phase::Idle => Ok(Next::Wait),
            Phase::Opening(id) => {
                if !self.send_id(dev, queue, state, id)? {
                    return Ok(Next::Wait);
                }
                state.rounds.opened();
                self.counters.requests.add(1);
                state.sending = false;
                state.gathered_all = false;
                // The request was read before: all that is gathered from here on is for it.
                state.source.start();
                let answer = self.answers.begin(id, state.source.mode(), self.order);
                state.answer = Some(answer);
                Ok(Next::Step)
            }
            Phase::Gathering => {
                if state.sending {
                    if !self.send_runs(queue, state)? {
                        return Ok(Next::Wait);
                    }
                    state.sending = false;
                    if state.gathered_all {
                        self.counters.completed.add(1);
                        state.rounds.gathered();
                        if let Some(answer) = &mut state.answer {
                            answer.ends(Ending::Completed);
                        }
                    } else {
                        self.kick(queue, state)?;
                    }
                    return Ok(Next::Step);
                }
                let Some(answer) = state.answer.as_mut() else {
                    // Not in a round.
                    return Ok(Next::Wait);
                };
                match state.source.gather(answer) {
                    Gathered::More => {}
                    Gathered::Later => return Ok(Next::Wait),
                    Gathered::Enough => state.sending = true,
                    Gathered::All => {
                        state.sending = true;
                        state.gathered_all = true;
                    }
                }
                Ok(Next::Step)
            }
            Phase::Closing => {
                // What was gathered for this round and not sent must not go into another one.
                state.source.end();
                if !self.send_id(dev, queue, state, Command::STOP)? {
                    return Ok(Next::Wait);
                }
                state.rounds.closed();
                state.answer = None;
                Ok(Next::Step)
            }
        }
    }

    /// Goes on until something has to be waited for.
    fn advance(
        &self,
        dev: &virtio::Device<device::Bound>,
        queue: &Queue<'_, HintBuffer>,
        state: &mut State,
        stop: Stop<'_>,
    ) -> Result {
        queue.lock().disable_callback();
        while !stop.requested() {
            self.reap(queue, state);
            self.follow(dev, state)?;
            self.counters.state.set(state.rounds.phase().into());
            match self.step(dev, queue, state)? {
                Next::Step => mm::cond_resched(),
                Next::Wait => {
                    self.kick(queue, state)?;
                    self.kick_at_last(queue, state)?;
                    // A broken ring would have buffers to return for ever, and return none.
                    if queue.is_broken() {
                        return Err(EIO);
                    }
                    let mut guard = queue.lock();
                    if guard.lent() == 0 || guard.enable_callback() {
                        break;
                    }
                    drop(guard);
                    mm::cond_resched();
                }
            }
        }
        Ok(())
    }
}

impl DeviceWorkItem for Hinting {
    fn run(&self, dev: &virtio::Device<device::Bound>, stop: Stop<'_>) -> Then {
        let mut state = self.state.lock();
        if state.failed {
            return Then::Done;
        }
        let Ok(queue) = self.queue.bind(dev) else {
            return Then::Done;
        };
        let Err(error) = self.advance(dev, &queue, &mut state, stop) else {
            return Then::Done;
        };
        if !queue.is_broken() {
            // The round ends here: what was not sent is of more use to the guest.
            state.source.end();
            state.rounds.gathered();
            return Then::After(failure::RETRY_MS);
        }
        failure::report(dev, "free page hinting", error);
        // What the device has stays out of use until it is reset. What it has returned, or never
        // had, does not have to.
        state.failed = true;
        self.counters.state.set(HintState::Failed);
        state.answer = None;
        state.source.end();
        self.held.release_all();
        Then::Done
    }
}
