# SPDX-License-Identifier: GPL-2.0
"""Live migration between two guests on this host."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from tools.guest import patience
from tools.guest.errors import ToolError
from tools.guest.guest import Guest
from tools.guest.trace import QueueTraffic

# Bytes per second; more than a Unix socket carries, so that it never is the limit.
UNLIMITED = 1 << 40
DOWNTIME_MS = 300
_POLL_S = 0.02
_ENDED = {"completed", "failed", "cancelled"}


@dataclass(frozen=True)
class Result:
    total_ms: int
    downtime_ms: int
    # All that went over the wire for RAM.
    bytes: int
    pages_sent: int
    zero_pages: int
    # Rounds: how often the dirty bitmap was synchronised.
    rounds: int
    traffic: QueueTraffic


def set_limits(source: Guest, bandwidth: int = UNLIMITED, downtime_ms: int = DOWNTIME_MS) -> None:
    source.monitor.command(
        "migrate-set-parameters", max_bandwidth=bandwidth, downtime_limit=downtime_ms
    )


def start(source: Guest, uri: str) -> None:
    source.monitor.command("migrate", uri=uri)


def status(source: Guest) -> dict[str, Any]:
    info = source.monitor.command("query-migrate")
    assert isinstance(info, dict)
    return info


def wait(source: Guest, deadline: float, wanted: set[str] | None = None) -> dict[str, Any]:
    """Returns when the migration's status is one of `wanted` (default: it has ended)."""
    wanted = wanted or _ENDED
    end = patience.until(deadline)
    while True:
        info = status(source)
        if info.get("status") in wanted:
            return info
        if info.get("status") in _ENDED:
            why = info.get("error-desc", "no reason given")
            raise ToolError(f"migration of {source.name} is {info['status']}: {why}")
        if time.monotonic() > end:
            raise ToolError(
                f"migration of {source.name} is still {info.get('status')} after {deadline} s"
            )
        time.sleep(_POLL_S)


def cancel(source: Guest, deadline: float = 30.0) -> dict[str, Any]:
    """Ends a running migration; it may have completed before."""
    source.monitor.command("migrate_cancel")
    return wait(source, deadline)


def listen(destination: Guest) -> str:
    """Makes `destination` accept a migration; returns the address for the source."""
    uri = f"unix:{destination.migration_socket()}"
    destination.monitor.command("migrate-incoming", uri=uri)
    return uri


def migrate(
    source: Guest, destination: Guest, deadline: float = 180.0, bandwidth: int = UNLIMITED
) -> Result:
    """Moves the guest; `destination` was started with `incoming` and runs it afterwards."""
    set_limits(source, bandwidth)
    before = source.hint_traffic()
    start(source, listen(destination))
    result = _completed(source, deadline, before)
    wait_until_running(destination)
    return result


def to_uri(source: Guest, uri: str, deadline: float = 180.0) -> Result:
    """Sends the guest somewhere where nobody runs it; it is stopped afterwards."""
    set_limits(source)
    before = source.hint_traffic()
    start(source, uri)
    return _completed(source, deadline, before)


def _completed(source: Guest, deadline: float, before: QueueTraffic) -> Result:
    info = wait(source, deadline)
    if info["status"] != "completed":
        raise ToolError(f"migration failed: {info.get('error-desc', info['status'])}")
    ram = info["ram"]
    return Result(
        total_ms=info["total-time"],
        downtime_ms=info["downtime"],
        bytes=ram["transferred"],
        pages_sent=ram["normal"],
        zero_pages=ram["duplicate"],
        rounds=ram["dirty-sync-count"],
        traffic=source.hint_traffic() - before,
    )


def wait_until_running(guest: Guest, deadline: float = 30.0) -> None:
    end = patience.until(deadline)
    while not guest.monitor.command("query-status")["running"]:
        if time.monotonic() > end:
            raise ToolError(f"{guest.name} does not run after the migration")
        time.sleep(_POLL_S)
