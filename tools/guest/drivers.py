# SPDX-License-Identifier: GPL-2.0
"""The balloon drivers and modes that can be put into a guest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from tools.guest import paths
from tools.guest.guest import Guest
from tools.guest.machine import Balloon

C_MODULE = "virtio_balloon.ko"
RUST_MODULE = "virtio_balloon_rs.ko"
HINTING = "/sys/kernel/debug/virtio_balloon_rs-*/hinting"


@dataclass(frozen=True)
class Driver:
    name: str
    module: str
    parameters: str = ""
    # Whether the device offers free page hinting, and the free page bitmap beside it.
    hint: bool = True
    bitmap: bool = False
    # What the device asks for in a migration if it has the bitmap.
    order: int = 9
    caches: str = "none"

    @property
    def is_rust(self) -> bool:
        return self.module == RUST_MODULE

    @property
    def sysfs(self) -> str:
        return f"/sys/bus/virtio/drivers/{self.module.removesuffix('.ko')}"

    def balloon(self) -> Balloon:
        """The device that this driver is to have."""
        return Balloon(
            free_page_hint=self.hint,
            bitmap=self.bitmap,
            bitmap_order=self.order,
            bitmap_caches=self.caches,
        )

    def load(self, guest: Guest) -> None:
        guest.insmod(self.module, self.parameters)

    def unload(self, guest: Guest) -> None:
        guest.agent.run(f"rmmod {self.module.removesuffix('.ko')}")


# Without hinting the guest still has a balloon with a driver, so that only hinting differs.
NONE = Driver("none", C_MODULE, hint=False)
C = Driver("c", C_MODULE)
HOLD = Driver("rust-hold", RUST_MODULE, "free_page_hint=1")
WALK = Driver("rust-walk", RUST_MODULE, "free_page_hint=2")
# Only on a kernel with our patches.
ISOLATE = Driver("rust-isolate", RUST_MODULE, "free_page_hint=3")
_BITMAP_ON = "free_page_bitmap=1"
BITMAP = Driver("rust-bitmap", RUST_MODULE, _BITMAP_ON, bitmap=True)
BITMAP_FINE = replace(BITMAP, name="rust-bitmap-o0", order=0)
# As often as the host likes, so that no migration is without.
BITMAP_DROP = Driver(
    "rust-bitmap-drop",
    RUST_MODULE,
    f"{_BITMAP_ON} drop_caches=3 drop_caches_interval_s=0",
    bitmap=True,
    caches="all",
)
# Those that any QEMU will do for, and all.
STOCK = {driver.name: driver for driver in (NONE, C, HOLD, WALK, ISOLATE)}
ALL = STOCK | {driver.name: driver for driver in (BITMAP, BITMAP_DROP, BITMAP_FINE)}


# The variable that names our module. For the kasan kernel there is only one with KUnit suites,
# which do not run unless asked for.
_OURS = {
    "plain": "MODULE",
    "patched": "MODULE_PATCHED",
    "check": "MODULE_CHECK",
    "kasan": "MODULE_KASAN_KUNIT",
    "arm64": "MODULE_ARM64",
    "arm64-64k": "MODULE_ARM64_64K",
}


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


def bound(guest: Guest) -> str | None:
    """The name of the driver that has the balloon."""
    (device,) = guest.balloons()
    link = guest.agent.run(f"readlink /sys/bus/virtio/devices/{device}/driver || true").strip()
    return link.rpartition("/")[2] or None


def features(guest: Guest) -> set[int]:
    """The bits of the features that the balloon's driver took."""
    (device,) = guest.balloons()
    text = guest.agent.read(f"/sys/bus/virtio/devices/{device}/features").strip()
    return {bit for bit, taken in enumerate(text) if taken == "1"}


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


def counter(guest: Guest, name: str, path: str = HINTING) -> int:
    value = counters(guest, path)[name]
    assert isinstance(value, int), f"{name} is {value!r}"
    return value
