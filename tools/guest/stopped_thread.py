# SPDX-License-Identifier: GPL-2.0
"""Stops one thread of a QEMU process, so that the rest of it gets ahead of that one."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

from tools.guest.errors import ToolError
from tools.guest.guest import Guest

_PTRACE_DETACH = 17
_PTRACE_SEIZE = 0x4206
_PTRACE_INTERRUPT = 0x4207
_WALL = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


def _ptrace(request: int, thread: int) -> None:
    if _LIBC.ptrace(ctypes.c_long(request), ctypes.c_long(thread), None, None) == -1:
        why = os.strerror(ctypes.get_errno())
        raise ToolError(f"ptrace of QEMU's thread {thread}: {why}; a debugger must be allowed here")


@contextmanager
def stopped_iothread(guest: Guest, name: str = "hint") -> Iterator[None]:
    """The host takes nothing from the balloon's free page queue until the end of the block.

    A signal would stop all threads, the guest's CPUs included; a debugger stops one.
    """
    threads = guest.monitor.command("query-iothreads")
    (thread,) = (found["thread-id"] for found in threads if found["id"] == name)
    with _stopped(thread):
        yield


@contextmanager
def stopped_main_loop(guest: Guest) -> Iterator[None]:
    """The host does nothing but let the guest run and send its memory, until the end of the block.

    QEMU's monitor does not answer meanwhile.
    """
    with _stopped(guest.pid):
        yield


@contextmanager
def _stopped(thread: int) -> Iterator[None]:
    _ptrace(_PTRACE_SEIZE, thread)
    try:
        _ptrace(_PTRACE_INTERRUPT, thread)
        os.waitpid(thread, _WALL)
        yield
    finally:
        _ptrace(_PTRACE_DETACH, thread)
