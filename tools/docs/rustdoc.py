# SPDX-License-Identifier: GPL-2.0
"""The Rust documentation of the module's two crates.

    python -m tools.docs.rustdoc BUILD OUTPUT KDIR

BUILD is where the module was built: rustdoc gets the very flags that kbuild gave to the compiler,
from the command lines that it keeps. KDIR is the kernel's tree; the links to C headers lead into
its source.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

# What each crate was compiled as, in the order in which they need each other.
CRATES = {
    "kernel_next": Path("rust/kernel/.lib.o.cmd"),
    "virtio_balloon": Path("drivers/virtio/.virtio_balloon.o.cmd"),
}

# What a compiler is told and a documentation tool does not know.
NOT_FOR_RUSTDOC = ("--emit=", "--remap-path-scope=", "-Wclippy::", "-Aclippy::")
NOT_FOR_RUSTDOC_WITH_VALUE = {"--out-dir", "--crate-type"}

ROOT = Path(__file__).resolve().parents[2]

HEADER_LINK = re.compile(r'href="srctree/([^"]+)"')

# Where the documentation of the kernel crate is, for links to what is re-exported from it.
KERNEL_CRATE = "https://rust.docs.kernel.org/"


class DocsError(Exception):
    """Something that whoever runs this can do something about."""


def recorded(command_file: Path) -> tuple[dict[str, str], list[str]]:
    """The environment and the words of the compiler's command line."""
    if not command_file.exists():
        raise DocsError(f"{command_file} is not there: build the module first")
    line = command_file.read_text().splitlines()[0].partition(":=")[2]
    words = shlex.split(line.partition(" ; ")[0])
    first = next(n for n, word in enumerate(words) if "=" not in word)
    environment = dict(word.split("=", 1) for word in words[:first])
    return environment, words[first:]


def for_rustdoc(words: list[str]) -> list[str]:
    """The compiler's command line, made one for rustdoc."""
    compiler = Path(words[0])
    result = [str(compiler.with_name(compiler.name.replace("rustc", "rustdoc")))]
    rest = iter(words[1:])
    for word in rest:
        if word in NOT_FOR_RUSTDOC_WITH_VALUE:
            next(rest)
        elif not word.startswith(NOT_FOR_RUSTDOC):
            result.append(word)
    return result


def build_crate(build: Path, output: Path, crate: str) -> None:
    """Builds the documentation of one crate; a warning is an error."""
    environment, words = recorded(build / CRATES[crate])
    command = [
        *for_rustdoc(words),
        f"--crate-name={crate}",
        "--document-private-items",
        "-Dwarnings",
        f"--extern-html-root-url=kernel={KERNEL_CRATE}",
        "--enable-index-page",
        f"--output={output}",
    ]
    if shutil.which(command[0]) is None:
        raise DocsError(f"there is no {command[0]}: it comes with the compiler ('make setup')")
    environment |= {
        # As the kernel's Makefile does: a stable compiler that takes the flags of an unstable one.
        "RUSTC_BOOTSTRAP": "1",
        # As our Kbuild does.
        "KERNEL_NEXT_OBJTREE": str(build),
    }
    # In the build directory, as the recorded paths are relative to it.
    result = subprocess.run(command, cwd=build, env=os.environ | environment, check=False)
    if result.returncode:
        raise DocsError(f"rustdoc of {crate} failed, see above")


def kernel_source(kdir: Path) -> Path:
    """Where the source of a built kernel is: a tree that was built elsewhere has a link to it."""
    link = kdir / "source"
    return link.resolve() if link.exists() else kdir


def lead_to_headers(output: Path, kernel: Path) -> None:
    """Has the links to C headers lead to the files: the kernel's, or ours that are to become so."""
    for page in output.rglob("*.html"):
        text = page.read_text()
        for header in set(HEADER_LINK.findall(text)):
            root = next((root for root in (kernel, ROOT) if (root / header).exists()), None)
            if root is None:
                raise DocsError(f"{page}: neither the kernel in {kernel} nor this tree has {header}")
            text = text.replace(f'href="srctree/{header}"', f'href="{root}/{header}"')
        page.write_text(text)


def main() -> int:
    """Builds all of it."""
    build, output, kdir = (Path(word).resolve() for word in sys.argv[1:])
    shutil.rmtree(output, ignore_errors=True)
    try:
        for crate in CRATES:
            build_crate(build, output, crate)
        lead_to_headers(output, kernel_source(kdir))
    except DocsError as error:
        print(f"virtio-balloon-rs: error: {error}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
