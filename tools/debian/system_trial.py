# SPDX-License-Identifier: GPL-2.0
"""A system of Debian with our module installed boots.

    python -m tools.debian.system_trial DIRECTORY RELEASE

DIRECTORY is what system-image.sh made. The system is booted twice: as it is, and with an initramfs
that has loaded the C driver. Each time udev alone has to see to it that our driver has the device;
then it is given back and taken by hand, the other one is chosen, and ours again. What the system
says is on its serial port.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import time
from pathlib import Path

from tools.guest import console, paths

LOGS = paths.LOGS / "debian"
# Debian's whole boot, without KVM.
DEADLINE_S = 1200
C, RUST = "virtio_balloon", "virtio_balloon_rs"
_LINE = re.compile(r"trial: (\w[\w ]*): ?(.*?)\r?$", re.MULTILINE)


def _arguments(directory: Path, initramfs: str, disk: Path, log: Path) -> list[str]:
    append = "root=/dev/vda rw console=ttyS0 loglevel=7 panic=-1 no_timer_check"
    return [
        str(paths.lookup("QEMU")),
        "-nodefaults", "-no-user-config", "-no-reboot",
        "-display", "none",
        "-machine", "q35",
        "-accel", "tcg,thread=multi",
        "-cpu", "max",
        "-smp", "2",
        "-m", "1G",
        "-kernel", str(directory / "vmlinuz"),
        "-initrd", str(directory / initramfs),
        "-append", append,
        "-drive", f"file={disk},format=raw,if=none,id=disk",
        "-device", "virtio-blk-pci,drive=disk",
        "-object", "iothread,id=hint",
        "-device", "virtio-balloon-pci,free-page-hint=on,iothread=hint,free-page-reporting=on",
        "-serial", f"file:{log}",
    ]  # fmt: skip


def _boot(directory: Path, initramfs: str) -> dict[str, str]:
    log = LOGS / f"system-{initramfs}.console.log"
    disk = directory / "disk.now"
    shutil.copy(directory / "disk", disk)
    qemu = subprocess.Popen(_arguments(directory, initramfs, disk, log), stdin=subprocess.DEVNULL)
    try:
        end = time.monotonic() + DEADLINE_S
        while qemu.poll() is None and time.monotonic() < end:
            time.sleep(0.5)
    finally:
        qemu.kill()
        qemu.wait()
        disk.unlink()
    text = log.read_text(errors="replace")
    said = dict(_LINE.findall(text))
    assert "trial: end" in text, f"{initramfs}: it did not get to the end\n{console.tail(log, 30)}"
    console.check([log])
    return said


def _check(initramfs: str, said: dict[str, str], release: str) -> None:
    # The first one that was loaded has had the device at first.
    assert said["loaded"].split()[0] == (C if initramfs == "early" else RUST), said
    there = f"{RUST}: there for {release}"
    assert said["boot"] == f"virtio1: {RUST} chosen: {RUST} {there}", said
    # By hand, and udev does not undo it.
    assert said["give"] == f"virtio1: {C} chosen: {RUST} {there}", said
    assert said["take"] == f"virtio1: {RUST} chosen: {RUST} {there}", said
    assert said["c"] == f"virtio1: {C} chosen: {C} {there}", said
    assert said["rust"] == f"virtio1: {RUST} chosen: {RUST} {there}", said
    assert said["problems"] == "0", said
    print(f"  {'debian system':<16} {initramfs} initramfs: ours has the device, the C driver,"
          " ours again", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="tools.debian.system_trial", description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("release")
    given = parser.parse_args()
    LOGS.mkdir(parents=True, exist_ok=True)
    for initramfs in ("plain", "early"):
        _check(initramfs, _boot(given.directory, initramfs), given.release)


if __name__ == "__main__":
    main()
