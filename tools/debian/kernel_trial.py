# SPDX-License-Identifier: GPL-2.0
"""A kernel of Debian, as it is, and our module.

    python -m tools.debian.kernel_trial KERNEL MODULE C_MODULE

The guest has our own small user space (tools/guest). The module is loaded beside the C driver,
takes the device from it, fills the balloon, answers a request for hints, and is unloaded; the
kernel's log has to be clean.
"""

from __future__ import annotations

import argparse
import lzma
import shutil
import tempfile
from pathlib import Path

from tools.guest import balloon, console, drivers, hinting, paths
from tools.guest.guest import Guest
from tools.guest.machine import Balloon, Machine

MEMORY_MIB = 1024
REMAINING_MIB = 512
LOGS = paths.LOGS / "debian"


def _say(what: str) -> None:
    print(f"  {'debian kernel':<16} {what}", flush=True)


def _uncompressed(module: Path, directory: Path) -> Path:
    """The kernel's modules are compressed; busybox loads them as they are."""
    if module.suffix != ".xz":
        return module
    target = directory / module.stem
    target.write_bytes(lzma.decompress(module.read_bytes()))
    return target


def _try(guest: Guest) -> None:
    _say(f"booted {guest.agent.run('uname -r').strip()}")
    drivers.C.load(guest)
    drivers.HOLD.load(guest)
    first = drivers.bound(guest)
    assert first == "virtio_balloon", "the C driver was first, and has not the device"
    drivers.rebind(guest, drivers.C, drivers.HOLD)
    assert drivers.bound(guest) == "virtio_balloon_rs"
    _say("taken from the C driver")

    total = guest.agent.meminfo()["MemTotal"]
    balloon.inflate_to(guest, REMAINING_MIB)
    pages = balloon.inflated_pages(guest)
    assert pages == (MEMORY_MIB - REMAINING_MIB) * 256, pages
    assert guest.agent.meminfo()["MemTotal"] == total - 4 * pages
    balloon.deflate_all(guest)
    assert guest.agent.meminfo()["MemTotal"] == total
    _say(f"inflated by {pages // 256} MiB, and deflated")

    traffic = hinting.one_round(guest)
    assert traffic.segments > 0, "no hints"
    _say(f"one request for hints: {traffic.segments} blocks of free memory")

    drivers.HOLD.unload(guest)
    drivers.C.unload(guest)
    # That it is not one of the kernel's own is all that the kernel has to say against it.
    tainted = int(guest.agent.read("/proc/sys/kernel/tainted"))
    assert tainted & ~((1 << 12) | (1 << 13)) == 0, f"tainted: {tainted}"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="tools.debian.kernel_trial", description=__doc__.splitlines()[0]
    )
    parser.add_argument("kernel", type=Path)
    parser.add_argument("module", type=Path)
    parser.add_argument("c_module", type=Path)
    given = parser.parse_args()
    shutil.rmtree(LOGS, ignore_errors=True)
    LOGS.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as directory:
        machine = Machine(
            kernel=given.kernel,
            modules={
                drivers.RUST_MODULE: given.module,
                drivers.C_MODULE: _uncompressed(given.c_module, Path(directory)),
            },
            memory_mib=MEMORY_MIB,
            balloon=Balloon(),
            # A kernel with everything in it takes its time.
            deadline=900.0,
        )
        guest = Guest(machine, LOGS, "kernel")
        try:
            guest.boot(600.0)
            _try(guest)
        finally:
            guest.stop()
    console.check([guest.console_log])
    _say("its log is clean")


if __name__ == "__main__":
    main()
