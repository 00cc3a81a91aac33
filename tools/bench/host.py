# SPDX-License-Identifier: GPL-2.0
"""What it was measured on and with."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Any

from tools.guest import paths, qemu_version


def describe() -> dict[str, Any]:
    tree = paths.tree("plain")
    config = _text(tree / ".config")
    return {
        "cpu": _found(r"^model name\s*: (.*)$", _text(Path("/proc/cpuinfo"))),
        "cores": os.cpu_count(),
        "host_kernel": platform.release(),
        "guest_kernel": _text(tree / "include/config/kernel.release").strip(),
        "qemu": qemu_version.read(paths.lookup("QEMU_PATCHED")),
        "accelerator": "tcg",
        "rustc": _found(r'^CONFIG_RUSTC_VERSION_TEXT="(.*)"$', config),
        "clang": _found(r'^CONFIG_CC_VERSION_TEXT="(.*)"$', config),
    }


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    return match[1].strip() if match else "unknown"
