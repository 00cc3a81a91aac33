# SPDX-License-Identifier: GPL-2.0
"""A kernel of Debian, as it is, and our module.

    python -m tools.debian.kernel_trial KERNEL MODULE C_MODULE SIGNED_MODULE

The guest has our own small user space (tools/guest). The module is loaded beside the C driver,
takes the device from it, fills the balloon, answers a request for hints, and is unloaded; the
kernel's log has to be clean. Then the kernel is locked down as with Secure Boot: it refuses our
module, and SIGNED_MODULE, the same with the signature of a key that it does not know.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from tools.debian import kernel_modules
from tools.guest import balloon, console, drivers, hinting, paths
from tools.guest.guest import Guest
from tools.guest.initramfs import MODULES
from tools.guest.machine import Balloon, Machine

MEMORY_MIB = 1024
REMAINING_MIB = 512
LOGS = paths.LOGS / "debian"
SIGNED = "signed.ko"
LOCKDOWN = "/sys/kernel/security/lockdown"
# What the kernel says then of a module without a signature of somebody it knows.
REFUSED = "unsigned module loading is restricted"


def _say(what: str) -> None:
    print(f"  {'debian kernel':<16} {what}", flush=True)


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


def _try_signatures(guest: Guest) -> None:
    """Debian's own key is known, so the C driver shows that it is the signature that counts."""
    guest.agent.run("mount -t securityfs securityfs /sys/kernel/security")
    guest.agent.write(LOCKDOWN, "integrity")
    assert "[integrity]" in guest.agent.read(LOCKDOWN)
    drivers.C.load(guest)
    drivers.C.unload(guest)
    for module in (drivers.RUST_MODULE, SIGNED):
        before = guest.log().count(REFUSED)
        code, output = guest.agent.try_run(f"insmod {MODULES}/{module}")
        assert code and "Operation not permitted" in output, f"{module}: {output}"
        hinting.wait_until(lambda: guest.log().count(REFUSED) > before, f"{module} is refused")
    guest.agent.write("/sys/module/module/parameters/sig_enforce", "Y")
    _, output = guest.agent.try_run(f"insmod {MODULES}/{SIGNED}")
    assert "Key was rejected by service" in output, output
    guest.wait_for_log("Loading of module with unavailable key is rejected")
    _say("locked down it loads what Debian has signed, and not what we have, with a key or without")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="tools.debian.kernel_trial", description=__doc__.splitlines()[0]
    )
    parser.add_argument("kernel", type=Path)
    parser.add_argument("module", type=Path)
    parser.add_argument("c_module", type=Path)
    parser.add_argument("signed_module", type=Path)
    given = parser.parse_args()
    shutil.rmtree(LOGS, ignore_errors=True)
    LOGS.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as directory:
        machine = Machine(
            kernel=given.kernel,
            modules={
                drivers.RUST_MODULE: given.module,
                SIGNED: kernel_modules.uncompressed(given.signed_module, Path(directory)),
                drivers.C_MODULE: kernel_modules.uncompressed(given.c_module, Path(directory)),
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
            _try_signatures(guest)
        finally:
            guest.stop()
    console.check([guest.console_log])
    _say("its log is clean")


if __name__ == "__main__":
    main()
