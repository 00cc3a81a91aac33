// SPDX-License-Identifier: GPL-2.0

//! The protocol of free page hinting, without the device.
//!
//! Specification: section 5.5.6.6, "Free Page Hinting". The host sets a command id in the
//! configuration space. The driver answers a request with the id, then the pages, then a stop,
//! in this order through one queue: that is a *round*.

/// What the host's command id says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// `VIRTIO_BALLOON_CMD_ID_STOP`: no more hints.
    Stop,
    /// `VIRTIO_BALLOON_CMD_ID_DONE`: no more hints, and the pages may be used again.
    Done,
    /// Any other: hints are wanted, under this id.
    Request(u32),
}

impl Command {
    /// The id that ends a round, the driver's as well.
    pub(crate) const STOP: u32 = 0;
    const DONE: u32 = 1;

    /// Tells what an id from the configuration space means.
    pub(crate) fn from_id(id: u32) -> Self {
        match id {
            Self::STOP => Self::Stop,
            Self::DONE => Self::Done,
            id => Self::Request(id),
        }
    }
}

/// Where the driver is in a round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// In none. All rounds start from here.
    #[default]
    Idle,
    /// The id of a request is to be sent.
    Opening(u32),
    /// Pages are gathered and sent.
    Gathering,
    /// A stop is to be sent.
    Closing,
}

/// The rounds of hinting.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    phase: Phase,
    /// The last id that was sent, unless the host has taken it back since.
    sent: Option<u32>,
    /// The request to answer after the round that is being closed.
    next: Option<u32>,
}

impl Rounds {
    /// Returns where the driver is.
    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Follows the host's command, which may be the one that it gave before.
    ///
    /// Returns whether a round was ended by it.
    pub(crate) fn follow(&mut self, command: Command) -> bool {
        let wanted = match command {
            Command::Stop | Command::Done => {
                // The host may use the same id again from here on.
                self.sent = None;
                None
            }
            // The round that is open is the one.
            Command::Request(id) if self.sent == Some(id) && self.phase == Phase::Gathering => {
                return false;
            }
            // An id must not be sent twice.
            Command::Request(id) => Some(id).filter(|_| self.sent != Some(id)),
        };
        match self.phase {
            // Nothing was sent for it yet.
            Phase::Idle | Phase::Opening(_) => {
                self.phase = wanted.map_or(Phase::Idle, Phase::Opening);
                false
            }
            Phase::Gathering => {
                self.next = wanted;
                self.phase = Phase::Closing;
                true
            }
            Phase::Closing => {
                self.next = wanted;
                false
            }
        }
    }

    /// The id was sent.
    pub(crate) fn opened(&mut self) {
        if let Phase::Opening(id) = self.phase {
            self.sent = Some(id);
            self.phase = Phase::Gathering;
        }
    }

    /// There are no more pages.
    pub(crate) fn gathered(&mut self) {
        if self.phase == Phase::Gathering {
            self.phase = Phase::Closing;
        }
    }

    /// The stop was sent.
    pub(crate) fn closed(&mut self) {
        if self.phase == Phase::Closing {
            self.phase = self.next.take().map_or(Phase::Idle, Phase::Opening);
        }
    }
}

#[cfg(CONFIG_VIRTIO_BALLOON_KUNIT_TEST)]
#[kernel::prelude::kunit_tests(rust_virtio_balloon_rounds)]
mod tests {
    use super::*;
    use kernel::testing::Random;

    #[test]
    fn answers_a_request_once() {
        let mut rounds = Rounds::default();
        assert!(!rounds.follow(Command::from_id(7)));
        assert_eq!(rounds.phase(), Phase::Opening(7));
        rounds.opened();
        assert!(!rounds.follow(Command::from_id(7)));
        assert_eq!(rounds.phase(), Phase::Gathering);
        rounds.gathered();
        assert!(!rounds.follow(Command::from_id(7)));
        rounds.closed();
        assert!(!rounds.follow(Command::from_id(7)));
        assert_eq!(rounds.phase(), Phase::Idle);
    }

    #[test]
    fn a_newer_request_ends_the_round_first() {
        let mut rounds = Rounds::default();
        rounds.follow(Command::from_id(7));
        rounds.opened();
        assert!(rounds.follow(Command::from_id(8)));
        assert_eq!(rounds.phase(), Phase::Closing);
        rounds.follow(Command::from_id(9));
        rounds.closed();
        assert_eq!(rounds.phase(), Phase::Opening(9));
    }

    #[test]
    fn stop_and_done_end_the_round() {
        for id in [0, 1] {
            let mut rounds = Rounds::default();
            rounds.follow(Command::from_id(7));
            rounds.follow(Command::from_id(id));
            assert_eq!(rounds.phase(), Phase::Idle);
            rounds.follow(Command::from_id(7));
            rounds.opened();
            assert!(rounds.follow(Command::from_id(id)));
            rounds.closed();
            assert_eq!(rounds.phase(), Phase::Idle);
            // The host took the id back, so it may ask with it once more.
            rounds.follow(Command::from_id(7));
            assert_eq!(rounds.phase(), Phase::Opening(7));
        }
    }

    /// Any sequence of commands and progress keeps the rules H2, H3 and H6.
    #[test]
    fn keeps_the_rules_whatever_the_host_does() {
        let mut generator = Random::new(5);
        let mut random = |bound| generator.below(bound);
        let mut rounds = Rounds::default();
        let mut open = None;
        let mut last_sent = None;
        let mut current = 0;
        for _ in 0..100_000 {
            match random(3) {
                0 => {
                    // CAST: Less than five.
                    current = random(5) as u32;
                    if current < 2 {
                        last_sent = None;
                    }
                    rounds.follow(Command::from_id(current));
                }
                1 => rounds.gathered(),
                _ => match rounds.phase() {
                    Phase::Opening(id) => {
                        // H2: the current id. H3: not the one that was sent last.
                        assert_eq!(id, current);
                        assert!(last_sent != Some(id));
                        // H6: the round before was ended.
                        assert!(open.is_none());
                        open = Some(id);
                        last_sent = Some(id);
                        rounds.opened();
                    }
                    Phase::Closing => {
                        assert!(open.take().is_some());
                        rounds.closed();
                    }
                    Phase::Gathering => assert!(open.is_some()),
                    Phase::Idle => assert!(open.is_none()),
                },
            }
            // H5: no pages for a command that is over.
            if rounds.phase() == Phase::Gathering {
                assert_eq!(open, Some(current));
            }
        }
    }
}
