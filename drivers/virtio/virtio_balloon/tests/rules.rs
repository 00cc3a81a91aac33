// SPDX-License-Identifier: GPL-2.0

//! A device that breaks the rules of the rings.
//!
//! What the driver cannot know it cannot do right, but it goes on until it is unbound, and is as
//! new when it is bound again.

use kernel::{
    prelude::*,
    virtio::{
        mock::Context,
        Feature, //
    }, //
};

use super::{
    bitmap,
    hint::{
        self,
        HOLD,
        WALK, //
    },
    host::{
        everything,
        with_rings,
        Host,
        DEFLATE,
        EVENT_IDX,
        FREE_PAGE,
        INFLATE,
        PACKED,
        REPORTS,
        STATS, //
    },
    stats, //
};
use crate::policy::testing::Choice;

/// What the device does to a queue.
#[derive(Clone, Copy, Debug)]
enum Crime {
    /// It returns a buffer that it was not given.
    Stranger,
    /// It returns a buffer with an id that there cannot be.
    Beyond(u32),
    /// It returns a buffer twice.
    Twice,
    /// It returns more than it says.
    Jump(u16),
    /// It says to have written something else than it can have.
    Length(u32),
}

const CRIMES: [Crime; 9] = [
    Crime::Stranger,
    Crime::Beyond(128),
    Crime::Beyond(u32::MAX),
    Crime::Twice,
    Crime::Jump(1),
    Crime::Jump(100),
    Crime::Jump(0x8000),
    Crime::Length(0),
    Crime::Length(u32::MAX),
];

fn commit(host: &Host, queue: usize, crime: Crime) -> Result {
    let size = u32::from(host.device.queue_size(queue));
    match crime {
        Crime::Stranger => {
            let stranger = (0..size).rev().find(|&id| !host.device.has_id(queue, id));
            host.device.push_id(queue, stranger.unwrap_or(0), 4);
        }
        Crime::Beyond(id) => host.device.push_id(queue, id, 4),
        Crime::Twice => {
            if let Some(chain) = host.device.pop(queue)? {
                let id = u32::from(chain.id);
                host.device.push_id(queue, id, 0);
                host.device.push_id(queue, id, 0);
            } else {
                host.device.push_id(queue, 0, 0);
            }
        }
        Crime::Jump(by) => host.device.jump(queue, by),
        Crime::Length(len) => {
            if let Some(chain) = host.device.pop(queue)? {
                host.device.push(chain, len);
            }
        }
    }
    host.device.interrupt(queue, Context::Interrupt);
    host.device.spurious_callback(queue, Context::Interrupt);
    host.device.settle();
    Ok(())
}

/// Commits a crime on a queue while there is something in all of them, and looks what is left.
fn try_it(choice: Choice, ring: &[Feature], queue: usize, crime: Crime) -> Result {
    let host = Host::new(choice, with_rings(everything(), ring, 128))?;
    if queue == INFLATE || queue == DEFLATE {
        // Something is in the ring, or was, and nothing is inside that would have to come back.
        host.set_target(1);
        let chain = host.wait_for(INFLATE)?;
        host.finish(chain)?;
        host.wait_until(|| Ok(host.actual() == 1))?;
        host.set_target(0);
        let chain = host.wait_for(DEFLATE)?;
        host.finish(chain)?;
        host.wait_until(|| Ok(host.actual() == 0))?;
    }
    if queue == FREE_PAGE {
        host.set_command(7);
    }
    host.device.settle();
    commit(&host, queue, crime)?;
    // Whatever it asks for now.
    host.set_command(8);
    host.set_target(0);
    host.device.settle();
    host.unbind()?;

    host.set_command(0);
    host.bind()?;
    stats::script(&host)?;
    host.unbind()
}

#[kunit_tests(rust_virtio_balloon_mock_rules)]
mod tests {
    use super::*;

    fn all(choice: Choice, ring: &[Feature], queues: &[usize]) -> Result {
        for &queue in queues {
            for crime in CRIMES {
                try_it(choice, ring, queue, crime).inspect_err(|error| {
                    pr_err!("test: {error:?}: {crime:?} on queue {queue}, {ring:?}\n");
                })?;
            }
        }
        Ok(())
    }

    #[test]
    fn on_a_split_ring() -> Result {
        let queues = [INFLATE, DEFLATE, STATS, FREE_PAGE, REPORTS];
        all(hint::choice(HOLD), &[], &queues)
    }

    #[test]
    fn on_a_split_ring_with_event_indexes() -> Result {
        all(hint::choice(WALK), &[EVENT_IDX], &[STATS, FREE_PAGE])
    }

    #[test]
    fn on_a_packed_ring() -> Result {
        let queues = [INFLATE, STATS, FREE_PAGE];
        all(hint::choice(HOLD), &[PACKED], &queues)
    }

    #[test]
    fn with_the_bitmap() -> Result {
        for ring in [&[][..], &[PACKED]] {
            all(bitmap::choice(), ring, &[FREE_PAGE])?;
        }
        Ok(())
    }

    /// With pages on the way, of which nobody knows any more whose they are.
    #[test]
    fn with_a_balloon_that_is_not_empty() -> Result {
        let host = Host::new(Choice::default(), everything())?;
        host.set_target(1000);
        let chain = host.wait_for(INFLATE)?;
        host.finish(chain)?;
        host.wait_until(|| Ok(host.device.has_available(INFLATE)))?;
        host.device.push_id(DEFLATE, 5, 0);
        host.device.interrupt(DEFLATE, Context::Interrupt);
        host.set_target(0);
        host.device.settle();
        host.device.unbind();
        host.is_reset()?;
        host.bind()?;
        stats::script(&host)
    }
}
