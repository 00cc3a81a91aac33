// SPDX-License-Identifier: GPL-2.0

//! The kernel moves pages of the balloon.

use kernel::{
    mm::OomHandler,
    prelude::*,
    virtio::Feature, //
};

use super::{
    host::{
        ensure,
        offering,
        same,
        with_rings,
        with_size,
        Host,
        DEFLATE,
        INFLATE,
        RINGS, //
    },
    inflate::{
        resize,
        serve,
        Inside, //
    },
};
use crate::{
    moving::testing::move_page,
    page_buffer::MAX_PAGES,
    policy::testing::Choice, //
};

/// Has a page of the balloon moved.
fn move_one(host: &Host) -> Result<Result> {
    host.with(|balloon| move_page(&balloon.resizing.0))
}

/// Returns a host whose deflate queue is full, with what is in the balloon then. The driver's work
/// has nothing to do, whatever the size.
fn no_room(kind: &[Feature]) -> Result<(Host, Inside, u32)> {
    // CAST: A small constant.
    const FREED: u32 = MAX_PAGES as u32;
    const PAGES: u32 = FREED + 40;
    let setup = with_size(with_rings(offering(&[]), kind, 128), DEFLATE, 1);
    let host = Host::new(Choice::default(), setup)?;
    let mut inside = Inside::new()?;
    resize(&host, &mut inside, PAGES)?;
    host.device.settle();
    let freed = host.with(|balloon| balloon.resizing.free_pages())?;
    same(freed, 0usize, "pages that the host gave back in time")?;
    host.device.settle();
    Ok((host, inside, PAGES - FREED))
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

    /// The old page goes when the host has made room for it, and the next move is like any other.
    #[test]
    fn no_room_for_the_old_page() -> Result {
        for kind in [RINGS[0], RINGS[3]] {
            let (host, mut inside, left) = no_room(kind)?;
            host.device.set_eager(1 << INFLATE);
            ensure(move_one(&host)?.is_ok(), "the new page is in the balloon")?;
            host.device.set_eager(0);

            serve(&host, &mut inside, DEFLATE)?;
            same(
                inside.count,
                left,
                "pages that were there, and were not freed",
            )?;
            serve(&host, &mut inside, DEFLATE)?;
            same(inside.count, left - 1, "of them without the old page")?;
            host.device.settle();
            same(
                host.counter(|c| c.migrated.get())?,
                1u32,
                "pages that moved",
            )?;
            same(host.counter(|c| c.pages.get())?, left, "pages inside")?;

            host.device.set_eager(1 << INFLATE | 1 << DEFLATE);
            host.wait_until(|| Ok(move_one(&host)?.is_ok()))?;
            same(
                host.counter(|c| c.migrated.get())?,
                2u32,
                "pages that moved",
            )?;
            host.unbind()?;
        }
        Ok(())
    }

    /// The same for the new page, when it has to go again.
    #[test]
    fn no_room_for_the_new_page() -> Result {
        for kind in [RINGS[0], RINGS[3]] {
            let (host, mut inside, left) = no_room(kind)?;
            ensure(move_one(&host)? == Err(EAGAIN), "it is given up")?;
            serve(&host, &mut inside, INFLATE)?;
            host.device.settle();

            serve(&host, &mut inside, DEFLATE)?;
            same(inside.count, left + 1, "pages, and the new one")?;
            serve(&host, &mut inside, DEFLATE)?;
            same(inside.count, left, "pages without it")?;
            host.device.settle();
            same(
                host.counter(|c| c.migrated.get())?,
                0u32,
                "pages that moved",
            )?;
            same(host.counter(|c| c.pages.get())?, left, "pages inside")?;
            host.unbind()?;
        }
        Ok(())
    }
}
