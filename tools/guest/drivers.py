# SPDX-License-Identifier: GPL-2.0
"""The balloon drivers and modes that can be put into a guest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tools.guest import paths
from tools.guest.guest import Guest

C_MODULE = "virtio_balloon.ko"
RUST_MODULE = "virtio_balloon_rs.ko"
HINTING = "/sys/kernel/debug/virtio_balloon_rs-*/hinting"


@dataclass(frozen=True)
class Driver:
    name: str
    module: str
    parameters: str = ""
    # Whether the device offers free page hinting.
    hint: bool = True

    @property
    def is_rust(self) -> bool:
        return self.module == RUST_MODULE

    def load(self, guest: Guest) -> None:
        guest.insmod(self.module, self.parameters)


# Without hinting the guest still has a balloon with a driver, so that only hinting differs.
NONE = Driver("none", C_MODULE, hint=False)
C = Driver("c", C_MODULE)
HOLD = Driver("rust-hold", RUST_MODULE, "free_page_hint=1")
WALK = Driver("rust-walk", RUST_MODULE, "free_page_hint=2")
ALL = {driver.name: driver for driver in (NONE, C, HOLD, WALK)}


def plain_modules(rust: bool = True) -> dict[str, Path]:
    """The modules for the plain guest kernel."""
    modules = {C_MODULE: paths.c_driver(paths.lookup("KDIR"))}
    if rust:
        modules[RUST_MODULE] = paths.lookup("MODULE")
    return modules


def counters(guest: Guest) -> dict[str, int | str]:
    """What the Rust driver counted for hinting (`name: value` lines in debugfs)."""
    values: dict[str, int | str] = {}
    for line in guest.agent.run(f"cat {HINTING}").splitlines():
        name, separator, text = line.partition(":")
        if not separator:
            continue
        text = text.strip()
        values[name.strip()] = int(text) if text.lstrip("-").isdigit() else text
    return values


def counter(guest: Guest, name: str) -> int:
    value = counters(guest)[name]
    assert isinstance(value, int), f"{name} is {value!r}"
    return value
