# SPDX-License-Identifier: GPL-2.0
"""Takes the patches from the mails, as somebody who gets them would."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from tools.series.model import SeriesError

_FILES = re.compile(r"^(?:---|\+\+\+) [ab]/(\S+)$", re.M)


def touched(patch: Path) -> list[str]:
    """The files that a patch changes, adds or removes."""
    return sorted(set(_FILES.findall(patch.read_text())))


def apply(patch: Path, tree: Path) -> None:
    """Applies a patch. What it changes is written anew: the file may have other names (links)."""
    done = subprocess.run(
        ["git", "apply", "--whitespace=error-all", str(patch.resolve())],
        cwd=tree,
        env={**os.environ, "GIT_CEILING_DIRECTORIES": str(tree.parent), "GIT_DIR": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SeriesError(f"{patch.name} does not apply to {tree}: {done.stderr.strip()}")


def copy_touched(patches: list[Path], kernel: Path, tree: Path) -> None:
    """A tree with nothing but the kernel's files that the patches touch."""
    for path in sorted({path for patch in patches for path in touched(patch)}):
        if (kernel / path).exists():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(kernel / path, tree / path)
