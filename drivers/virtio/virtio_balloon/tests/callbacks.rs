// SPDX-License-Identifier: GPL-2.0

//! Callbacks from all contexts, with a reason and without.

use kernel::{
    prelude::*,
    virtio::mock::Context, //
};

use super::{
    bitmap,
    hint::{
        self,
        HOLD, //
    },
    host::{
        ensure,
        everything,
        same,
        with_rings,
        Host,
        DEFLATE,
        INFLATE,
        NUM_PAGES,
        QUEUES,
        RINGS,
        STATS, //
    },
    inflate::{
        self,
        Inside, //
    },
    stats, //
};
use crate::policy::testing::Choice;

const STORM: usize = 1000;

#[kunit_tests(rust_virtio_balloon_mock_callbacks)]
mod tests {
    use super::*;

    /// Callbacks without a reason change nothing.
    #[test]
    fn without_a_reason() -> Result {
        for choice in [Choice::default(), bitmap::choice()] {
            let host = Host::new(choice, everything())?;
            let (chain, _) = stats::take(&host)?;
            for context in Context::ALL {
                for queue in 0..QUEUES {
                    for _ in 0..STORM / 4 {
                        host.device.spurious_callback(queue, context);
                    }
                }
            }
            host.device.settle();
            for queue in [INFLATE, DEFLATE, STATS] {
                ensure(!host.device.has_available(queue), "nothing was asked for")?;
            }
            same(host.counter(|c| c.stats_updates.get())?, 1u64, "updates")?;
            host.finish(chain)?;
            stats::script(&host)?;
            inflate::resize(&host, &mut Inside::new()?, 300)?;
            host.unbind()?;
        }
        Ok(())
    }

    /// Changes of the configuration that are none.
    #[test]
    fn changes_that_are_none() -> Result {
        let host = Host::new(Choice::default(), everything())?;
        for context in Context::ALL {
            for _ in 0..STORM {
                host.device.config_changed(context);
            }
            host.device.settle();
            ensure(!host.device.has_available(INFLATE), "the target is 0")?;
        }
        // The work reads it once for many.
        ensure(
            host.device.config_reads() < 8 * STORM + 100,
            "reads are put together",
        )?;
        inflate::script(&host)
    }

    /// Storms while something is going on.
    #[test]
    fn storms_on_the_way() -> Result {
        for ring in RINGS {
            let host = Host::new(hint::choice(HOLD), with_rings(everything(), ring, 16))?;
            let mut inside = Inside::new()?;
            for (context, id) in Context::ALL.into_iter().zip(7..) {
                host.set_target(600);
                for nth in 0..STORM / 10 {
                    host.device.spurious_callback(nth % QUEUES, context);
                    host.device.config_changed(context);
                }
                inflate::follow(&host, &mut inside, 600)?;
                hint::round(&host, HOLD, id)?;
                host.set_command(hint::DONE);
                inflate::resize(&host, &mut inside, 0)?;
            }
        }
        Ok(())
    }

    /// Buffers come back in each context.
    #[test]
    fn from_any_context() -> Result {
        for ring in RINGS {
            let host = Host::new(Choice::default(), with_rings(everything(), ring, 128))?;
            for context in Context::ALL {
                let (chain, _) = stats::take(&host)?;
                host.device.finish(chain, 0, context);
                host.device.set_config(NUM_PAGES, 100);
                host.device.config_changed(context);
                let chain = host.wait_for(INFLATE)?;
                host.device.finish(chain, 0, context);
                host.wait_until(|| Ok(host.actual() == 100))?;
                host.device.set_config(NUM_PAGES, 0);
                host.device.config_changed(context);
                let chain = host.wait_for(DEFLATE)?;
                host.device.finish(chain, 0, context);
                host.wait_until(|| Ok(host.actual() == 0))?;
            }
        }
        Ok(())
    }

    /// A configuration that is something else each time it is read.
    #[test]
    fn a_configuration_that_flickers() -> Result {
        let host = Host::new(Choice::default(), everything())?;
        host.device.set_eager(1 << INFLATE | 1 << DEFLATE);
        host.device.set_defects(|defects| defects.flickers = 20);
        for _ in 0..10 {
            host.device.config_changed(Context::Interrupt);
            host.device.wait_until(20, || Ok(false)).unwrap_or(());
        }
        host.device.set_defects(|defects| defects.flickers = 0);
        host.set_target(10);
        host.wait_until(|| Ok(host.actual() == 10))
    }
}
