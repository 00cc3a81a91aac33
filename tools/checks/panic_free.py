#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Does a module hold or call code that panics?

A panic in the kernel is a BUG(). What can panic calls one of the functions of the `core` or `alloc`
crates that start one, so the module's symbol table tells. Exit status: 0 no panic, 1 panics (listed),
2 the question could not be answered.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys

# On mangled names, of either scheme: whatever is in `core::panicking`, and the kernel's stand-in for a
# `build_assert!` that was not optimised away.
MANGLED = re.compile(r"9panicking|rust_build_error|rust_begin_unwind")

# On demangled names: the functions elsewhere that only exist to panic, as `core::option::unwrap_failed`
# or `core::slice::index::slice_index_fail`.
DEMANGLED = re.compile(
    r"^(?:core|alloc)::(?:\w+::)*"
    r"(?:panic_\w+|\w+_panic(?:::\w+)?|\w+_fail(?:ed)?(?:_rt|_ct)?|handle_alloc_error|capacity_overflow)\b"
)


class CannotTell(Exception):
    """Raised if the symbol table cannot be read."""


def find_tool(*names: str) -> str:
    """The first of these programs that is there."""
    for name in names:
        path = shutil.which(name)
        if path:
            return path
    raise CannotTell(f"none of these programs is on PATH: {', '.join(names)}")


def run(*command: str, text: str | None = None) -> str:
    """The output of a program that must succeed."""
    result = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if result.returncode:
        raise CannotTell(f"{' '.join(command)}: {result.stderr.strip()}")
    return result.stdout


def symbols(module: str) -> list[str]:
    """All symbols of an object file, defined and undefined."""
    if not os.path.exists(module):
        raise CannotTell(f"{module} does not exist")
    names = [line.split()[-1] for line in run(find_tool("llvm-nm-19", "llvm-nm", "nm"), module).splitlines()]
    # A stripped file, or none of ours, would pass for the wrong reason.
    if not names:
        raise CannotTell(f"{module} has no symbols")
    return names


def demangle(names: list[str]) -> list[str]:
    """Readable names, in the same order."""
    text = run(find_tool("llvm-cxxfilt-19", "llvm-cxxfilt", "c++filt"), text="\n".join(names) + "\n")
    return text.splitlines()


def panicking(module: str) -> list[str]:
    """The symbols of `module` that mean a panic, readable."""
    names = symbols(module)
    pairs = zip(names, demangle(names), strict=True)
    return sorted({readable for name, readable in pairs if MANGLED.search(name) or DEMANGLED.search(readable)})


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("module", help="a .ko or .o file")
    args = parser.parse_args()
    try:
        found = panicking(args.module)
    except CannotTell as error:
        print(f"panic_free: error: {error}", file=sys.stderr)
        return 2
    if found:
        print(f"panic_free: {args.module} can panic:", *found, sep="\n  ", file=sys.stderr)
        return 1
    print(f"panic_free: {args.module}: no panic")
    return 0


if __name__ == "__main__":
    sys.exit(main())
