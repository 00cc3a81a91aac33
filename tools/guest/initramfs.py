# SPDX-License-Identifier: GPL-2.0
"""Makes the guest's whole user space: busybox, the agent, an init script and modules.

A guest that migrates cannot have a file system of the host (9p, virtiofs), so it gets none.
"""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from tools.guest import agent_build, cpio, paths
from tools.guest.errors import ToolError
from tools.guest.platform import ARM64, X86_64, Platform

MODULES = "/modules"
_INIT = Path(__file__).resolve().parent / "init.sh"


def _busybox(platform: Platform) -> bytes:
    if platform.processor == ARM64.processor:
        return _busybox_arm64()
    name = os.environ.get("BUSYBOX", "busybox")
    path = shutil.which(name)
    if path is None:
        raise ToolError(f"{name} is not there: install the package busybox-static")
    content = Path(path).read_bytes()
    if b"/lib64/ld-linux" in content:
        raise ToolError(f"{path} is not static: install the package busybox-static")
    return content


def _busybox_arm64() -> bytes:
    root = paths.lookup("ROOT_ARM64")
    # /bin is /usr/bin in newer packages.
    for path in (root / "bin/busybox", root / "usr/bin/busybox"):
        if path.is_file():
            return path.read_bytes()
    raise ToolError(f"{root} has no busybox: remove it, and run 'make check-arm64'")


def build(target: Path, modules: Mapping[str, Path], platform: Platform = X86_64) -> None:
    """Writes an initramfs with `modules` (file name in the guest: file on the host)."""
    archive = cpio.Archive()
    for name in ("bin", "dev", "proc", "sys", "tmp", MODULES.strip("/")):
        archive.directory(name)
    archive.device("dev/console", 5, 1)
    archive.file("init", _INIT.read_bytes(), 0o755)
    archive.file("bin/busybox", _busybox(platform), 0o755)
    archive.file("bin/agent", agent_build.build(platform).read_bytes(), 0o755)
    for name, path in modules.items():
        archive.file(f"{MODULES.strip('/')}/{name}", path.read_bytes())
    target.write_bytes(gzip.compress(archive.finish(), compresslevel=1))
