# SPDX-License-Identifier: GPL-2.0
"""A copy of the kernel's source and a tree to build it in, which go from patch to patch."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from tools.series import apply
from tools.series.model import SeriesError

_MAKE = Path(__file__).resolve().parent / "kernel-make.sh"
_ROOT = Path(__file__).resolve().parents[2]
# The C compiler's, with the file, and the Rust compiler's, which names it in the next line.
_C_WARNING = re.compile(r"^(\S+?):\d+(?::\d+)?: warning: .*$", re.M)
_RUST_WARNING = re.compile(r"^warning(?:\[\w+\])?: .*\n +--> .*$", re.M)

CONFIGS = (_ROOT / "tools/kernel/plain.config", Path(__file__).resolve().parent / "series.config")


class Work:
    """The copy, the tree and the logs."""

    def __init__(
        self, kernel: Path, source: Path, tree: Path, logs: Path, configs: tuple[Path, ...]
    ) -> None:
        self.kernel = kernel
        self.source = source
        self.tree = tree
        self.logs = logs
        self.configs = configs
        # The files of the patches.
        self.touched: set[str] = set()

    def prepare(self, patches: list[Path]) -> None:
        """A source without any of the patches, whatever it was before."""
        self.logs.mkdir(parents=True, exist_ok=True)
        self.tree.mkdir(parents=True, exist_ok=True)
        if not self.source.exists():
            new = self.source.with_name(self.source.name + ".new")
            shutil.rmtree(new, ignore_errors=True)
            # The files are shared with the kernel's source until a patch writes them anew.
            done = subprocess.run(["cp", "-al", str(self.kernel), str(new)], check=False)
            if done.returncode:
                shutil.rmtree(new, ignore_errors=True)
                shutil.copytree(self.kernel, new, symlinks=True)
            new.rename(self.source)
        self.touched = {path for patch in patches for path in apply.touched(patch)}
        for path in sorted(self.touched):
            self._restore(path)

    def _restore(self, path: str) -> None:
        mine, theirs = self.source / path, self.kernel / path
        if not theirs.exists():
            mine.unlink(missing_ok=True)
        elif not mine.exists() or mine.read_bytes() != theirs.read_bytes():
            # Not written to: it may be the kernel's own file under another name.
            mine.unlink(missing_ok=True)
            mine.write_bytes(theirs.read_bytes())

    def make(self, log: str, *arguments: str) -> str:
        """Runs the kernel's make. Returns what it printed."""
        file = self.logs / f"{log}.log"
        with file.open("w") as output:
            done = subprocess.run(
                ["bash", str(_MAKE), str(self.source), str(self.tree), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
        said = file.read_text(errors="replace")
        if done.returncode:
            tail = "\n".join(said.splitlines()[-15:])
            raise SeriesError(f"{' '.join(arguments)} failed, see {file}:\n{tail}")
        return said

    def configure(self, log: str, changes: dict[str, str]) -> None:
        """The configuration, as far as the kernel has the symbols yet."""
        wanted = self.tree / "series.config"
        text = "".join(config.read_text() for config in self.configs)
        for name, value in changes.items():
            text = re.sub(rf"^{name}=.*\n", "", text, flags=re.M) + f"{name}={value}\n"
        wanted.write_text(text)
        self.make(log, f"KCONFIG_ALLCONFIG={wanted}", "allnoconfig")

    def require(self, changes: dict[str, str]) -> None:
        """Kconfig drops what it cannot grant without a word."""
        granted = (self.tree / ".config").read_text()
        for name, value in changes.items():
            there = f"\n{name}={value}\n" in granted
            if there == (value == "n"):
                raise SeriesError(f"the kernel's configuration refuses {name}={value}")

    def build(self, log: str, *targets: str) -> list[str]:
        """Builds. Returns the warnings about what the series touches."""
        jobs = os.environ.get("VBRS_JOBS") or str(os.cpu_count() or 1)
        said = self.make(log, f"-j{jobs}", *targets)
        found = [line[0] for line in _C_WARNING.finditer(said) if self._is_ours(line[1])]
        return found + _RUST_WARNING.findall(said)

    def _is_ours(self, path: str) -> bool:
        """Whether the compiler speaks of a file that the series touches."""
        return path.removeprefix(f"{self.source}/").removeprefix("../") in self.touched

    @property
    def image(self) -> Path:
        """The kernel that a guest boots."""
        return self.tree / "arch/x86/boot/bzImage"
