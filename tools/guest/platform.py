# SPDX-License-Identifier: GPL-2.0
"""The machines that QEMU plays: what differs between those for x86-64 and for 64-bit Arm."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Platform:
    # What Rust calls the processor.
    processor: str
    # The variable that has QEMU (tools/guest/paths.py).
    qemu: str
    # QEMU's machine and its processor.
    machine: str
    cpu: str
    # The first serial port is the console, the second the agent's.
    serial: str
    # Words of the kernel's command line.
    append: tuple[str, ...] = ()
    # The kernel's pages.
    page_kib: int = 4


X86_64 = Platform(
    processor="x86_64",
    qemu="QEMU",
    machine="q35",
    cpu="max",
    serial="ttyS",
    # On a busy host an interrupt of the timer that comes too late is taken for a broken one.
    append=("no_timer_check",),
)
ARM64 = Platform(
    processor="aarch64",
    qemu="QEMU_ARM64",
    machine="virt",
    # Signing pointers as the architecture has it takes TCG more time than all the rest.
    cpu="max,pauth-impdef=on",
    serial="ttyAMA",
)
ARM64_64K = replace(ARM64, page_kib=64)

# Guest kernels (tools/guest/paths.py) that are not for x86-64.
_OF_KERNEL = {"arm64": ARM64, "arm64-64k": ARM64_64K}


def of(flavour: str) -> Platform:
    """The machine for that guest kernel."""
    return _OF_KERNEL.get(flavour, X86_64)
