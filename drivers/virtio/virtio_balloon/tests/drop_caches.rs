// SPDX-License-Identifier: GPL-2.0

//! Dropping caches for the free page bitmap.

use kernel::prelude::*;

use super::{
    bitmap::{
        bitmap,
        choice,
        Desk,
        Head,
        Request,
        FINISHED, //
    },
    host::{
        ensure,
        same,
        Host, //
    },
};
use crate::policy::testing::Choice;

// What became of the caches.
const NONE: u8 = 0;
const DROPPED: u8 = 1;
const REFUSED: u8 = 2;
const TOO_SOON: u8 = 3;
const FAILED: u8 = 5;

/// Without it there is nothing in the kernel that drops caches.
const CAN_DROP: bool = cfg!(CONFIG_SYSCTL);

fn allowing(drop_caches: u32, drop_caches_interval_s: u32) -> Choice {
    Choice {
        drop_caches,
        drop_caches_interval_s,
        ..choice()
    }
}

/// Asks to have caches dropped, and returns what became of it.
fn ask(desk: &mut Desk<'_>, id: u32, caches: u8) -> Result<Head> {
    let mut request = Request::all(id, 9);
    request.caches = caches;
    desk.ask(request)?;
    let head = desk.read()?;
    same(head.status, FINISHED, "the request goes on in any case")?;
    Ok(head)
}

#[kunit_tests(rust_virtio_balloon_mock_drop_caches)]
mod tests {
    use super::*;

    #[test]
    fn as_far_as_it_is_allowed() -> Result {
        for allowed in 0..=3u8 {
            let host = Host::new(allowing(u32::from(allowed), 0), bitmap())?;
            let mut desk = Desk::new(&host);
            for wanted in 0..=3u8 {
                let head = ask(&mut desk, 1 + u32::from(wanted), wanted)?;
                let tried = wanted & allowed;
                let dropped = if CAN_DROP { tried } else { 0 };
                same(head.caches, dropped, "what was dropped")?;
                let result = match (wanted, tried) {
                    (0, _) => NONE,
                    (_, 0) => REFUSED,
                    _ if !CAN_DROP => FAILED,
                    (wanted, tried) if wanted == tried => DROPPED,
                    _ => REFUSED,
                };
                same(head.caches_result, result, "what became of it")?;
                if dropped == 0 {
                    same(head.dropped, 0u64, "pages")?;
                }
            }
        }
        Ok(())
    }

    /// Whatever the host does to its device.
    #[test]
    fn not_too_often() -> Result {
        let host = Host::new(allowing(3, 0), bitmap())?;
        let head = ask(&mut Desk::new(&host), 1, 1)?;
        let result = if CAN_DROP { DROPPED } else { FAILED };
        same(head.caches_result, result, "the first time")?;
        drop(host);
        for _ in 0..2 {
            let host = Host::new(allowing(3, 3600), bitmap())?;
            let mut desk = Desk::new(&host);
            for caches in 1..=3 {
                let head = ask(&mut desk, u32::from(caches), caches)?;
                same(head.caches_result, TOO_SOON, "too soon")?;
                ensure((head.caches, head.dropped) == (0, 0), "nothing was dropped")?;
            }
            same(ask(&mut desk, 9, 0)?.caches_result, NONE, "none")?;
        }
        Ok(())
    }
}
