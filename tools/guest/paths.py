# SPDX-License-Identifier: GPL-2.0
"""Where the things that guests are made of lie."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path

from tools.guest.errors import ToolError

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
LOGS = BUILD / "logs"
RESULTS = BUILD / "results"

# The guest kernels, and how the names of their variables end.
KERNELS = {
    "plain": "",
    "patched": "_PATCHED",
    "check": "_CHECK",
    "kasan": "_KASAN",
    "arm64": "_ARM64",
    "arm64-64k": "_ARM64_64K",
}

_HINT = {
    "GUEST_KERNEL": "run 'make setup', or set GUEST_KERNEL to a bzImage",
    "GUEST_KERNEL_PATCHED": "run 'make setup-patched', or set GUEST_KERNEL_PATCHED to a bzImage",
    "GUEST_KERNEL_CHECK": "run 'make setup-check', or set GUEST_KERNEL_CHECK to a bzImage",
    "GUEST_KERNEL_KASAN": "run 'make setup-kasan', or set GUEST_KERNEL_KASAN to a bzImage",
    "GUEST_KERNEL_ARM64": "run 'make check-arm64', or set GUEST_KERNEL_ARM64 to an Image",
    "GUEST_KERNEL_ARM64_64K": "run 'make check-arm64', or set GUEST_KERNEL_ARM64_64K to an Image",
    "KDIR": "run 'make setup', or set KDIR to the built tree of the guest kernel",
    "KDIR_PATCHED": "run 'make setup-patched', or set KDIR_PATCHED to the built patched kernel",
    "KDIR_CHECK": "run 'make setup-check', or set KDIR_CHECK to the built check kernel",
    "KDIR_KASAN": "run 'make setup-kasan', or set KDIR_KASAN to the built kasan kernel",
    "KDIR_ARM64": "run 'make check-arm64', or set KDIR_ARM64 to the built arm64 kernel",
    "KDIR_ARM64_64K": "run 'make check-arm64', or set KDIR_ARM64_64K to that built arm64 kernel",
    "QEMU": "run 'make setup', or set QEMU to a qemu-system-x86_64, 9.0 or newer",
    "QEMU_PATCHED": "run 'make setup', or set QEMU_PATCHED to a QEMU with tools/qemu/patches",
    "QEMU_ARM64": "run 'make check-arm64', or set QEMU_ARM64 to a qemu-system-aarch64 >= 9.1",
    "ROOT_ARM64": "run 'make check-arm64': it unpacks what guests for arm64 take",
    "LLVM_BIN": "run 'make setup', or set LLVM_BIN to the folder with clang and lld",
    "MODULE": "run 'make module', or set MODULE to a virtio_balloon_rs.ko",
    "MODULE_PATCHED": "run 'make module-patched', or set MODULE_PATCHED to that module",
    "MODULE_CHECK": "run 'make module-check', or set MODULE_CHECK to that module",
    "MODULE_CHECK_UNPATCHED": "run 'make module-check-unpatched'",
    "MODULE_CHECK_KUNIT": "run 'make module-check-kunit', or set MODULE_CHECK_KUNIT to that module",
    "MODULE_KASAN_KUNIT": "run 'make module-kasan-kunit', or set MODULE_KASAN_KUNIT to that module",
    "MODULE_ARM64": "run 'make check-arm64', or set MODULE_ARM64 to that module",
    "MODULE_ARM64_KUNIT": "run 'make check-arm64', or set MODULE_ARM64_KUNIT to that module",
    "MODULE_ARM64_64K": "run 'make check-arm64', or set MODULE_ARM64_64K to that module",
    "MODULE_ARM64_64K_KUNIT": "run 'make check-arm64', or set MODULE_ARM64_64K_KUNIT to it",
    "SAMPLES": "run 'make samples', or set SAMPLES to the folder with the modules",
    "SAMPLES_CHECK": "run 'make samples-check', or set SAMPLES_CHECK to the folder with them",
}


@functools.cache
def _from_make(name: str) -> str:
    try:
        done = subprocess.run(
            ["make", "-s", f"print-{name}"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def lookup(name: str) -> Path:
    """The path called `name`: from the environment, else from the Makefile. It must exist."""
    value = os.environ.get(name) or _from_make(name)
    if not value:
        raise ToolError(f"{name} is not there: {_HINT[name]}")
    found = shutil.which(value) if os.sep not in value else None
    path = Path(found) if found else ROOT / value
    if not path.exists():
        raise ToolError(f"{name}={value} does not exist: {_HINT[name]}")
    return path


def kernel(flavour: str) -> Path:
    """The bzImage of that guest kernel."""
    return lookup(f"GUEST_KERNEL{KERNELS[flavour]}")


def tree(flavour: str) -> Path:
    """The tree in which that guest kernel was built."""
    return lookup(f"KDIR{KERNELS[flavour]}")


def c_driver(kdir: Path) -> Path:
    """The kernel's own balloon driver, built with the guest kernel."""
    path = kdir / "drivers/virtio/virtio_balloon.ko"
    if not path.exists():
        raise ToolError(f"{path} does not exist: build KDIR with CONFIG_VIRTIO_BALLOON=m")
    return path
