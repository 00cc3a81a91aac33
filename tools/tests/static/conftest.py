# SPDX-License-Identifier: GPL-2.0
"""What the static checks share: where we are, and how to run what they check.

Nothing here skips: a check that cannot run has failed.
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

# What `make check` hands down; it would change what a make that a test starts does.
MAKE_OWN = {"MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL"}

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def tree() -> Path:
    """The top of the source tree."""
    return Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def run(tree: Path) -> Run:
    """Runs a command at the top of the tree, with changes to the environment as keywords (None removes)."""

    base = {name: value for name, value in os.environ.items() if name not in MAKE_OWN}
    base = {name: value for name, value in base.items() if not name.startswith("VBRS_")}

    def run(*command: str | Path, **changes: str | Path | None) -> subprocess.CompletedProcess[str]:
        env = base | {name: str(value) for name, value in changes.items() if value is not None}
        for name in (name for name, value in changes.items() if value is None):
            env.pop(name, None)
        return subprocess.run(
            [str(word) for word in command],
            cwd=tree,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=1200,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def value(run: Run) -> Callable[[str], str]:
    """What `make -s print-NAME` says."""

    def value(name: str) -> str:
        result = run("make", "-s", f"print-{name}")
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    return value


@pytest.fixture
def fake(tmp_path: Path) -> Callable[[str, str], Path]:
    """Makes a program of a shell script's body, in a directory for the front of PATH."""
    directory = tmp_path / "fake-bin"

    def fake(name: str, body: str) -> Path:
        directory.mkdir(exist_ok=True)
        program = directory / name
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)
        return directory

    return fake


@pytest.fixture
def cache(value, tmp_path: Path) -> Path:
    """A cache that knows the real one's tools and source, but has no kernel and no QEMU."""
    cache = tmp_path / "cache/virtio-balloon-rs"
    shutil.copytree(Path(value("CACHE")) / "state", cache / "state")
    return cache
