# SPDX-License-Identifier: GPL-2.0
"""Runs builds and tests with a deadline, and leaves nothing of them behind."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
# How long pytest may take to end its guests, and make its compilers.
_GRACE_S = 30.0
# What make hands down would change what another make does; paths that are set in the environment
# would lead to modules without the fault.
_NOT_OURS = {"MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "ARGS", "MUTANTS"} | {
    "MODULE", "MODULE_CHECK", "MODULE_CHECK_KUNIT"
}  # fmt: skip


class TooLong(Exception):
    """It was not over in time, and was ended."""


def run(
    command: list[str], directory: Path, log: Path, deadline: float, **variables: str
) -> int:
    """Runs a command to its end and returns its exit status. Its output goes to `log`."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env={**_environment(os.environ), **variables},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # A group of its own, so that an interrupt of ours does not reach half of it.
            start_new_session=True,
            preexec_fn=_end_with_parent,  # noqa: PLW1509 (does nothing but one system call)
        )
    try:
        return process.wait(deadline)
    except subprocess.TimeoutExpired:
        raise TooLong(f"not over after {deadline:.0f} s") from None
    finally:
        _end(process)


def _environment(ours: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in ours.items() if name not in _NOT_OURS}


def _end_with_parent() -> None:
    # Runs in the child before exec: SIGINT, after which pytest still ends its guests.
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGINT)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the whole group, if it is not over."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
