# SPDX-License-Identifier: GPL-2.0
"""The list of mutants as it is in Documentation/development/mutants.rst."""

from __future__ import annotations

from collections.abc import Iterable

from tools.mutants.mutant import KUNIT, Mutant

_HEAD = """\
.. list-table::
   :header-rows: 1
   :widths: 26 44 30

   * - mutant
     - what is wrong
     - caught by
"""


def table(mutants: Iterable[Mutant]) -> str:
    """A reStructuredText table, a row for each mutant."""
    return _HEAD + "".join(
        f"   * - ``{mutant.name}``\n     - {mutant.about}\n     - {_tests(mutant)}\n"
        for mutant in mutants
    )


def _tests(mutant: Mutant) -> str:
    return ", ".join("KUnit" if test == KUNIT else f"``{test}``" for test in mutant.tests)
