# SPDX-License-Identifier: GPL-2.0
"""What the documentation says of guests and of their monitor, done in one.

The blocks are found by their marks (tools/docs/blocks.py); the rest is in
tools/tests/static/test_docs_blocks.py.
"""

import json
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest
from docutils import nodes

from tools.docs import blocks
from tools.guest import drivers, patience, samples
from tools.guest.initramfs import MODULES
from tools.guest.machine import BALLOON_ID, Balloon

TREE = Path(__file__).resolve().parents[3]
FIGURES = TREE / "Documentation/admin-guide/reading-the-figures.rst"
DEBUGFS = "/sys/kernel/debug/virtio_balloon_rs-virtio0"


@pytest.fixture(scope="module")
def equipped(shared, machine):
    """A guest of the patched QEMU whose balloon has all that there is; without a driver."""
    more = {"extents": True}
    device = Balloon(free_page_reporting=True, deflate_on_oom=True, bitmap=True, more=more)
    return shared.start(replace(machine, balloon=device), "equipped")


@pytest.fixture(scope="module")
def ordinary(shared, machine, flavour):
    """A guest of any QEMU; without a driver. It has what the samples are for, too."""
    modules = {**machine.modules, **samples.modules(flavour)}
    # As the balloon is, so that QEMU makes it after that one, which is virtio0 then.
    device = json.dumps({"driver": "virtio-rng-pci", "rng": "rng0"})
    extra = ("-object", "rng-builtin,id=rng0", "-device", device)
    return shared.start(replace(machine, modules=modules, extra=extra), "ordinary")


def _load(guest, parameters=""):
    guest.agent.run("rmmod virtio_balloon_rs 2>/dev/null; true")
    guest.insmod(drivers.RUST_MODULE, parameters)


def _commands(text):
    """QMP's commands, one after the other, each over any number of lines."""
    decoder = json.JSONDecoder()
    while text := text.strip():
        command, end = decoder.raw_decode(text)
        yield command
        text = text[end:]


def _wait(guest, query, is_over):
    end = patience.until(60)
    while not is_over(answer := guest.monitor.command(query)):
        assert time.monotonic() < end, answer
        time.sleep(0.1)


def _settle(guest, command):
    """Until the next command can be given."""
    if command == "migrate":
        _wait(guest, "query-migrate", lambda answer: answer["status"] in ("completed", "failed"))
        assert guest.monitor.command("query-migrate")["status"] == "completed"
        guest.cont()
    elif command in ("x-balloon-free-page-report", "x-balloon-discard-free-pages"):
        _wait(
            guest,
            "x-query-balloon-free-page-report",
            lambda answer: answer["last"]["status"] != "in-progress",
        )
        last = guest.monitor.command("x-query-balloon-free-page-report")["last"]
        assert last["status"] == "done", last


def test_monitor_commands(equipped):
    """Each is taken, and does what it is there for."""
    guest = equipped
    _load(guest, "free_page_bitmap=1")
    schema = guest.monitor.command("query-qmp-schema")
    types = {entry["name"]: entry for entry in schema}
    seen = set()
    for block in blocks.of_kind(TREE, "qmp"):
        for command in _commands(block.text):
            name, arguments = command["execute"], command.get("arguments", {})
            assert set(command) <= {"execute", "arguments"}, f"{block}: {command}"
            members = types[types[name]["arg-type"]]["members"]
            assert set(arguments) <= {member["name"] for member in members}, f"{block}: {command}"
            if block.argument == "schema":
                continue
            guest.monitor.command(name, **arguments)
            _settle(guest, name)
            seen.add(name)
    assert {"balloon", "migrate", "x-balloon-discard-free-pages", "qom-get"} <= seen
    # The host's wish is followed, whatever came in between.
    _wait(guest, "query-balloon", lambda answer: answer["actual"] == 512 << 20)


def _in_guest(line):
    """There is no modprobe in these guests, and the module is not in the current directory."""
    line = re.sub(r"^modprobe (\w+)", rf"insmod {MODULES}/\1.ko", line)
    return re.sub(r"^insmod (\w+\.ko)", rf"insmod {MODULES}/\1", line)


@pytest.mark.parametrize("block", blocks.of_kind(TREE, "guest"), ids=str)
def test_shell_commands(ordinary, block):
    """Every line succeeds, in a guest whose device the C driver has if the block takes it away."""
    guest = ordinary
    guest.agent.run("rmmod virtio_balloon_rs virtio_balloon 2>/dev/null; true")
    if "unbind" in block.text:
        guest.insmod(drivers.C_MODULE)
    lines = [_in_guest(line.strip()) for line in block.text.splitlines()]
    for line in lines:
        code, output = guest.agent.try_run(line)
        assert code == 0, f"{block}: {line}: {output}"
    if "insmod" in "\n".join(lines) and block.argument != "samples":
        assert drivers.bound(guest) == "virtio_balloon_rs"


@pytest.mark.parametrize("block", blocks.of_kind(TREE, "log"), ids=str)
def test_log_lines(equipped, block):
    """The driver writes these lines."""
    guest = equipped
    guest.agent.run("dmesg -c >/dev/null")
    _load(guest, {"default": "", "bitmap": "free_page_bitmap=1"}[block.argument])
    log = re.sub(r"^\[[^]]*\] ", "", guest.agent.run("dmesg"), flags=re.MULTILINE).splitlines()
    for line in block.text.splitlines():
        assert line in log, log


def _first_cells(table):
    """The literals in the first column."""
    for row in table.findall(nodes.row):
        for literal in row.children[0].findall(nodes.literal):
            yield literal.astext()


def _tables():
    """The tables of the page about figures, by the literals of the paragraph before each."""
    document = blocks.document(FIGURES)
    for table in document.findall(nodes.table):
        before = table.parent.children[table.parent.children.index(table) - 1]
        yield before.astext(), set(_first_cells(table))


def test_figures(equipped):
    """The counters, the statistics and the kernel's lines are those of the tables."""
    guest = equipped
    _load(guest)
    tables = dict(_tables())
    for file in ("device", "last_request", "balloon", "hinting", "isolation", "bitmap"):
        names = drivers.counters(guest, f"{DEBUGFS}/{file}")
        (explained,) = (cells for text, cells in tables.items() if f"{DEBUGFS}/{file}" in text)
        assert explained == set(names), file
    device = f"/machine/peripheral/{BALLOON_ID}"
    answer = guest.monitor.command("qom-get", path=device, property="guest-stats")
    (explained,) = (cells for text, cells in tables.items() if "guest-stats" in text)
    assert explained == set(answer["stats"])
    (cells,) = (cells for cells in tables.values() if "/proc/meminfo" in cells)
    words = {cell for cell in cells if not cell.startswith("/")}
    there = guest.agent.run("cat /proc/meminfo /proc/vmstat")
    assert words <= set(re.findall(r"^\w+", there, re.MULTILINE))


def test_wrong_parameters(ordinary):
    """What the table of wrong values says."""
    guest = ordinary
    guest.agent.run("rmmod virtio_balloon_rs 2>/dev/null; true")
    insmod = f"insmod {MODULES}/{drivers.RUST_MODULE}"
    for value, log in (
        ("drop_caches=7", "drop_caches=7 is unknown"),
        ("drop_caches=much", "invalid for parameter `drop_caches'"),
        ("drop_caches=99999999999", "invalid for parameter `drop_caches'"),
    ):
        code, _ = guest.agent.try_run(f"{insmod} {value}")
        assert code != 0, value
        guest.wait_for_log(log)
    guest.agent.run(f"{insmod} no_such_thing=1")
    guest.wait_for_log("unknown parameter 'no_such_thing' ignored")
    assert "drop_caches" not in guest.agent.run("ls /sys/module/virtio_balloon_rs/parameters; true")
