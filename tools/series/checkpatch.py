# SPDX-License-Identifier: GPL-2.0
"""The kernel's checkpatch.pl --strict on the patches."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

# It knows the kernel's own names, like __SetPageOffline(), inside a clone only.
_ALWAYS = ("CAMELCASE",)
# TRACE_EVENT() is a macro that is laid out like a structure, in all the kernel's trace headers.
_TRACE = ("PARENTHESIS_ALIGNMENT", "OPEN_ENDED_LINE")


def complaints(kernel: Path, patch: Path) -> str:
    """What it says about a patch; nothing if it is content."""
    ignored = list(_ALWAYS)
    if "+++ b/include/trace/events/" in patch.read_text():
        ignored += _TRACE
    done = subprocess.run(
        [
            *("perl", str(kernel / "scripts/checkpatch.pl"), f"--root={kernel}", "--strict"),
            *("--no-summary", "--terse", "--show-types", "--quiet", "--ignore", ",".join(ignored)),
            str(patch),
        ],
        # Not there: else it would look for the files in our repository.
        env={**os.environ, "GIT_DIR": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )
    said = (done.stdout + done.stderr).strip()
    return said or (f"checkpatch.pl ended with {done.returncode}" if done.returncode else "")
