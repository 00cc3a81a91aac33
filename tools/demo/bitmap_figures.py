# SPDX-License-Identifier: GPL-2.0
"""What the bitmap said, next to what the guest's kernel knows to be free."""

from __future__ import annotations

import time
from typing import Any

from tools.guest import bitmap, buddy
from tools.guest.guest import Guest


def compare(guest: Guest, order: int) -> dict[str, Any]:
    """A report of its own, before the migration: the guest does next to nothing."""
    before = buddy.free_blocks(guest, order)
    start = time.monotonic()
    last = bitmap.report(guest, order=order)
    took = time.monotonic() - start
    after = buddy.free_blocks(guest, order)
    return {
        "report": {
            "order": order,
            "reports": last["reports"],
            "bits": last["bits"],
            "blocks": last["free-blocks"],
            "bytes": last["free-bytes"],
            "blocks_free_before": before,
            "blocks_free_after": after,
            "ms": round(took * 1000, 1),
        }
    }


def of_migration(source: Guest, destination: Guest) -> dict[str, Any]:
    """What was asked for from the source's start on, and what came of it."""
    account = bitmap.query(source)
    return {
        "bitmap_requests": account["requests"],
        "bitmap_reports": account["reports"],
        "skipped_bytes": bitmap.skipped_bytes(source),
        "dropped_pages": bitmap.counter(destination, "dropped_pages"),
    }
