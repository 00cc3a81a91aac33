# SPDX-License-Identifier: GPL-2.0
"""Debian's kernel, booted by firmware with Secure Boot, and a module that we have signed.

    python -m tools.debian.secure_boot_trial DIRECTORY MODULE SIGNED_MODULE

DIRECTORY is what secure-boot.sh made. The kernel has to be locked down by itself; it refuses
MODULE, which has no signature, and loads SIGNED_MODULE, whose key the firmware knows.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import dataclass
from pathlib import Path

from tools.guest import console, drivers, hinting, paths
from tools.guest.guest import Guest
from tools.guest.initramfs import MODULES
from tools.guest.machine import Machine

LOGS = paths.LOGS / "debian"
LOCKDOWN = "/sys/kernel/security/lockdown"
UNSIGNED = "unsigned.ko"


def _say(what: str) -> None:
    print(f"  {'secure boot':<16} {what}", flush=True)


@dataclass(frozen=True)
class SecureMachine(Machine):
    """With firmware that keeps its variables from the system, which takes SMM."""

    def arguments(self, initramfs: Path) -> list[str]:
        arguments = super().arguments(initramfs)
        arguments[arguments.index("-machine") + 1] += ",smm=on"
        return arguments


def _flash(unit: int, file: Path, options: str = "") -> tuple[str, str]:
    return "-drive", f"if=pflash,unit={unit},format=raw,file={file}{options}"


def _try(guest: Guest) -> None:
    guest.boot(600.0)
    guest.agent.run("mount -t securityfs securityfs /sys/kernel/security")
    assert "[integrity]" in guest.agent.read(LOCKDOWN), guest.agent.read(LOCKDOWN)
    _say("Debian's kernel is locked down")
    code, output = guest.agent.try_run(f"insmod {MODULES}/{UNSIGNED}")
    assert code and "Key was rejected by service" in output, output
    guest.wait_for_log("Loading of unsigned module is rejected")
    drivers.HOLD.load(guest)
    assert drivers.bound(guest) == "virtio_balloon_rs"
    assert hinting.one_round(guest).segments > 0, "no hints"
    # Not part of the kernel, but signed.
    tainted = int(guest.agent.read("/proc/sys/kernel/tainted"))
    assert tainted == 1 << 12, f"tainted: {tainted}"
    _say("it refuses the module without a signature, and loads the one with a key that the firmware knows")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="tools.debian.secure_boot_trial", description=__doc__.splitlines()[0]
    )
    parser.add_argument("directory", type=Path)
    parser.add_argument("module", type=Path)
    parser.add_argument("signed_module", type=Path)
    given = parser.parse_args()
    LOGS.mkdir(parents=True, exist_ok=True)
    # The firmware writes to it.
    variables = given.directory / "variables.now"
    shutil.copy(given.directory / "variables", variables)
    machine = SecureMachine(
        kernel=given.directory / "vmlinuz",
        modules={drivers.RUST_MODULE: given.signed_module, UNSIGNED: given.module},
        extra=(
            *("-global", "driver=cfi.pflash01,property=secure,value=on"),
            *_flash(0, given.directory / "firmware", ",readonly=on"),
            *_flash(1, variables),
        ),
        deadline=900.0,
    )
    guest = Guest(machine, LOGS, "secure-boot")
    try:
        _try(guest)
    finally:
        guest.stop()
        variables.unlink()
    console.check([guest.console_log])
    _say("the kernel's log is clean")


if __name__ == "__main__":
    main()
