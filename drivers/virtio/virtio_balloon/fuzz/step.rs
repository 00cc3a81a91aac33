// SPDX-License-Identifier: GPL-2.0

//! What a device can do next.

use kernel::{
    fmt,
    virtio::mock::Context, //
};

use super::random::Random;

/// The virtqueues of a balloon, in the order of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Inflate,
    Deflate,
    Stats,
    FreePage,
    Reports,
}

impl Role {
    pub(super) const ALL: [Self; 5] = [
        Self::Inflate,
        Self::Deflate,
        Self::Stats,
        Self::FreePage,
        Self::Reports,
    ];

    pub(super) fn bit(self) -> u32 {
        1 << self as u32
    }
}

macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $Kind:ident: $weight:literal $name:literal,)*) => {
        /// The kinds of steps.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Kind {
            $($(#[doc = $doc])* $Kind,)*
        }

        impl Kind {
            /// All kinds, how often they come, and their names.
            pub(super) const ALL: &'static [(Self, u32, &'static str)] =
                &[$((Self::$Kind, $weight, $name),)*];
        }
    };
}

kinds! {
    /// Another target.
    Target: 240 "target",
    /// Another command id.
    Command: 240 "command",
    /// Any byte of the configuration.
    ConfigByte: 48 "config-byte",
    /// The next reads of the configuration differ from each other.
    Flicker: 24 "flicker",
    /// The configuration changes many times.
    ConfigStorm: 24 "config-storm",
    /// An interrupt, with a reason or not.
    Interrupt: 96 "interrupt",
    /// A callback past the ring's own check.
    Spurious: 96 "spurious",
    /// Many of both.
    InterruptStorm: 24 "interrupt-storm",
    /// Takes buffers and keeps them.
    Pop: 520 "pop",
    /// Gives back a buffer, any of those that were taken.
    Complete: 440 "complete",
    /// The same with a length that is wrong.
    CompleteWrong: 56 "complete-wrong",
    /// Gives back whatever there is.
    Answer: 360 "answer",
    /// Wants notifications, or not.
    Ask: 80 "ask",
    /// A queue is not answered any more.
    Silence: 6 "silence",
    /// Gives some queues' buffers back by itself, or not.
    Eager: 96 "eager",
    /// Gives statistics back again and again.
    StatsStorm: 12 "stats-storm",
    /// Asks for fresh statistics.
    Stats: 120 "stats",
    /// A request for a bitmap that is in order.
    Request: 240 "request",
    /// One with a field that is not.
    RequestBroken: 96 "request-broken",
    /// Random bytes.
    RequestRandom: 48 "request-random",
    /// A length that is wrong.
    RequestLength: 32 "request-length",
    /// An id that was used before, or 0.
    RequestId: 48 "request-id",
    /// Cancels the last request, or another one.
    Cancel: 64 "cancel",
    /// Overwrites the buffers that it has.
    ScribbleHeld: 96 "scribble-held",
    /// Overwrites pages of the balloon.
    ScribblePages: 96 "scribble-pages",
    /// The guest uses memory for a while.
    Pressure: 6 "pressure",
    /// Nothing happens.
    Pause: 6 "pause",
    /// The guest has no memory left: the balloon.
    Oom: 16 "oom",
    /// The guest has no memory left: hints.
    HintOom: 8 "hint-oom",
    /// Memory is reclaimed.
    Shrink: 40 "shrink",
    /// The kernel moves a page of the balloon.
    Move: 20 "move",
    /// The driver is unbound, and bound again.
    Rebind: 4 "rebind",
    /// The same after features, sizes or the policy changed.
    Withdraw: 3 "withdraw",
    /// The features are refused at the next set-up.
    RefuseFeatures: 1 "refuse-features",
    /// Suspend and resume.
    Freeze: 4 "freeze",
    /// The same, and the device comes back changed.
    FreezeChanged: 3 "freeze-changed",
    /// The same, and there are no queues when it comes back.
    FreezeNoQueues: 1 "freeze-no-queues",
    /// The machine goes down, and the device goes with it.
    Shutdown: 1 "shutdown",
    /// The device is gone without a word.
    Surprise: 2 "surprise",
    /// Foul: gives back an id that it does not have.
    PushStray: 8 "push-stray",
    /// Foul: gives back an id out of range.
    PushOutOfRange: 4 "push-out-of-range",
    /// Foul: the used index jumps.
    Jump: 4 "jump",
    /// Foul: the transport marks the queues as broken.
    BreakQueues: 2 "break-queues",
    /// Foul: notifications fail.
    Deaf: 3 "deaf",
}

impl Kind {
    /// Whether nobody can rely on the ring afterwards.
    pub(super) fn is_foul(self) -> bool {
        matches!(
            self,
            Self::PushStray | Self::PushOutOfRange | Self::Jump | Self::BreakQueues | Self::Deaf
        )
    }
}

/// A step. What its numbers mean depends on the kind.
pub(super) struct Step {
    pub(super) kind: Kind,
    pub(super) name: &'static str,
    pub(super) role: Role,
    pub(super) context: Context,
    pub(super) n: u32,
    pub(super) value: u64,
}

impl Step {
    /// Makes a step of a random word. Foul ones become others unless the session has them.
    pub(super) fn new(word: u64, hostile: bool) -> Self {
        let mut random = Random::new(word);
        let total = Kind::ALL
            .iter()
            .fold(0, |sum: u32, (_, weight, _)| sum.wrapping_add(*weight));
        let mut at = random.below(total);
        let mut chosen = (Kind::Answer, "answer");
        for &(kind, weight, name) in Kind::ALL {
            if at < weight {
                chosen = (kind, name);
                break;
            }
            at = at.wrapping_sub(weight);
        }
        if chosen.0.is_foul() && !hostile {
            chosen = (Kind::Answer, "answer");
        }
        Self {
            kind: chosen.0,
            name: chosen.1,
            role: random.one_of(&Role::ALL, Role::Inflate),
            context: random.one_of(&Context::ALL, Context::Thread),
            n: random.below(1 << 16),
            value: random.next(),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {:?} {:?} n={} value={:#x}",
            self.name, self.role, self.context, self.n, self.value
        )
    }
}
