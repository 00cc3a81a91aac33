# SPDX-License-Identifier: GPL-2.0
"""What the user may choose, from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from tools.guest.choice import choice
from tools.guest.errors import ToolError
from tools.variants.catalogue import Variant

# Its kernel is built whole by default: what fails somewhere is likely to fail there.
BOOTED = "tiny"


@dataclass(frozen=True)
class Settings:
    variants: tuple[Variant, ...]
    # The names of those whose kernel is built whole, and booted.
    boot: frozenset[str]


def from_environment(known: Mapping[str, Variant]) -> Settings:
    variants = tuple(known[name] for name in choice("VARIANTS", known))
    chosen = {variant.name for variant in variants}
    wanted = os.environ.get("VARIANTS_BOOT", "").replace(",", " ").split()
    match wanted:
        case []:
            boot = chosen & {BOOTED}
        case ["none"]:
            boot = set()
        case ["all"]:
            boot = chosen
        case _:
            boot = set(wanted)
            if others := sorted(boot - chosen):
                raise ToolError(
                    f"VARIANTS_BOOT: {', '.join(others)} is not among the variants: choose from "
                    f"{', '.join(sorted(chosen))}, or all, or none"
                )
    return Settings(variants, frozenset(boot))
