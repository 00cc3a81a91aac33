# SPDX-License-Identifier: GPL-2.0
"""The commands in the documentation: do their targets, variables, files and options exist?"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

_TARGET = re.compile(r"^([a-zA-Z_%-][\w% -]*):(?!=)", re.MULTILINE)
_ASSIGNMENT = re.compile(r"([A-Z][A-Z_0-9]*)=")
_MAKE = re.compile(r"(?:^|&& |\()make +([^;|)&]*(?:\$\([^)]*\)[^;|)&]*)*)", re.MULTILINE)
_COMMENT = re.compile(r"(^|\s)#.*$", re.MULTILINE)
_OPTION = re.compile(r'"(--[a-z-]+)"')
# What pytest has by itself and the documentation uses.
_PYTEST_OWN = {"-s", "-x", "-k", "-m"}


def targets(tree: Path) -> set[str]:
    """The targets of the Makefile."""
    names = _TARGET.findall((tree / "Makefile").read_text())
    return {name for line in names for name in line.split()} - {".PHONY"}


def _known_variables(tree: Path) -> set[str]:
    """Whatever the Makefile, Kbuild and the tools know by such a name."""
    files = [tree / "Makefile", tree / "Kbuild"]
    files += [path for end in ("*.py", "*.sh") for path in (tree / "tools").rglob(end)]
    return set(re.findall(r"\b[A-Z][A-Z_0-9]+\b", "\n".join(path.read_text() for path in files)))


def _lines(text: str) -> Iterator[str]:
    """The commands, without comments; one goes on while a quote is open."""
    line = ""
    for more in _COMMENT.sub("", text.replace("\\\n", " ")).splitlines():
        line = f"{line} {more.strip()}".strip()
        if line.count('"') % 2 == 0:
            yield line
            line = ""


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text, comments=True)
    except ValueError:
        return text.split()


def wrong_in_make(tree: Path, text: str) -> Iterator[str]:
    """What is wrong with the calls of make in some text; not with those in another tree (-C)."""
    known, variables = targets(tree), _known_variables(tree)
    calls = (_MAKE.findall(re.sub(r"[][]", "", line)) for line in _lines(text))
    for call in (call for line in calls for call in line):
        words = _words(call)
        if "-C" in words:
            continue
        for word in words:
            assigned = _ASSIGNMENT.match(word)
            if assigned:
                if assigned[1] not in variables:
                    yield f"make {call.strip()}: nothing knows {assigned[1]}"
            elif not word.startswith(("-", "$", "…", "...")):
                if word not in known and not re.fullmatch(r"print-[A-Z_]+", word):
                    yield f"make {call.strip()}: the Makefile has no {word}"


def wrong_in_python(tree: Path, text: str) -> Iterator[str]:
    """What is wrong with the calls of Python's modules and of pytest."""
    options = set(_OPTION.findall((tree / "tools/tests/conftest.py").read_text())) | _PYTEST_OWN
    calls = (re.findall(r"(?:\$PYTHON|python3?) -m (.+)", line) for line in _lines(text))
    for call in (call for line in calls for call in line):
        module, *arguments = _words(call)
        if module.startswith("tools."):
            path = tree / module.replace(".", "/")
            if not path.with_suffix(".py").exists() and not (path / "__main__.py").exists():
                yield f"there is no module {module}"
        for argument in arguments if module == "pytest" else []:
            file = argument.partition("::")[0]
            if argument.startswith("-") and argument.partition("=")[0] not in options:
                yield f"the tests have no option {argument}"
            if file.startswith("tools/") and not (tree / file).exists():
                yield f"there is no {file}"
