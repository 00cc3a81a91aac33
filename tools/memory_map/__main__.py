# SPDX-License-Identifier: GPL-2.0
"""Draws one dump of the free blocks, or two side by side.

    python -m tools.memory_map BEFORE [AFTER] [-o PICTURE]

Exit status: 0, or 2 if a dump cannot be read.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tools.guest import paths
from tools.guest.errors import ToolError
from tools.memory_map import dump, picture

OUTPUT = paths.RESULTS / "memory-map.png"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="memory_map", description="Draws dumps of the sample rust_free_blocks as a picture."
    )
    parser.add_argument("before", type=Path, help="a dump")
    parser.add_argument("after", type=Path, nargs="?", help="a second one, drawn beside it")
    parser.add_argument("-o", "--output", type=Path, default=OUTPUT, help="a PNG file")
    arguments = parser.parse_args()
    given = [path for path in (arguments.before, arguments.after) if path]
    try:
        lines = picture.draw([(path.stem, dump.read(path)) for path in given], arguments.output)
    except ToolError as error:
        print(f"memory_map: error: {error}.", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"memory_map: error: {arguments.output}: {error.strerror}.", file=sys.stderr)
        return 2
    print(*lines, f"Written: {arguments.output}", sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
