# SPDX-License-Identifier: GPL-2.0
"""What the documentation calls by name is there, and what is there is in the documentation."""

import re

import pytest
from docutils import nodes

from tools.docs import architecture, blocks, names, parameters

GUIDE = "Documentation/admin-guide"
TERM = re.compile(r"^``(\w+)`` \((\w+),.*default ([-\w]+)\)$", re.MULTILINE)
DEFAULTS = {"true": "1", "false": "0"}


def test_parameters(tree):
    """Each with its type and its default."""
    source = {
        name: (kind, DEFAULTS.get(default, default))
        for name, (kind, default) in parameters.in_source(tree).items()
    }
    guide = TERM.findall((tree / GUIDE / "virtio-balloon.rst").read_text())
    assert len(guide) == len(source)
    assert {name: (kind, default) for name, kind, default in guide} == source


def _message_table(tree):
    document = blocks.document(tree / GUIDE / "troubleshooting.rst")
    sections = document.findall(nodes.section)
    (section,) = (section for section in sections if "every-message" in section["ids"])
    for term in section.findall(nodes.term):
        yield parameters.masked(" ".join(term.astext().split()))


def test_messages(tree):
    """Every line that the module may write to the log is explained, and no other."""
    explained = list(_message_table(tree))
    assert len(set(explained)) == len(explained)
    source = {message.replace("\\'", "'") for message in parameters.messages(tree)}
    assert len(source) > 20
    assert set(explained) == source


def test_architecture_picture(tree):
    """It is what its script draws, and its files exist."""
    assert architecture.FILE.read_text() == architecture.draw()
    for file in architecture.files():
        assert (tree / file).exists(), file


DEVELOPER = ("architecture", "requests", "locking", "extending", "history", "../samples/index")


@pytest.mark.parametrize("page", DEVELOPER)
def test_names_exist(tree, page):
    """Files, types and functions of the developer's guide, and of the samples' page."""
    found = list(names.unknown(tree, tree / f"Documentation/development/{page}.rst"))
    assert not found, found


def test_a_wrong_name_is_found(tree, tmp_path):
    page = tmp_path / "page.rst"
    # In pieces, as this file is part of what is searched.
    no = "no_" + "such"
    wrong = ["drivers/virtio/no.rs", "No" + "Such", f"Hinting::{no}()", f"{no}()"]
    page.write_text(" ".join(f"``{name}``" for name in wrong))
    assert list(names.unknown(tree, page)) == wrong
