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

    @property
    def sysfs(self) -> str:
        return f"/sys/bus/virtio/drivers/{self.module.removesuffix('.ko')}"

    def load(self, guest: Guest) -> None:
        guest.insmod(self.module, self.parameters)

    def unload(self, guest: Guest) -> None:
        guest.agent.run(f"rmmod {self.module.removesuffix('.ko')}")


# Without hinting the guest still has a balloon with a driver, so that only hinting differs.
NONE = Driver("none", C_MODULE, hint=False)
C = Driver("c", C_MODULE)
HOLD = Driver("rust-hold", RUST_MODULE, "free_page_hint=1")
WALK = Driver("rust-walk", RUST_MODULE, "free_page_hint=2")
ALL = {driver.name: driver for driver in (NONE, C, HOLD, WALK)}


# The variable that names our module. For the kasan kernel there is only one with KUnit suites,
# which do not run unless asked for.
_OURS = {"plain": "MODULE", "check": "MODULE_CHECK", "kasan": "MODULE_KASAN_KUNIT"}


def modules(flavour: str = "check", rust: bool = True) -> dict[str, Path]:
    """The modules for that guest kernel: the C driver and, unless `rust` is off, ours."""
    found = {C_MODULE: paths.c_driver(paths.tree(flavour))}
    if rust:
        found[RUST_MODULE] = paths.lookup(_OURS[flavour])
    return found


def rebind(guest: Guest, old: Driver, new: Driver) -> None:
    """Takes the balloon from one driver and gives it to another; both are loaded."""
    (device,) = guest.balloons()
    guest.agent.write(f"{old.sysfs}/unbind", device)
    guest.agent.write(f"{new.sysfs}/bind", device)


def counters(guest: Guest, path: str = HINTING) -> dict[str, int | str]:
    """What the Rust driver counted, for hinting by default (`name: value` lines in debugfs)."""
    values: dict[str, int | str] = {}
    for line in guest.agent.run(f"cat {path}").splitlines():
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
