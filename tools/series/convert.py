# SPDX-License-Identifier: GPL-2.0
"""The kernel's files as they are after some of the patches, made from ours."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from tools.series import bindings, c_helpers, pages, rust_source, table
from tools.series.model import SeriesError, State, once

_KERNEL = "rust/kernel"
_HELPERS = "rust/helpers"
_GLOB_OF_KERNEL = re.compile(r"(?:#\[doc\([a-z_]+\)\]\n)?pub use kernel::\w+::\*;\n\n?")


class Sources:
    """Our tree, and the kernel's."""

    def __init__(self, ours: Path, kernel: Path) -> None:
        self.ours = ours
        self.kernel = kernel

    def read(self, path: str) -> str:
        """A file of ours."""
        try:
            return (self.ours / path).read_text()
        except OSError:
            raise SeriesError(f"{path}: the table names it, but it is not there") from None

    def theirs(self, path: str) -> str | None:
        """A file of the kernel's, if there is one."""
        file = self.kernel / path
        return file.read_text() if file.is_file() else None

    def need(self, path: str) -> str:
        """A file that the kernel has to have."""
        text = self.theirs(path)
        if text is None:
            raise SeriesError(f"{path}: the kernel's source in {self.kernel} has no such file")
        return text

    def below(self, path: str) -> list[str]:
        """A file of ours, or all files of a folder."""
        top = self.ours / path
        if not top.is_dir():
            return [path]
        return [
            str(file.relative_to(self.ours)) for file in sorted(top.rglob("*")) if file.is_file()
        ]


def gate(module: str) -> str:
    """The symbol without which a module is not compiled."""
    return table.GATES.get(module, "")


def module_file(module: str) -> str:
    """Where a module of ours goes."""
    return f"{_KERNEL}/{table.MOVED.get(module, module)}.rs"


def module_text(sources: Sources, state: State, module: str) -> str:
    """A module of ours without what only modules use that are not there yet."""
    path = f"{_KERNEL}/{module}.rs"
    text = sources.read(path)
    for where, name, needs in table.COMES_WITH:
        if where == module and needs not in state.modules:
            text = rust_source.without(path, text, name)
    return text


def rust_files(sources: Sources, state: State) -> Iterator[tuple[str, str]]:
    """The files of the kernel crate: path there, and text."""

    def there(module: str) -> bool:
        return module in state.modules

    for module in sorted(state.modules):
        if module == "mm":
            continue
        path = f"{_KERNEL}/{module}.rs"
        text = module_text(sources, state, module)
        if sources.theirs(path) is not None and module not in table.MOVED:
            raise SeriesError(f"{path}: the kernel has such a file; say in MOVED where ours goes")
        if module in table.MOVED:
            text, times = _GLOB_OF_KERNEL.subn("", text)
            if times != 1:
                raise SeriesError(
                    f"{path}: the rule 'no pub use kernel::...::*' matches {times} times"
                )
        text = edited(path, rust_source.present(text, f"{module}/", there, gate))
        yield module_file(module), rust_source.convert(path, text)
    yield f"{_KERNEL}/lib.rs", lib(sources, state)
    if "mm" in state.modules:
        yield f"{_KERNEL}/mm.rs", mm(sources, state)


def lib(sources: Sources, state: State) -> str:
    """The kernel crate's lib.rs, with our modules in their alphabetical places."""
    path = f"{_KERNEL}/lib.rs"
    ours = sources.read(path)
    declared = dict(rust_source.modules(ours))
    left = _without(ours, declared.values())
    for item in table.FACADE_ITEMS:
        left = once(path, f"falls away: {item.splitlines()[0]}", left, item, "")
    check_nothing_left(path, left)
    lines = sources.need(path).splitlines(keepends=True)
    for name, declaration in sorted(declared.items()):
        if name in state.modules and name not in {"mm", *table.MOVED, *table.LISTS}:
            declaration = rust_source.gated(gate(name), rust_source.configs(declaration))
            place = _place(path, lines, name)
            lines[place:place] = declaration.splitlines(keepends=True)
    return "".join(lines)


def check_lists(sources: Sources) -> None:
    """Files that only add modules have nothing but what the table knows."""
    for module, items in table.LISTS.items():
        path = f"{_KERNEL}/{module}.rs"
        if not (sources.ours / path).exists():
            continue
        left = sources.read(path)
        for item in items:
            left = once(path, item.splitlines()[0], left, item, "")
        check_nothing_left(path, left)


def check_nothing_left(path: str, text: str) -> None:
    """Is all of a file accounted for, but its comments?"""
    lines = (line for line in text.splitlines() if line.strip() and not line.startswith("//"))
    if code := next(lines, ""):
        raise SeriesError(f"{path}: no rule knows what becomes of {code!r}")


def _without(text: str, parts: Iterable[str]) -> str:
    for part in parts:
        text = text.replace(part, "", 1)
    return text


def _place(path: str, lines: list[str], name: str) -> int:
    declared = [
        (index, found[1])
        for index, line in enumerate(lines)
        if (found := re.fullmatch(r"(?:pub )?mod (\w+);\n", line))
    ]
    later = [index for index, other in declared if other > name]
    if not later:
        raise SeriesError(f"{path}: the rule 'before the next module' has no place for {name}")
    index = later[0]
    while lines[index - 1].startswith("#["):
        index -= 1
    return index


def mm(sources: Sources, state: State) -> str:
    """The kernel's mm.rs, which is about address spaces, with what ours has."""
    path = f"{_KERNEL}/mm.rs"
    text = rust_source.present(
        sources.read(path), "mm/", lambda module: module in state.modules, gate
    )
    head, rest = re.split(r"\n\n(?=(?:#\[|mod |pub use |use ))", text, maxsplit=1)
    rest = rust_source.convert(
        path, once(path, "use bindings", rest, "use crate::bindings;\n\n", "")
    )
    begin = rest.index("/// ")
    declarations, items = rest[:begin].strip() + "\n", rest[begin:]
    theirs = sources.need(path)
    theirs = once(
        path,
        "behind mod mmput_async",
        theirs,
        table.MM_ANCHOR,
        table.MM_ANCHOR + "\n" + declarations,
    )
    if all(module in state.modules for module in table.MM_TOLD_OF):
        theirs = once(path, "the C header", theirs, table.MM_DOC, table.MM_DOC + _told(head))
    return theirs + "\n" + items


def _told(head: str) -> str:
    """Our documentation of mm.rs, to follow the kernel's."""
    title = "//!\n//! # Free memory\n//!\n"
    told = head[head.index("//! There are") :]
    return title + told.replace("C headers:", "C headers for it:") + "\n"


def used_by(sources: Sources, state: State) -> set[str]:
    """What the files of the series so far take from the bindings."""
    used: set[str] = set()
    for module in state.modules:
        used |= rust_source.used(module_text(sources, state, module))
    for path in state.files:
        if path.endswith(".rs"):
            used |= rust_source.used(sources.read(path))
    return used


def helpers(sources: Sources, state: State) -> Iterator[tuple[str, str]]:
    """The C helpers: path there, and text."""
    wanted = {
        name.removeprefix("next_") for name in used_by(sources, state) if name.startswith("next_")
    }
    defined: set[str] = set()
    includes: list[tuple[str, str]] = []
    for path in sources.below(_HELPERS):
        name = Path(path).name
        text = sources.read(path)
        head, chunks = c_helpers.split(text)
        defined |= {found for chunk in chunks for found in chunk.defines}
        kept = c_helpers.select(chunks, wanted)
        if name == "helpers.c" or not kept:
            continue
        for edit in table.HELPER_EDITS:
            if edit.path == path:
                whole = head + "\n" + "\n".join(chunk.text for chunk in kept)
                head, again = c_helpers.split(edit.apply(whole))
                kept = again
        body = "\n".join(chunk.text for chunk in kept)
        theirs = sources.theirs(path)
        if theirs is not None:
            yield path, theirs + "\n" + c_helpers.aligned(c_helpers.convert(body))
        else:
            yield path, c_helpers.aligned(c_helpers.convert(head + "\n" + body))
            includes.append((name, table.HELPER_GATES.get(name, "")))
    if missing := wanted - defined:
        raise SeriesError(f"{_HELPERS}: no helper is called {', '.join(sorted(missing))}")
    if includes:
        yield f"{_HELPERS}/helpers.c", _helper_list(sources.need(f"{_HELPERS}/helpers.c"), includes)


def _helper_list(text: str, includes: list[tuple[str, str]]) -> str:
    lines = text.splitlines()
    for name, symbol in includes:
        entry = [f'#include "{name}"']
        if symbol:
            entry = [f"#ifdef {symbol}", *entry, "#endif"]
        found = [
            index
            for index, line in enumerate(lines)
            if (other := re.fullmatch(r'#include "(.+)"', line)) and other[1] < name
        ]
        index = found[-1] + 1
        if index < len(lines) and lines[index] == "#endif":
            index += 1
        lines[index:index] = entry
    return "\n".join(lines) + "\n"


def bindings_files(sources: Sources, state: State) -> Iterator[tuple[str, str]]:
    """The lists that bindgen reads."""
    ours = sources.read(bindings.OURS)
    theirs = sources.need(bindings.HELPER)
    if unknown := state.headers - set(bindings.headers(ours)):
        raise SeriesError(
            f"{bindings.OURS}: does not include {', '.join(sorted(unknown))}, as the table says"
        )
    names = {name for name in used_by(sources, state)}
    constants = bindings.constants(ours, names)
    more = [header for header in bindings.headers(ours) if header in state.headers]
    if more or constants:
        yield bindings.HELPER, bindings.add(theirs, more, constants)
        yield bindings.PARAMETERS, bindings.block(sources.need(bindings.PARAMETERS), constants)


def other_files(sources: Sources, state: State) -> Iterator[tuple[str, str]]:
    """The driver, headers, samples and documentation."""
    for path in sorted(state.files):
        there = table.RENAMED.get(path, path)
        text = edited(path, sources.read(path))
        if path.endswith(".rst"):
            text = _page(sources, state, path, text)
        elif path.endswith(".rs"):
            if path in table.CRATES and rust_source.FACADE_LINE not in text:
                raise SeriesError(f"{path}: the rule 'extern crate kernel_next' does not match")
            text = rust_source.convert(path, text)
        yield there, text


def _page(sources: Sources, state: State, path: str, text: str) -> str:
    for ours, theirs in table.RENAMED.items():
        text = text.replace(ours, theirs)
    return pages.convert(path, text, state.files, sources.read)


def edited(path: str, text: str) -> str:
    """A file of ours with what the table changes in it."""
    for edit in table.FILE_EDITS:
        if edit.path == path:
            text = edit.apply(text)
    return text


def everything(sources: Sources, state: State) -> dict[str, str]:
    """All files that are made from ours, by their path in the kernel's tree."""
    check_lists(sources)
    made: dict[str, str] = {}
    for path, text in (
        *rust_files(sources, state),
        *helpers(sources, state),
        *bindings_files(sources, state),
        *other_files(sources, state),
    ):
        if path in made:
            raise SeriesError(f"{path}: two rules make this file")
        made[path] = text
    return made
