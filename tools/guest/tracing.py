# SPDX-License-Identifier: GPL-2.0
"""The driver's tracepoints: what is documented and declared of them, and what a guest has seen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tools.guest import drivers, paths
from tools.guest.guest import Guest

DOCUMENTATION = paths.ROOT / "Documentation/admin-guide/virtio-balloon-tracing.rst"
HEADER = paths.ROOT / "include/trace/events/virtio_balloon.h"
DRIVER = paths.ROOT / "drivers/virtio/virtio_balloon/events.rs"
SYSTEM = "virtio_balloon"
_MODULE = "virtio_balloon_rs"
_TRACEFS = "/sys/kernel/tracing"
_EVENTS = f"{_TRACEFS}/events/{SYSTEM}"
_DEBUGFS = "/sys/kernel/debug/virtio_balloon_rs-*"
# A heading that is the name of an event, and a row of a table whose first cell is a field.
_HEADING = re.compile(rf"^({SYSTEM}_\w+)\n-+$", re.MULTILINE)
_ROW = re.compile(r"^``(\w+)``  +(\S.*?)  +\S", re.MULTILINE)
_FIELD = re.compile(r"^\tfield:[^;]*?(\w+)(?:\[\d*\])?;", re.MULTILINE)
_CLASS = re.compile(
    r"^(?:TRACE_EVENT|DECLARE_EVENT_CLASS)\((\w+),.*?TP_STRUCT__entry\((.*?)\n\t\),",
    re.MULTILINE | re.DOTALL,
)
_OF_CLASS = re.compile(r"^DEFINE_EVENT\((\w+), (\w+),", re.MULTILINE)
# Numbers that stand for something: a row with its words, the macro that shows them, the enum.
_LONG_ROW = re.compile(r"^``(\w+)``((?: .*\n)+)", re.MULTILINE)
_WORD = re.compile(r"(\d+)\s+``([\w-]+)``")
_SHOWN = re.compile(r"__print_symbolic\((\w+),(.*?)\)\n", re.DOTALL)
_SHOWN_WORD = re.compile(r'\{ (\d+), "([\w-]+)" \}')
_ENUM = re.compile(r"^    (\w+) \{\n(.*?)^    \}", re.MULTILINE | re.DOTALL)
_ENUM_WORD = re.compile(r'= (\d+) "([\w-]+)",')
_LINE = re.compile(rf"^ *(\S.*)-\d+ .*: ({SYSTEM}_\w+): (.*)$", re.MULTILINE)
_WORDS = re.compile(r"(\w+)=(\S+)")

Fields = dict[str, int | str]
Words = dict[int, str]


@dataclass(frozen=True)
class Event:
    name: str
    # The task that it happened in.
    task: str
    fields: Fields

    def __getitem__(self, name: str) -> int | str:
        return self.fields[name]

    def number(self, name: str) -> int:
        value = self.fields[name]
        assert isinstance(value, int), f"{name} is {value!r}"
        return value


def documented() -> dict[str, list[str]]:
    """The events of the documentation, each with the names of its fields in order."""
    _, *parts = _HEADING.split(DOCUMENTATION.read_text())
    found = {}
    for name, text in zip(parts[::2], parts[1::2], strict=True):
        found[name] = [match[1] for match in _ROW.finditer(text)]
    return found


def declared() -> dict[str, list[str]]:
    """The same for the C header."""
    text = HEADER.read_text()
    classes = {
        match[1]: re.findall(r"__(?:field\([^,]*, |string\()(\w+)", match[2])
        for match in _CLASS.finditer(text)
    }
    for kind, name in _OF_CLASS.findall(text):
        classes[name] = classes[kind]
    return {
        name: fields
        for name, fields in classes.items()
        if name not in {kind for kind, _ in _OF_CLASS.findall(text)}
    }


def documented_words() -> dict[str, Words]:
    """What a field's numbers stand for, of those fields that have words for them."""
    return _words(_LONG_ROW, _WORD, DOCUMENTATION.read_text())


def declared_words() -> dict[str, Words]:
    """The same as the C header shows them."""
    return _words(_SHOWN, _SHOWN_WORD, HEADER.read_text())


def driver_words() -> dict[str, Words]:
    """The same as the driver has them, by the names of its enums."""
    return _words(_ENUM, _ENUM_WORD, DRIVER.read_text())


def _words(part: re.Pattern[str], word: re.Pattern[str], text: str) -> dict[str, Words]:
    found = {}
    for match in part.finditer(text):
        # A field may be that of an event above.
        if words := word.findall(match[2]):
            found[match[1]] = {int(number): said for number, said in words}
    return found


def format_file(name: str) -> str:
    """Where the kernel says what an event has."""
    return f"{_EVENTS}/{name}/format"


def formats(guest: Guest) -> dict[str, list[str]]:
    """The same for the kernel that has the module."""
    found = {}
    for name in guest.agent.run(f"cd {_EVENTS} && ls -d {SYSTEM}_*").split():
        text = guest.agent.read(format_file(name))
        fields = [match[1] for match in _FIELD.finditer(text)]
        found[name] = [field for field in fields if not field.startswith("common_")]
    return found


@dataclass
class Recording:
    """What happened until the end of recording()."""

    events: list[Event] = field(default_factory=list)

    def of(self, name: str) -> list[Event]:
        return [event for event in self.events if event.name == f"{SYSTEM}_{name}"]

    def one(self, name: str) -> Event:
        (event,) = self.of(name)
        return event

    def moved(self, name: str, purpose: str) -> list[Event]:
        """Buffers that were put into the balloon, or taken out of it, for that."""
        return [event for event in self.of(name) if event["purpose"] == purpose]

    def sum(self, name: str, what: str) -> int:
        return sum(event.number(what) for event in self.of(name))


@contextmanager
def recording(guest: Guest, kib: int = 8192) -> Iterator[Recording]:
    """Fills in the result at the end of the block. The module may be loaded in it, but not go: the
    kernel forgets then what it has recorded. Each CPU gets `kib` of memory for it."""
    found = Recording()
    guest.agent.write(f"{_TRACEFS}/trace", "")
    guest.agent.write(f"{_TRACEFS}/buffer_size_kb", str(kib))
    # The kernel remembers it for a module that is not there yet.
    guest.agent.write(f"{_TRACEFS}/set_event", f":mod:{_MODULE}")
    try:
        yield found
    finally:
        text = guest.agent.read(f"{_TRACEFS}/trace")
        guest.agent.write(f"{_TRACEFS}/set_event", "")
        # Tests compare what is free before and after.
        guest.agent.write(f"{_TRACEFS}/buffer_size_kb", "64")
    found.events += [
        Event(match[2], match[1], {key: _value(text) for key, text in _WORDS.findall(match[3])})
        for match in _LINE.finditer(text)
    ]


def _value(text: str) -> int | str:
    try:
        return int(text, 0)
    except ValueError:
        return text


def device(guest: Guest) -> Fields:
    """What debugfs has of the device as a whole."""
    return drivers.counters(guest, f"{_DEBUGFS}/device")


def last_request(guest: Guest) -> Fields:
    """What debugfs has of the last request."""
    return drivers.counters(guest, f"{_DEBUGFS}/last_request")
