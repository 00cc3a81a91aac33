# SPDX-License-Identifier: GPL-2.0
"""Reads a choice from the environment."""

from __future__ import annotations

import os
from collections.abc import Collection

from tools.guest.errors import ToolError


def choice(name: str, known: Collection[str]) -> tuple[str, ...]:
    """A list separated by commas or blanks; empty means all."""
    wanted = os.environ.get(name, "").replace(",", " ").split()
    unknown = [word for word in wanted if word not in known]
    if unknown:
        raise ToolError(f"{name}: {', '.join(unknown)} is unknown: choose from {', '.join(known)}")
    return tuple(word for word in known if not wanted or word in wanted)
