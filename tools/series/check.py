# SPDX-License-Identifier: GPL-2.0
"""Builds a kernel with each patch of the series, and boots the last: `make check-series`."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

from tools.guest import agent_build, paths
from tools.guest.errors import ToolError
from tools.series import apply, boot, checkpatch, produce, work
from tools.series.model import Patch, SeriesError

ROOT = Path(__file__).resolve().parents[2]
_DIRECTORY = ROOT / "build/check-series"
# A tree of objects, and a copy of the source where it cannot share files.
_DISK_MIB = 6144
_MODULE = {"CONFIG_VIRTIO_BALLOON_RUST": "m"}
# The driver in C would get the device.
_BUILT_IN = {"CONFIG_VIRTIO_BALLOON": "n", "CONFIG_VIRTIO_BALLOON_RUST": "y"}


def say(text: str) -> None:
    """One line, at once."""
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


def told(found: list[str], number: str) -> list[str]:
    """Says what the compilers warn of. It does not stop the rest."""
    for warning in found:
        say(f"  WARNING with {number}: {warning}")
    return found


def build_each(place: work.Work, mails: list[Path], table: list[Patch], first: int) -> list[str]:
    """Applies one patch after the other, and builds what it may break. Returns all warnings."""
    warnings: list[str] = []
    for number, (mail, patch) in enumerate(zip(mails, table, strict=True), 1):
        apply.apply(mail, place.source)
        if said := checkpatch.complaints(place.kernel, mail):
            raise SeriesError(f"checkpatch.pl is not content with {mail.name}:\n{said}")
        if number < first:
            continue
        begun = time.monotonic()
        name = f"{number:04d}"
        place.configure(f"{name}-config", {})
        # `prepare` has all of rust/.
        warnings += told(place.build(name, "prepare", *patch.builds), name)
        say(f"{mail.name}: builds, {time.monotonic() - begun:.0f} s")
    return warnings


def build_last(place: work.Work, name: str, changes: dict[str, str]) -> list[str]:
    """The whole kernel with its modules. Returns the warnings."""
    begun = time.monotonic()
    place.configure(f"{name}-config", changes)
    place.require(changes)
    warnings = told(place.build(name, "bzImage", "modules"), name)
    say(f"the whole kernel, {name}: builds, {time.monotonic() - begun:.0f} s")
    return warnings


def _require_disk(tree: Path) -> None:
    place = next(path for path in (tree, *tree.parents) if path.exists())
    free = shutil.disk_usage(place).free >> 20
    if not tree.exists() and free < _DISK_MIB:
        raise SeriesError(f"{free} MiB of disk are free for {tree}, {_DISK_MIB} are needed")


def check(args: argparse.Namespace) -> str:
    """All of it. Returns what has been shown."""
    mails = sorted(args.series.glob("*.patch"))[1:]
    table = produce.chosen(ROOT)
    if len(mails) != len(table):
        raise SeriesError(
            f"{args.series} has {len(mails)} patches, not {len(table)}: run 'make series'"
        )
    # What is lacking is said now, not after hours.
    paths.lookup("QEMU")
    agent_build.build()
    _require_disk(args.tree)
    configs = work.CONFIGS + tuple(args.config)
    place = work.Work(args.kernel, args.source, args.tree, _DIRECTORY / "logs", configs)
    place.prepare(mails)
    if args.first == 1 and not place.image.exists():
        say("building the kernel without the series: about 32 minutes of one core")
        place.configure("base-config", {})
        place.build("base", "bzImage", "modules")
    warnings = build_each(place, mails, table, args.first)
    module = place.tree / "drivers/virtio/virtio_balloon_rs.ko"
    warnings += build_last(place, "module", _MODULE)
    say(boot.driver(place.image, module, _DIRECTORY / "logs"))
    say(boot.tests(place.image, module, _DIRECTORY / "logs"))
    warnings += build_last(place, "built-in", _BUILT_IN)
    say(boot.driver(place.image, None, _DIRECTORY / "logs"))
    if warnings:
        raise SeriesError(f"{len(warnings)} warnings, see above. All else is well.")
    built = [str(number) for number in range(args.first, len(mails) + 1)]
    if not built:
        return "the last patch builds and boots; the others were not built one by one."
    left = "" if args.first == 1 else "; those before were not built one by one"
    return f"patches {built[0]} to {built[-1]} build, and the last one boots{left}."


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.series.check", description=__doc__)
    parser.add_argument("kernel", type=Path, help="the source of the kernel that the series is for")
    parser.add_argument("series", type=Path, help="what `make series` made")
    parser.add_argument(
        "--from", dest="first", type=int, default=1, help="build from this patch on"
    )
    parser.add_argument(
        "--source", type=Path, default=_DIRECTORY / "source", help="a copy, to be changed"
    )
    parser.add_argument("--tree", type=Path, default=_DIRECTORY / "tree", help="where it is built")
    parser.add_argument(
        "--config", type=Path, action="append", default=[], help="a further fragment"
    )
    args = parser.parse_args()
    for name in ("kernel", "series", "source", "tree"):
        setattr(args, name, getattr(args, name).absolute())
    try:
        result = check(args)
    except (SeriesError, ToolError) as error:
        print(f"virtio-balloon-rs: error: {error}", file=sys.stderr)
        return 1
    say(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
