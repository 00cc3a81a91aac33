# SPDX-License-Identifier: GPL-2.0
"""The list of mutants fits the tree and its documentation, so that `make mutants` can start.

Whether the mutants are caught is what that shows.
"""

import re

import pytest

from tools.mutants import documentation
from tools.mutants.catalogue import MUTANTS
from tools.mutants.mutant import node

DOCUMENTATION = "Documentation/development/mutants.rst"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_it_can_be_applied(tree, mutant):
    """Its text occurs once; that another one takes its place changes something."""
    text = (tree / mutant.file).read_text()
    assert mutant.changed(text) != text


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_its_tests_exist(tree, mutant):
    assert mutant.tests
    for test in mutant.tests:
        file, _, function = node(test).partition("::")
        source = (tree / file).read_text()
        name = function.partition("[")[0]
        assert not name or re.search(rf"^def {name}\(", source, re.MULTILINE), test


def test_names_are_unique():
    names = [mutant.name for mutant in MUTANTS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)+", name) for name in names)


def test_documentation(tree):
    """The table is what `python -m tools.mutants --table` prints."""
    assert documentation.table(MUTANTS) in (tree / DOCUMENTATION).read_text()
