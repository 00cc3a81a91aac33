// SPDX-License-Identifier: GPL-2.0

//! A fuzzer: the device's side of the balloon, played at random. In builds with tests only.
//!
//! A *session* plays one device, hostile or broken or merely strange, and follows from a seed. In
//! `/sys/kernel/debug/virtio_balloon_rs-fuzz/`, a line that is written to `run` plays one, and
//! `result` says what became of all of them. Each step has a random word of its own, so that
//! steps can be left out to find those that matter.

#[path = "fuzz/line.rs"]
mod line;
#[path = "fuzz/model.rs"]
mod model;
#[path = "fuzz/random.rs"]
mod random;
#[path = "fuzz/session.rs"]
mod session;
#[path = "fuzz/step.rs"]
mod step;

use kernel::{
    fmt,
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            AtomicFlag,
            Full, //
        },
        Mutex, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
    uaccess::UserSliceReader,
    virtio::mock::actions, //
};

use crate::clock::testing::Haste;

use self::{
    line::Order,
    model::Broken,
    step::Kind, //
};

/// The longest line.
const MAX_LINE: usize = 64 << 10;

const KINDS: usize = Kind::ALL.len();

struct Last {
    seed: u64,
    steps: u64,
    /// What was wrong, and at which step.
    broken: Option<(u64, Broken)>,
}

struct Totals {
    sessions: u64,
    steps: u64,
    failures: u64,
    kinds: [u64; KINDS],
    last: Option<Last>,
}

/// What was played since the module was loaded.
#[pin_data]
pub(crate) struct Fuzzer {
    #[pin]
    totals: Mutex<Totals>,
}

/// A session is being played: there is one at a time, whoever has it played.
static BUSY: AtomicFlag = AtomicFlag::new(false);

struct Turn(());

impl Turn {
    fn wait() -> Self {
        while BUSY.xchg(true, Full) {
            fsleep(Delta::from_millis(5));
        }
        Self(())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        BUSY.xchg(false, Full);
    }
}

impl Fuzzer {
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            totals <- new_mutex!(Totals {
                sessions: 0,
                steps: 0,
                failures: 0,
                kinds: [0; KINDS],
                last: None,
            }),
        })
    }

    /// Plays the session that a line asks for.
    pub(crate) fn command(&self, reader: &mut UserSliceReader) -> Result {
        let len = reader.len();
        let order = if len > MAX_LINE {
            Err(E2BIG)
        } else {
            let mut line = KVVec::from_elem(0, len, GFP_KERNEL)?;
            reader.read_slice(&mut line)?;
            core::str::from_utf8(&line)
                .map_err(|_| EINVAL)
                .and_then(Order::parse)
        };
        let order = order.inspect_err(|_| pr_err!("fuzz: understood is: {}\n", line::USAGE))?;
        self.play(&order)
    }

    fn play(&self, order: &Order) -> Result {
        let _turn = Turn::wait();
        // Or most of the time would be spent on waiting for a device that does not answer.
        let _haste = Haste::new(200);
        let seed = order.seed;
        pr_info!("fuzz: session seed={:#x} steps={}\n", seed, order.steps);
        let mut kinds = [0u64; KINDS];
        let result = session::play(order, |kind| {
            if let Some(count) = kinds.get_mut(kind as usize) {
                *count += 1;
            }
        });
        let mut totals = self.totals.lock();
        let steps = kinds.iter().sum::<u64>();
        totals.sessions += 1;
        totals.steps += steps;
        for (total, count) in totals.kinds.iter_mut().zip(kinds) {
            *total += count;
        }
        let broken = result?;
        totals.last = Some(Last {
            seed,
            steps: order.steps,
            broken,
        });
        if let Some((step, broken)) = broken {
            totals.failures += 1;
            pr_err!("fuzz: FAILED seed={:#x} step={}: {}\n", seed, step, broken);
            return Err(EIO);
        }
        Ok(())
    }

    /// Says what was played.
    pub(crate) fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let totals = self.totals.lock();
        write!(
            f,
            "sessions {}\nsteps {}\nactions {}\nfailures {}\n",
            totals.sessions,
            totals.steps,
            actions(),
            totals.failures
        )?;
        if let Some(last) = &totals.last {
            write!(
                f,
                "last seed={:#x} steps={} outcome=",
                last.seed, last.steps
            )?;
            match last.broken {
                Some((step, broken)) => f.write_fmt(fmt!("step {step}: {broken}\n"))?,
                None => f.write_str("ok\n")?,
            }
        }
        for ((_, _, name), count) in Kind::ALL.iter().zip(totals.kinds) {
            writeln!(f, "step {name} {count}")?;
        }
        Ok(())
    }
}

#[kunit_tests(rust_virtio_balloon_fuzz)]
mod tests {
    use super::random::mix;
    use super::*;

    #[test]
    fn plays_some_sessions() -> Result {
        let fuzzer = KBox::pin_init(Fuzzer::new(), GFP_KERNEL)?;
        for seed in 1..=30 {
            fuzzer.play(&Order::new(mix(seed, 0), 100))?;
        }
        Ok(())
    }

    #[test]
    fn reads_a_line() -> Result {
        let order = Order::parse("seed=0xff steps=20 first=3 only=1,5,9 settle=1 trace=1\n")?;
        assert_eq!((order.seed, order.steps, order.first), (255, 20, 3));
        assert!(order.only.as_deref() == Some(&[1, 5, 9]));
        assert_eq!(order.settle, Some(true));
        assert!(order.trace);
        let order = Order::parse("steps=1 seed=18446744073709551615")?;
        assert_eq!(order.seed, u64::MAX);
        assert!(order.only.is_none() && order.settle.is_none() && !order.trace);
        Ok(())
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for line in [
            "",
            "seed=1",
            "steps=1",
            "seed=1 steps=0",
            "seed=+1 steps=1",
            "seed=0x steps=1",
            "seed=18446744073709551616 steps=1",
            "seed=1 steps=1 trace=2",
            "seed=1 steps=1 only=",
            "seed=1 steps=1 only=1,,2",
            "seed=1 steps=1 more=1",
            "seed=1 steps=1 settle",
        ] {
            assert!(Order::parse(line).is_err());
        }
    }

    /// A replay depends on this.
    #[test]
    fn words_follow_from_seed_and_step() {
        assert_eq!(mix(1, 2), mix(1, 2));
        assert!(mix(1, 2) != mix(1, 3) && mix(1, 2) != mix(2, 2));
    }
}
