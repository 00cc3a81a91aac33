# SPDX-License-Identifier: GPL-2.0
"""Reads guests' console logs and finds what must not be there."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from tools.guest.errors import ToolError

_BAD = re.compile(
    r"WARNING:|BUG:|kernel BUG|Call Trace|possible (circular|recursive) locking|"
    r"inconsistent lock state|suspicious RCU usage|KASAN|KCSAN|UBSAN|kmemleak: \d+ new|"
    r"unreferenced object|Oops|[Pp]anic|rcu: INFO|rcu: .*detected stalls|soft lockup|hung task|"
    r"blocked for more than|Bad page|page allocation failure|Out of memory|oom-kill|"
    r"list_(add|del) corruption|memory corruption|general protection fault|segfault|"
    r"sleeping function called|"
    r"ODEBUG|# .*: not ok|^not ok",
    re.MULTILINE,
)
# Said by every boot, and harmless: a list of what to do on a panic, lockdep's own banner.
_FINE = re.compile(r"Kernel command line:|Command line:|panic=-1|Unknown kernel command line")


def problems(path: Path) -> list[str]:
    """The lines of a console log that show that something is wrong."""
    if not path.exists():
        return []
    lines = path.read_text(errors="replace").splitlines()
    return [line for line in lines if _BAD.search(line) and not _FINE.search(line)]


def check(logs: Iterable[Path], allowed: Iterable[str] = ()) -> None:
    """Raises if any log has a problem, except lines that match one of `allowed`."""
    permitted = [re.compile(pattern) for pattern in allowed]
    for path in logs:
        bad = [
            line
            for line in problems(path)
            if not any(pattern.search(line) for pattern in permitted)
        ]
        if bad:
            shown = "\n  ".join(bad[:20])
            raise ToolError(f"the guest's log {path} shows a problem:\n  {shown}")


def tail(path: Path, lines: int = 15) -> str:
    if not path.exists():
        return "(no console log)"
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
