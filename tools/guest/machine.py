# SPDX-License-Identifier: GPL-2.0
"""What a guest consists of, and the QEMU arguments for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

# The hot-pluggable balloon's id in QMP.
BALLOON_ID = "balloon0"


@dataclass(frozen=True)
class Balloon:
    """A virtio-balloon-pci device."""

    free_page_hint: bool = True
    free_page_reporting: bool = False
    deflate_on_oom: bool = False
    page_poison: bool = True
    # Behind a pcie-root-port, so that it can be unplugged.
    hotplug: bool = False

    def arguments(self) -> list[str]:
        def switch(value: bool) -> str:
            return "on" if value else "off"

        # ioeventfd=off: an eventfd merges notifications that follow each other closely, and
        # then the host cannot count them (tools/guest/trace.py). All drivers get the same.
        options = [
            "virtio-balloon-pci",
            f"id={BALLOON_ID}",
            "ioeventfd=off",
            f"free-page-hint={switch(self.free_page_hint)}",
            f"free-page-reporting={switch(self.free_page_reporting)}",
            f"deflate-on-oom={switch(self.deflate_on_oom)}",
            f"page-poison={switch(self.page_poison)}",
        ]
        arguments = []
        if self.free_page_hint:
            arguments += ["-object", "iothread,id=hint"]
            options.append("iothread=hint")
        if self.hotplug:
            arguments += ["-device", "pcie-root-port,id=port0,chassis=1,slot=1"]
            options.append("bus=port0")
        return [*arguments, "-device", ",".join(options)]


@dataclass(frozen=True)
class Machine:
    kernel: Path
    modules: Mapping[str, Path] = field(default_factory=dict)
    memory_mib: int = 1024
    cpus: int = 2
    numa_nodes: int = 1
    balloon: Balloon | None = field(default_factory=Balloon)
    # Added to the guest's kernel command line.
    append: tuple[str, ...] = ()
    # Seconds from start until the guest is killed, whatever it does.
    deadline: float = 240.0

    def arguments(self, initramfs: Path) -> list[str]:
        """The part of the command line that source and destination share."""
        command_line = [
            "console=ttyS0",
            "loglevel=7",
            "panic=-1",
            "rdinit=/init",
            "random.trust_cpu=on",
            # Test suites run only where a test asks for them; the later word wins.
            "kunit.enable=0",
            *self.append,
        ]
        arguments = [
            "-nodefaults",
            "-no-user-config",
            "-display", "none",
            "-no-reboot",
            "-accel", "tcg,thread=multi",
            "-cpu", "max",
            # A socket each: CPUs of one socket on different nodes make the kernel warn.
            "-smp", f"{self.cpus},sockets={self.cpus},cores=1,threads=1",
            "-m", f"{self.memory_mib}M",
            "-kernel", str(self.kernel),
            "-initrd", str(initramfs),
            "-append", " ".join(command_line),
        ]  # fmt: skip
        arguments += self._memory()
        if self.balloon:
            arguments += self.balloon.arguments()
        return arguments

    def _memory(self) -> list[str]:
        if self.numa_nodes == 1:
            backend = f"memory-backend-ram,id=ram0,size={self.memory_mib}M,reserve=off"
            return ["-object", backend, "-machine", "q35,memory-backend=ram0"]
        arguments = ["-machine", "q35"]
        each = self.memory_mib // self.numa_nodes
        for node in range(self.numa_nodes):
            cpus = [f",cpus={cpu}" for cpu in range(self.cpus) if cpu % self.numa_nodes == node]
            arguments += [
                "-object", f"memory-backend-ram,id=ram{node},size={each}M,reserve=off",
                "-numa", f"node,nodeid={node},memdev=ram{node}" + "".join(cpus),
            ]  # fmt: skip
        return arguments
