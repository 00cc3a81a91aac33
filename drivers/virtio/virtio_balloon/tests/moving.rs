// SPDX-License-Identifier: GPL-2.0

//! The kernel moves pages of the balloon.

use kernel::prelude::*;

use super::{
    host::{
        ensure,
        offering,
        same,
        with_rings,
        Host,
        DEFLATE,
        INFLATE,
        RINGS, //
    },
    inflate::{
        resize,
        Inside, //
    },
};
use crate::{
    moving::testing::move_page,
    policy::testing::Choice, //
};

/// Has a page of the balloon moved.
fn move_one(host: &Host) -> Result<Result> {
    host.with(|balloon| move_page(&balloon.resizing.0))
}

#[kunit_tests(rust_virtio_balloon_mock_moving)]
mod tests {
    use super::*;

    /// The host acknowledges the new page when nobody waits any more: it goes again, the old one
    /// stays, and the next move is like any other.
    #[test]
    fn acknowledged_too_late() -> Result {
        const PAGES: u32 = 40;
        for ring in [RINGS[0], RINGS[3]] {
            let host = Host::new(Choice::default(), with_rings(offering(&[]), ring, 128))?;
            resize(&host, &mut Inside::new()?, PAGES)?;
            let migrated = || host.counter(|c| c.migrated.get());
            // It is put off while the driver's work is at it.
            host.device.settle();
            ensure(move_one(&host)? == Err(EAGAIN), "it is given up")?;
            ensure(move_one(&host)? == Err(EAGAIN), "one at a time")?;

            let arriving = host.wait_for(INFLATE)?;
            let new = host.ranges(&arriving)?;
            host.finish(arriving)?;
            let leaving = host.wait_for(DEFLATE)?;
            let undone = host.ranges(&leaving)?;
            same(undone.len(), 1usize, "pages that go again")?;
            ensure(new[..] == undone[..], "it is the one that came")?;
            host.finish(leaving)?;
            host.device.settle();
            same(migrated()?, 0u32, "pages that moved")?;
            same(host.counter(|c| c.pages.get())?, PAGES, "pages inside")?;

            host.device.set_eager(1 << INFLATE | 1 << DEFLATE);
            host.wait_until(|| Ok(move_one(&host)?.is_ok()))?;
            same(migrated()?, 1u32, "pages that moved")?;
            // While it moved it was not counted here, unlike where the kernel moves it.
            host.set_target(PAGES);
            host.wait_until(|| Ok(host.counter(|c| c.pages.get())? == u64::from(PAGES)))?;
            host.unbind()?;
        }
        Ok(())
    }
}
