# SPDX-License-Identifier: GPL-2.0
"""What a guest consists of, and the QEMU arguments for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tools.guest.platform import X86_64, Platform

# The hot-pluggable balloon's id in QMP.
BALLOON_ID = "balloon0"


@dataclass(frozen=True)
class Balloon:
    """A virtio-balloon-pci device."""

    free_page_hint: bool = True
    free_page_reporting: bool = False
    deflate_on_oom: bool = False
    page_poison: bool = True
    # The free page bitmap, which only the patched QEMU has.
    bitmap: bool = False
    # What a migration asks for with it: blocks of 2^order pages, and which caches are to be
    # dropped first (none, page-cache, slab, all).
    bitmap_order: int = 9
    bitmap_caches: str = "none"
    # Behind a pcie-root-port, so that it can be unplugged.
    hotplug: bool = False
    # There from the start; else only its port is (tools/guest/guest.py, plug_balloon()).
    plugged: bool = True
    # Further properties of QEMU's device.
    more: Mapping[str, str | bool | int] = field(default_factory=dict)

    def properties(self) -> dict[str, str | bool | int]:
        """The device, as QMP's device_add takes it."""
        # ioeventfd=off: an eventfd merges notifications that follow each other closely, and
        # then the host cannot count them (tools/guest/trace.py). All drivers get the same.
        properties: dict[str, str | bool | int] = {
            "driver": "virtio-balloon-pci",
            "id": BALLOON_ID,
            "ioeventfd": False,
            "free-page-hint": self.free_page_hint,
            "free-page-reporting": self.free_page_reporting,
            "deflate-on-oom": self.deflate_on_oom,
            "page-poison": self.page_poison,
        }
        if self.free_page_hint:
            properties["iothread"] = "hint"
        if self.bitmap:
            properties["free-page-bitmap"] = True
            properties["free-page-bitmap-order"] = self.bitmap_order
            properties["free-page-bitmap-caches"] = self.bitmap_caches
        if self.hotplug:
            properties["bus"] = "port0"
        return {**properties, **self.more}

    def arguments(self) -> list[str]:
        arguments = []
        if self.free_page_hint:
            arguments += ["-object", "iothread,id=hint"]
        if self.hotplug:
            # No hot-plug of the port's own: it is ACPI that QEMU offers for it on this machine.
            arguments += ["-device", "pcie-root-port,id=port0,chassis=1,slot=1"]
        if self.plugged:
            arguments += ["-device", json.dumps(self.properties())]
        return arguments


@dataclass(frozen=True)
class Machine:
    kernel: Path
    platform: Platform = X86_64
    modules: Mapping[str, Path] = field(default_factory=dict)
    memory_mib: int = 1024
    cpus: int = 2
    numa_nodes: int = 1
    # Whether the kernel is built with KASAN.
    kasan: bool = False
    balloon: Balloon | None = field(default_factory=Balloon)
    # A raw file that is the guest's /dev/vda; it has to be there.
    disk: Path | None = None
    # Raw files that are further disks, not to be written to; the same file may be there twice.
    read_only_disks: tuple[Path, ...] = ()
    # Whether it is the patched QEMU, or may be the distribution's.
    patched: bool = False
    # Re-arms dirty tracking as late as KVM may (test-only, in the patched QEMU).
    late_rearming: bool = False
    # Whether the guest's clock counts instructions: it goes on by 1 ns with each, and all CPUs
    # take turns in one thread of QEMU.
    icount: bool = False
    # Whether a guest that reboots starts again; else QEMU ends then.
    reboot: bool = False
    # Added to the guest's kernel command line.
    append: tuple[str, ...] = ()
    # Added to QEMU's.
    extra: tuple[str, ...] = ()
    # Trace events of QEMU beside those of trace.py, for a test that looks for them in the log.
    trace: tuple[str, ...] = ()
    # Seconds from start until the guest is killed, whatever it does.
    deadline: float = 240.0

    @property
    def qemu(self) -> str:
        """The name of the variable that has the QEMU for this machine (tools/guest/paths.py)."""
        with_bitmap = self.balloon is not None and self.balloon.bitmap
        needs_patched = self.patched or self.late_rearming or with_bitmap
        return "QEMU_PATCHED" if needs_patched else self.platform.qemu

    def arguments(self, initramfs: Path) -> list[str]:
        """The part of the command line that source and destination share."""
        command_line = [
            f"console={self.platform.serial}0",
            "loglevel=7",
            "panic=-1",
            "rdinit=/init",
            "random.trust_cpu=on",
            *self.platform.append,
            # Test suites run only where a test asks for them; the later word wins.
            "kunit.enable=0",
            *self.append,
        ]
        accelerator = f"tcg,thread={'single' if self.icount else 'multi'}"
        if self.late_rearming:
            accelerator += ",x-late-dirty-rearming=on"
        arguments = [
            "-nodefaults",
            "-no-user-config",
            "-display", "none",
            "-accel", accelerator,
            # With page tables of five levels, an interrupt at the wrong moment of the boot makes
            # KASAN take a good address for a wild one: the kernel is just finding out what its
            # CPU can do.
            "-cpu", "max,la57=off" if self.kasan else self.platform.cpu,
            # A socket each: CPUs of one socket on different nodes make the kernel warn.
            "-smp", f"{self.cpus},sockets={self.cpus},cores=1,threads=1",
            "-m", f"{self.memory_mib}M",
            "-kernel", str(self.kernel),
            "-initrd", str(initramfs),
            "-append", " ".join(command_line),
        ]  # fmt: skip
        arguments += self._memory()
        if self.icount:
            # Without sleep=off an idle guest waits for as long as it wants to.
            arguments += ["-icount", "shift=0,sleep=on"]
        if not self.reboot:
            arguments += ["-no-reboot"]
        if self.disk:
            arguments += self._disk("disk0", self.disk)
        for number, path in enumerate(self.read_only_disks, 1):
            arguments += self._disk(f"disk{number}", path, read_only=True)
        if self.balloon:
            arguments += self.balloon.arguments()
        return [*arguments, *self.extra]

    def _disk(self, name: str, path: Path, read_only: bool = False) -> list[str]:
        file = {"driver": "file", "filename": str(path), "read-only": read_only}
        blockdev = {"driver": "raw", "node-name": name, "read-only": read_only, "file": file}
        # One queue, so that it is only the balloon that has a fourth (tools/guest/trace.py).
        return [
            "-blockdev", json.dumps(blockdev),
            "-device", f"virtio-blk-pci,drive={name},num-queues=1",
        ]  # fmt: skip

    def _memory(self) -> list[str]:
        machine = self.platform.machine
        if self.numa_nodes == 1:
            backend = f"memory-backend-ram,id=ram0,size={self.memory_mib}M,reserve=off"
            return ["-object", backend, "-machine", f"{machine},memory-backend=ram0"]
        arguments = ["-machine", machine]
        each = self.memory_mib // self.numa_nodes
        for node in range(self.numa_nodes):
            cpus = [f",cpus={cpu}" for cpu in range(self.cpus) if cpu % self.numa_nodes == node]
            arguments += [
                "-object", f"memory-backend-ram,id=ram{node},size={each}M,reserve=off",
                "-numa", f"node,nodeid={node},memdev=ram{node}" + "".join(cpus),
            ]  # fmt: skip
        return arguments
