# SPDX-License-Identifier: GPL-2.0
"""What is migrated to and fro: which driver, with which order of dirty tracking in QEMU."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tools.guest import drivers
from tools.guest.drivers import Driver

# Hints without holding, down to single pages and a page at a time: as long on the way as can be.
_WALK = replace(
    drivers.WALK, parameters="free_page_hint=2 free_page_hint_order=0 free_page_walk_batch=1"
)
_HOLD = replace(drivers.HOLD, parameters="free_page_hint=1 free_page_hint_order=0")
_ISOLATE = replace(drivers.ISOLATE, parameters="free_page_hint=3 free_page_hint_order=0")
_BITMAP = replace(drivers.BITMAP_DROP, order=0)
DRIVERS = {driver.name: driver for driver in (_BITMAP, _HOLD, _WALK, _ISOLATE)}
REARMING = ("late", "early")
# The guests' kernels.
FLAVOURS = ("plain", "patched", "check")


@dataclass(frozen=True)
class Case:
    driver: Driver
    # Whether dirty tracking is armed again only when a page's turn comes, as with KVM.
    late: bool

    @property
    def name(self) -> str:
        return f"{self.driver.name}-{'late' if self.late else 'early'}"

    @property
    def may_lose(self) -> bool:
        """Whether the host does not guarantee what the driver relies on: pages are then lost."""
        return self.late and self.driver.name == drivers.WALK.name


def work_on(flavour: str) -> list[str]:
    """The drivers that such a kernel has all for."""
    return [name for name in DRIVERS if flavour != "plain" or name != drivers.ISOLATE.name]


def choose(names: tuple[str, ...], rearming: tuple[str, ...]) -> list[Case]:
    return [Case(DRIVERS[name], when == "late") for name in names for when in rearming]
