# SPDX-License-Identifier: GPL-2.0
"""Makes the patches: a repository of the files that they touch, with a commit for each."""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import subprocess
import tempfile
import textwrap
from dataclasses import dataclass
from pathlib import Path

from tools.series import convert, maintainers, table
from tools.series.model import Patch, SeriesError, State

READY = "tools/kernel/patches"
# Folders of ours that are to be in the series to the last file.
WHOLE = ("drivers", "include", "rust", "samples")
COVER = "Virtio balloon driver in Rust"


@dataclass(frozen=True)
class Author:
    """Who signs off, and maintains."""

    name: str
    email: str
    date: str

    @property
    def address(self) -> str:
        """As in a mail."""
        return f"{self.name} <{self.email}>"


def git(where: Path, *args: str, env: dict[str, str] | None = None, text: str | None = None) -> str:
    """Runs git, on that repository alone."""
    own = {"GIT_CEILING_DIRECTORIES": str(where.parent), "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", *args],
        cwd=where,
        env={**kept, **own, **(env or {})},
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SeriesError(f"git {' '.join(args)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def author(ours: Path) -> Author:
    """The identity in git's configuration, and the date of the last commit."""
    found = {}
    for key in ("user.name", "user.email"):
        try:
            found[key] = subprocess.run(
                ["git", "config", key], cwd=ours, capture_output=True, text=True, check=True
            ).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            raise SeriesError(
                f"git does not know who makes the patches: git config --global {key} ..."
            ) from None
    done = subprocess.run(
        ["git", "log", "-1", "--format=%cI"], cwd=ours, capture_output=True, text=True, check=False
    )
    date = done.stdout.strip() or "2026-01-01T00:00:00+00:00"
    return Author(found["user.name"], found["user.email"], date)


def chosen(ours: Path) -> list[Patch]:
    """The patches whose files are there."""
    return [p for p in table.PATCHES if not p.only_with or (ours / p.only_with).exists()]


def files_of(sources: convert.Sources, patches: list[Patch]) -> dict[int, set[str]]:
    """Which files of ours each patch brings. Of two names, the one that says more counts."""
    claims = [(name, number) for number, patch in enumerate(patches) for name in patch.files]
    found: dict[int, set[str]] = {number: set() for number in range(len(patches))}
    for name, number in claims:
        for path in sources.below(name):
            inside = [other for other, _ in claims if path == other or path.startswith(f"{other}/")]
            if max(inside, key=len) == name:
                found[number].add(path)
    return found


def check_complete(
    sources: convert.Sources, patches: list[Patch], files: dict[int, set[str]]
) -> None:
    """Is each of our files in some patch?"""
    known = set(table.FACADE_FILES).union(*files.values())
    known |= {f"rust/kernel/{module}.rs" for patch in patches for module in patch.modules}
    known |= {path for path in sources.below("rust/helpers") if path.endswith(".c")}
    there = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *WHOLE],
        cwd=sources.ours,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    if left := [path for path in there if path not in known and (sources.ours / path).exists()]:
        raise SeriesError(f"no patch of tools/series/table.py has {', '.join(sorted(left))}")


class Repository:
    """The kernel's files that the series touches, as they are after some of the patches."""

    def __init__(self, where: Path, sources: convert.Sources, who: Author) -> None:
        self.where = where
        self.sources = sources
        self.who = who
        self.env = {
            "GIT_AUTHOR_NAME": who.name,
            "GIT_AUTHOR_EMAIL": who.email,
            "GIT_AUTHOR_DATE": who.date,
            "GIT_COMMITTER_NAME": who.name,
            "GIT_COMMITTER_EMAIL": who.email,
            "GIT_COMMITTER_DATE": who.date,
        }
        git(where, "init", "-q", "-b", "series")

    def fetch(self, path: str) -> None:
        """Makes sure that the kernel's file, if there is one, is in the repository."""
        theirs = self.sources.theirs(path)
        mine = self.where / path
        if theirs is not None and not mine.exists():
            mine.parent.mkdir(parents=True, exist_ok=True)
            mine.write_text(theirs)

    def write(self, path: str, text: str) -> None:
        """One file."""
        mine = self.where / path
        mine.parent.mkdir(parents=True, exist_ok=True)
        mine.write_text(text)

    def read(self, path: str) -> str:
        """One file, which has to be there."""
        mine = self.where / path
        if not mine.exists():
            raise SeriesError(f"{path}: the kernel's source has no such file")
        return mine.read_text()

    def commit(self, message: str) -> None:
        """Everything that changed."""
        git(self.where, "add", "-A")
        git(self.where, "commit", "-q", "-F", "-", "--allow-empty", env=self.env, text=message)

    def added(self) -> list[str]:
        """The files that the last commit added."""
        out = git(self.where, "show", "--format=", "--name-status", "--no-renames", "HEAD")
        return [line.split("\t")[1] for line in out.splitlines() if line.startswith("A\t")]


def _ready_paths(text: str) -> list[str]:
    return sorted(set(re.findall(r"^(?:---|\+\+\+) [ab]/(\S+)$", text, re.M)))


def _base(repository: Repository, patches: list[Patch], states: list[dict[str, str]]) -> None:
    paths = {maintainers.PATH, *(path for made in states for path in made)}
    paths |= {edit.path for patch in patches for edit in patch.edits}
    for patch in patches:
        if patch.ready:
            paths |= set(_ready_paths(repository.sources.read(f"{READY}/{patch.ready}")))
    for path in sorted(paths):
        repository.fetch(path)
    repository.commit("Linux\n")


def _message(patch: Patch, who: Author) -> str:
    return f"{patch.subject}\n\n{_wrapped(patch.body)}\n\nSigned-off-by: {who.address}\n"


def _wrapped(body: str) -> str:
    return "\n\n".join(textwrap.fill(" ".join(part.split()), 74) for part in body.split("\n\n"))


def _check_owned(repository: Repository, patch: Patch, patterns: list[str]) -> None:
    for path in repository.added():
        if not any(fnmatch.fnmatch(path, p + "*" if p.endswith("/") else p) for p in patterns):
            raise SeriesError(
                f"{path}: no pattern in MAINTAINERS has it; add one to '{patch.subject}'"
            )


def _states(sources: convert.Sources, patches: list[Patch], files: dict[int, set[str]]):
    """What the files made of ours are after each patch."""
    state = State()
    for number, patch in enumerate(patches):
        state.modules |= set(patch.modules)
        state.headers |= set(patch.headers)
        state.files |= files[number]
        yield convert.everything(sources, state)


def produce(ours: Path, kernel: Path, out: Path) -> list[Path]:
    """Writes the series into a folder, which it makes anew. Returns the patches in order."""
    if not (kernel / "MAINTAINERS").exists():
        raise SeriesError(f"{kernel} is not the source of a kernel: run 'make setup', or set KSRC")
    sources = convert.Sources(ours, kernel)
    who = author(ours)
    patches = chosen(ours)
    files = files_of(sources, patches)
    check_complete(sources, patches, files)
    states = list(_states(sources, patches, files))
    patterns: list[str] = []
    with tempfile.TemporaryDirectory(prefix="series-") as scratch:
        repository = Repository(Path(scratch), sources, who)
        _base(repository, patches, states)
        base = git(repository.where, "rev-parse", "HEAD").strip()
        for patch, made in zip(patches, states, strict=True):
            if patch.ready:
                _take_ready(repository, patch)
                continue
            for path, text in made.items():
                repository.write(path, text)
            for edit in patch.edits:
                repository.write(edit.path, edit.apply(repository.read(edit.path)))
            entry = maintainers.add(repository.read(maintainers.PATH), who.address, patch.owns)
            repository.write(maintainers.PATH, entry)
            repository.commit(_message(patch, who))
            patterns += patch.owns
            _check_owned(repository, patch, patterns)
        if out.exists():
            shutil.rmtree(out)
        out.mkdir(parents=True)
        git(
            repository.where,
            *("format-patch", "-q", "--no-signature", "--cover-letter", "-M", "--zero-commit"),
            *("-o", str(out), base),
            env=repository.env,
        )
    made_patches = sorted(out.glob("*.patch"))
    _fill_cover(made_patches[0])
    return made_patches[1:]


def _take_ready(repository: Repository, patch: Patch) -> None:
    text = repository.sources.read(f"{READY}/{patch.ready}")
    git(repository.where, "am", "-q", "--keep-cr", env=repository.env, text=text)
    for edit in patch.edits:
        repository.write(edit.path, edit.apply(repository.read(edit.path)))
    git(repository.where, "add", "-A")
    subject, _, body = git(repository.where, "log", "-1", "--format=%B").partition("\n")
    body = re.sub(r"^Signed-off-by: .*\n?", "", body, flags=re.M).strip()
    message = f"{subject}\n\n{_wrapped(body)}\n\nSigned-off-by: {repository.who.address}\n"
    git(
        repository.where,
        *("commit", "-q", "--amend", "--reset-author", "-F", "-"),
        env=repository.env,
        text=message,
    )


def _fill_cover(cover: Path) -> None:
    text = cover.read_text()
    text = text.replace("*** SUBJECT HERE ***", COVER)
    cover.write_text(text.replace("*** BLURB HERE ***", table.COVER_LETTER.strip()))
