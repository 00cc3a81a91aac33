# SPDX-License-Identifier: GPL-2.0
"""The kernel's own reclaimable cache that is easy to fill: names that were looked up in vain."""

from __future__ import annotations

from tools.guest.guest import Guest


def fill(guest: Guest, names: int = 20_000) -> None:
    """Looks names up that were not looked up before.

    The kernel keeps what was used a second time when it drops its caches once, and forgets that
    use; so all that there is goes first, for good.
    """
    guest.agent.run(
        "for i in 1 2 3; do echo 2 > /proc/sys/vm/drop_caches; done;"
        f" i=0; while [ $i -lt {names} ]; do [ -e /sys/kernel/$i ]; i=$((i + 1)); done",
        120,
    )


def unused_names(guest: Guest) -> int:
    """How many names are cached that nobody uses."""
    return int(guest.agent.read("/proc/sys/fs/dentry-state").split()[1])
