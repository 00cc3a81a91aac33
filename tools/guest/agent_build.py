# SPDX-License-Identifier: GPL-2.0
"""Builds the guest agent (`workload/`) once per source and compiler."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

from tools.guest import paths
from tools.guest.errors import ToolError

SOURCE = Path(__file__).resolve().parent / "workload/src"
FLAGS = (
    "--edition=2021",
    "-Dwarnings",
    "-Copt-level=3",
    "-Cpanic=abort",
    "-Cstrip=symbols",
    "-Ctarget-feature=+crt-static",
)


def build() -> Path:
    """The static agent binary."""
    rustc = os.environ.get("RUSTC", "rustc")
    key = hashlib.sha256("\0".join(FLAGS).encode())
    key.update(_run([rustc, "-vV"]).encode())
    for path in sorted(SOURCE.glob("*.rs")):
        key.update(path.name.encode() + b"\0" + path.read_bytes())
    target = paths.BUILD / "guest" / f"agent-{key.hexdigest()[:16]}"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    # Under a name of its own until it is whole, so that a killed build leaves nothing to trust.
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    _run([rustc, *FLAGS, "-o", str(partial), str(SOURCE / "main.rs")])
    partial.replace(target)
    return target


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    except OSError as error:
        raise ToolError(
            f"cannot run {command[0]}: {error}; set RUSTC to a Rust compiler"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"{command[0]} did not end within {error.timeout:.0f} s") from error
    if done.returncode:
        raise ToolError(f"building the guest agent failed:\n{done.stderr}")
    return done.stdout
