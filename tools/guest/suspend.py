# SPDX-License-Identifier: GPL-2.0
"""Suspends a guest's devices, and nothing else: the kernel's own test of suspend callbacks.

QEMU (10.0, TCG, q35) puts a guest to sleep once. Every further time the guest's kernel goes all
the way through suspend and resume, but QEMU does not stop it in between. So whoever needs a real
suspend to RAM (`Guest.suspend()`) takes a fresh guest, and whoever needs many takes this.

What differs is that QEMU resets all devices when it wakes a guest. The virtio transport resets the
balloon in both: it has no PCI power management that keeps its state (`No_Soft_Reset` is not set).
"""

from __future__ import annotations

from tools.guest.guest import Guest


def cycle_devices(guest: Guest, deadline: float = 60.0) -> None:
    """Freezes the tasks, suspends all devices, and undoes both at once."""
    # The kernel's test waits five seconds in between unless told otherwise.
    guest.agent.run(
        "echo 0 > /sys/module/suspend/parameters/pm_test_delay &&"
        " echo devices > /sys/power/pm_test &&"
        " echo mem > /sys/power/state &&"
        " echo none > /sys/power/pm_test",
        deadline,
    )
