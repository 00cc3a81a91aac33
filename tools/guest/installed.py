# SPDX-License-Identifier: GPL-2.0
"""What is installed beside the module (tools/install), in a guest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tools.guest import paths
from tools.guest.guest import Guest
from tools.guest.initramfs import MODULES

TOOL = "virtio-balloon-driver"
CONF = "virtio-balloon-rs.conf"
RULES = "60-virtio-balloon-rs.rules"
_INSTALL = paths.ROOT / "tools/install"


def files() -> Mapping[str, Path]:
    """For `Machine.modules`."""
    return {TOOL: _INSTALL / f"{TOOL}.sh", CONF: _INSTALL / CONF}


def install(guest: Guest) -> None:
    """Puts the program and the modules where they are to be; modprobe is busybox's."""
    for line in (
        "mkdir -p /usr/sbin /etc/modprobe.d /lib/modules/$(uname -r)",
        f"cp {MODULES}/*.ko /lib/modules/$(uname -r)",
        f"cp {MODULES}/{TOOL} /usr/sbin/{TOOL} && chmod 755 /usr/sbin/{TOOL}",
        "depmod",
    ):
        guest.agent.run(line)


def choose(guest: Guest, arguments: str) -> str:
    """Runs the program; it must succeed."""
    return guest.agent.run(f"/usr/sbin/{TOOL} {arguments}")
