# SPDX-License-Identifier: GPL-2.0
"""A variant's kernel, and the module for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tools.guest.errors import ToolError
from tools.guest.paths import BUILD, ROOT
from tools.variants.catalogue import Variant

MODULE = "virtio_balloon_rs.ko"


def kernel(variant: Variant, whole: bool) -> None:
    """Builds it, or only as much of it as a module in Rust takes. Its configuration is checked."""
    only = [] if whole else ["--prepare-only"]
    _run("the kernel", ["bash", "tools/setup/kernel.sh", *only, variant.flavour])


def tree(variant: Variant) -> Path:
    done = subprocess.run(
        ["bash", "tools/setup/show.sh", f"KDIR_VARIANT_{variant.name}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ToolError(done.stderr.strip())
    return Path(done.stdout.strip())


def release(variant: Variant) -> str:
    """What the kernel calls itself, as 7.3.4."""
    return (tree(variant) / "include/config/kernel.release").read_text().strip()


def module(variant: Variant, kunit: bool) -> Path:
    """Builds the module with warnings as errors. Without suites it must hold no code that panics."""
    target = "module-variant-kunit" if kunit else "module-variant"
    _run("the module", ["make", target, f"VARIANT={variant.name}"])
    built = BUILD / f"{variant.flavour}{'-kunit' if kunit else ''}" / MODULE
    if not kunit:
        _run("the module", [sys.executable, "tools/checks/panic_free.py", str(built)])
    return built


def samples(variant: Variant) -> None:
    """Builds the samples with warnings as errors."""
    _run("the samples", ["make", "samples-variant", f"VARIANT={variant.name}"])


def _run(what: str, command: list[str]) -> None:
    # Its output is the user's: the error is in it.
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise ToolError(f"{what} failed: {' '.join(command)}")
