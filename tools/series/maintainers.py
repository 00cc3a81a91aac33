# SPDX-License-Identifier: GPL-2.0
"""Our entry in MAINTAINERS, which grows with what the patches add."""

from __future__ import annotations

from tools.series.model import SeriesError

PATH = "MAINTAINERS"
TITLE = "VIRTIO BALLOON [RUST]"
# It stands before this one: the file is sorted.
_NEXT = "\nVIRTIO BLOCK AND SCSI DRIVERS\n"


def add(text: str, owner: str, patterns: tuple[str, ...]) -> str:
    """MAINTAINERS with our entry, which has these patterns as well."""
    if not patterns:
        return text
    if f"\n{TITLE}\n" not in text:
        if text.count(_NEXT) != 1:
            raise SeriesError(f"{PATH}: the rule 'before VIRTIO BLOCK' does not match once")
        entry = (
            f"\n{TITLE}\n"
            f"M:\t{owner}\n"
            "L:\tvirtualization@lists.linux.dev\n"
            "L:\trust-for-linux@vger.kernel.org\n"
            "L:\tlinux-mm@kvack.org\n"
            "S:\tMaintained\n"
        )
        text = text.replace(_NEXT, entry + _NEXT)
    begin = text.index(f"\n{TITLE}\n") + 1
    end = text.index("\n\n", begin) + 1
    lines = text[begin:end].splitlines()
    had = {line for line in lines if line.startswith("F:\t")}
    new = {f"F:\t{pattern}" for pattern in patterns}
    if had & new:
        raise SeriesError(f"{PATH}: two patches add {sorted(had & new)}")
    head = [line for line in lines if not line.startswith("F:\t")]
    return text[:begin] + "\n".join([*head, *sorted(had | new)]) + "\n" + text[end:]
