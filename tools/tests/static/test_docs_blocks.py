# SPDX-License-Identifier: GPL-2.0
"""Every command and every output in the documentation is looked at by something, and is right.

What needs a guest is in tools/tests/guest/test_docs_guest.py. The kinds of blocks are in
Documentation/development/testing.rst.
"""

import ast
import re
from pathlib import Path

import pytest

from tools.docs import blocks, commands, libvirt, parameters, qemu

TREE = Path(__file__).resolve().parents[3]
KINDS = {"commands", "debian", "files", "guest", "libvirt", "log", "modprobe", "none", "output", "python"}
KINDS |= {"qemu", "qmp"}


def _of(kind):
    return pytest.mark.parametrize("block", blocks.of_kind(TREE, kind), ids=str)


def test_every_block_is_checked():
    for block in blocks.all_blocks(TREE):
        assert block.kind in KINDS, f"{block}: no `check:` before it: {block.text[:60]!r}"


@_of("none")
def test_there_is_a_reason(block):
    assert len(block.argument.split()) > 3


@pytest.mark.parametrize("page", blocks.pages(TREE) + blocks.readmes(TREE), ids=lambda p: p.name)
def test_make_and_python(tree, page):
    """Also what is said of them within the text."""
    texts = [text for text in blocks.literals(page) if text.startswith(("make ", "$PYTHON "))]
    file = str(page.relative_to(tree))
    texts += [b.text for b in blocks.all_blocks(tree) if b.file == file and b.kind != "none"]
    for text in texts:
        wrong = [*commands.wrong_in_make(tree, text), *commands.wrong_in_python(tree, text)]
        assert not wrong, wrong


def test_wrong_commands_are_found(tree):
    # In pieces, as this file is among those that are searched for variables.
    for text in ("make chekc", "make check AR" + "GZ=1", "$(make setup-no)", "make check\nmake no"):
        assert list(commands.wrong_in_make(tree, text)), text
    for text in (
        "$PYTHON -m tools.no",
        "$PYTHON -m pytest tools/tests/guest/test_no.py",
        "$PYTHON -m pytest --no",
    ):
        assert list(commands.wrong_in_python(tree, text)), text


@_of("qemu")
def test_qemu_starts(block, value, tmp_path):
    program = value("QEMU_PATCHED" if block.argument == "patched" else "QEMU")
    qemu.start(program, block.text, tmp_path)


def test_a_wrong_property_is_found(value, tmp_path):
    with pytest.raises(AssertionError, match="free-page-hnit"):
        qemu.start(value("QEMU"), "-device virtio-balloon-pci,free-page-hnit=on", tmp_path)


@_of("libvirt")
def test_libvirt_takes_it(block):
    libvirt.validate(block.text, block.argument == "domain")


def test_a_wrong_element_is_found():
    with pytest.raises(Exception, match="memballoon|devices|domain"):
        libvirt.validate("<memballoon model='virtio' freePageHint='on'/>", is_domain=False)


@_of("modprobe")
def test_parameters_exist(block):
    known = parameters.in_source(TREE)
    for line in block.text.splitlines():
        words = line.split()
        assert words[:2] == ["options", "virtio_balloon_rs"]
        assert {word.partition("=")[0] for word in words[2:]} <= set(known)


@_of("python")
def test_python_is_python(block):
    ast.parse(block.text)


@_of("files")
def test_files_exist(block):
    """A line that ends in a slash is where the deeper ones below it are; so is its own folder."""
    above: list[tuple[int, Path]] = []
    for line in block.text.splitlines():
        names = re.match(r"\s*([^\s,]+(?:, [^\s,]+)*)", line)[1].split(", ")
        depth = len(line) - len(line.lstrip())
        above = [(other, path) for other, path in above if other < depth]
        for name in names:
            bases = [TREE, *(path for _, path in above)]
            found = next((base / name for base in bases if (base / name).exists()), None)
            assert found, f"{block}: there is no {name}"
            # What comes after it on the line may be beside it, what comes below it is in it.
            above.append((depth, found if found.is_dir() else found.parent))


@_of("output")
def test_output_is_what_the_tool_writes(block):
    """The words that each line begins with are in the tool's source."""
    source = "".join(path.read_text() for path in (TREE / block.argument).rglob("*.py"))
    for line in block.text.splitlines():
        words = re.match(r"[^<\d=:]*", line.strip())[0].strip()
        assert words in source, f"{block}: {block.argument} does not write {words!r}"
