# SPDX-License-Identifier: GPL-2.0
"""Builds all variants that were chosen, however many fail, and says what came of each."""

from __future__ import annotations

import sys

from rich.console import Console

from tools.guest import paths
from tools.guest.errors import ToolError
from tools.variants import boot, build, report, settings
from tools.variants.catalogue import Variant, catalogue
from tools.variants.report import Outcome


def check(variant: Variant, whole: bool, screen: Console) -> Outcome:
    outcome = Outcome(variant.name, variant.about)
    try:
        screen.rule(variant.name)
        build.kernel(variant, whole)
        outcome.kernel = "whole" if whole else "prepared"
        outcome.release = build.release(variant)
        module = build.module(variant, kunit=False)
        outcome.module = "built"
        kunit_module = build.module(variant, kunit=True)
        outcome.kunit_module = "built"
        build.samples(variant)
        outcome.samples = "built"
        if whole:
            outcome.tried = boot.try_out(variant, build.tree(variant), module, kunit_module)
    except (AssertionError, OSError, ToolError) as error:
        outcome.failure = str(error) or "something is not as it has to be"
    return outcome


def main() -> int:
    screen = Console(soft_wrap=True, highlight=False)
    try:
        chosen = settings.from_environment(catalogue())
    except ToolError as error:
        print(f"variants: {error}", file=sys.stderr)
        return 2
    outcomes = [
        check(variant, variant.name in chosen.boot, screen) for variant in chosen.variants
    ]
    report.write(outcomes, paths.RESULTS)
    report.show(outcomes, screen)
    return 1 if any(outcome.failure for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
