# SPDX-License-Identifier: GPL-2.0
"""A kernel with the C driver built in: it has the device before anything can be loaded.

What the udev rule does then is `virtio-balloon-driver take DEVICE`; udev itself is not in the guest.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tools.guest import balloon, console, drivers, hinting, installed
from tools.guest.errors import ToolError
from tools.guest.guest import Guest
from tools.guest.machine import Machine

C, RUST = "virtio_balloon", "virtio_balloon_rs"
_INFLATED_MIB = 64


def is_built_in(config: list[str]) -> bool:
    """Whether that is so by the lines of the kernel's configuration."""
    return "CONFIG_VIRTIO_BALLOON=y" in config


def try_out(machine: Machine, logs: Path, module: Path) -> None:
    """There, with memory in the balloon, and back, and there again."""
    modules = {drivers.RUST_MODULE: module, **installed.files()}
    with Guest(replace(machine, modules=modules), logs, "takeover") as guest:
        guest.boot()
        installed.install(guest)
        _has(guest, C)
        guest.agent.run(f"modprobe {RUST}")
        _has(guest, C)
        guest.agent.run(f"rmmod {RUST}")
        # What is in the balloon comes back in between, and goes to the host again.
        rest = machine.memory_mib - _INFLATED_MIB
        balloon.inflate_to(guest, rest)
        (device,) = guest.balloons()
        installed.choose(guest, f"take {device}")
        _has(guest, RUST)
        balloon.wait_for_actual(guest, rest)
        installed.choose(guest, "c")
        _has(guest, C)
        if f"{RUST} " in guest.agent.run("lsmod"):
            raise ToolError("our driver is still loaded though the C driver was chosen")
        balloon.wait_for_actual(guest, rest)
        installed.choose(guest, "rust")
        _has(guest, RUST)
        balloon.wait_for_actual(guest, rest)
    console.check([guest.console_log])


def _has(guest: Guest, driver: str) -> None:
    """This one has the device, and answers a request for hints."""
    if drivers.bound(guest) != driver:
        raise ToolError(f"{drivers.bound(guest)} has the device, not {driver}")
    if not hinting.one_round(guest).segments:
        raise ToolError(f"{driver} hints at nothing")
