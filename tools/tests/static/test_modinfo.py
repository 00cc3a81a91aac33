# SPDX-License-Identifier: GPL-2.0
"""What `modinfo` says of the module is complete, and is what the administrator's guide says."""

import re
import shutil
import subprocess

import pytest

from tools.docs import parameters

GUIDE = "Documentation/admin-guide/virtio-balloon.rst"
TERM = re.compile(r"^``(\w+)`` \((\w+), (.+)\)$", re.MULTILINE)


@pytest.fixture(scope="module")
def fields(value):
    """The module's fields: each value of each name."""
    modinfo = shutil.which("modinfo") or shutil.which("modinfo", path="/usr/sbin:/sbin")
    assert modinfo, "modinfo is not there: install the package kmod"
    output = subprocess.run(
        [modinfo, value("MODULE_CHECK")], capture_output=True, text=True, check=True
    ).stdout
    found = {}
    for field in output.splitlines():
        name, _, text = field.partition(":")
        found.setdefault(name, []).append(text.strip())
    return found


def test_the_module(fields):
    assert fields["name"] == ["virtio_balloon_rs"]
    assert fields["license"] == ["GPL"]
    assert fields["description"] == ["Virtio balloon driver in Rust"]
    assert fields["author"] == ["The virtio-balloon-rs developers"]
    # That of the device: udev loads the module by it.
    assert fields["alias"] == ["virtio:d00000005v*"]
    assert fields["vermagic"][0].startswith("7.")


def test_parameters(fields, tree):
    """Each has a description that ends with unit, range and default, as in the guide."""
    guide = {name: (kind, end) for name, kind, end in TERM.findall((tree / GUIDE).read_text())}
    assert set(guide) == set(parameters.in_source(tree))
    said = dict(line.split(":", 1) for line in fields["parm"])
    assert set(said) == set(guide)
    for name, (kind, end) in guide.items():
        description = said[name]
        assert description.endswith(f" ({end}) ({kind})"), f"{name}: {description}"
        assert len(description) > len(end) + 20, name
