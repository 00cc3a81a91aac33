# SPDX-License-Identifier: GPL-2.0
"""Builds the guest agent (`workload/`) once per source and compiler."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

from tools.guest import paths
from tools.guest.errors import ToolError
from tools.guest.platform import ARM64, X86_64, Platform

SOURCE = Path(__file__).resolve().parent / "workload/src"
FLAGS = (
    "--edition=2021",
    "-Dwarnings",
    "-Copt-level=3",
    "-Cpanic=abort",
    "-Cstrip=symbols",
    "-Ctarget-feature=+crt-static",
)


def build(platform: Platform = X86_64) -> Path:
    """The static agent binary."""
    rustc = os.environ.get("RUSTC", "rustc")
    flags = (*FLAGS, *(_cross(rustc) if platform.processor == ARM64.processor else ()))
    key = hashlib.sha256("\0".join(flags).encode())
    key.update(_run([rustc, "-vV"]).encode())
    for path in sorted(SOURCE.glob("*.rs")):
        key.update(path.name.encode() + b"\0" + path.read_bytes())
    target = paths.BUILD / "guest" / f"agent-{key.hexdigest()[:16]}"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    # Under a name of its own until it is whole, so that a killed build leaves nothing to trust.
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    _run([rustc, *flags, "-o", str(partial), str(SOURCE / "main.rs")])
    partial.replace(target)
    return target


def _cross(rustc: str) -> tuple[str, ...]:
    """Flags for arm64: its libraries are unpacked, not installed (tools/setup/arm64.sh)."""
    target = "aarch64-unknown-linux-gnu"
    root = paths.lookup("ROOT_ARM64")
    own = Path(_run([rustc, "--print", "sysroot"]).strip())
    # That of rustup may have the library of several targets.
    has = (own / "lib/rustlib" / target / "lib").is_dir()
    return (
        f"--target={target}",
        f"--sysroot={own if has else root / 'usr'}",
        f"-Clinker={paths.lookup('LLVM_BIN') / 'clang'}",
        "-Clink-arg=--target=aarch64-linux-gnu",
        f"-Clink-arg=--sysroot={root}",
        "-Clink-arg=-fuse-ld=lld",
    )


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
