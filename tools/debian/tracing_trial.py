# SPDX-License-Identifier: GPL-2.0
"""What the documentation has for trace-cmd, bpftrace and histograms, on Debian's kernel.

    python -m tools.debian.tracing_trial DISK ROOT RELEASE MODULE

The guest has our own small user space (tools/guest), and a system of Debian with these programs on
a disk (system-image.sh). Each block that is marked `.. check: debian SITUATION` is run in that
system; as soon as it listens the situation is brought about; then it is interrupted, as by Ctrl-C.
Each line that the page shows of its output (`.. check: debian output`) has to be among what it
printed, but for the numbers. Numbers that the driver counts as well have to be the driver's.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.debian import kernel_modules
from tools.docs import blocks
from tools.guest import balloon, bitmap, console, drivers, hinting, paths
from tools.guest.guest import Guest
from tools.guest.machine import Balloon, Machine

LOGS = paths.LOGS / "debian"
OUTPUT = "output"
MEMORY_MIB = 1536
# What remains to the guest, and more than that.
REMAINING_MIB, HOG_MIB = 700, 720
SYSTEM = "/system"
TRACEFS = "/sys/kernel/tracing"
_DEBUGFS = "/sys/kernel/debug/virtio_balloon_rs-*"
# bpftrace compiles what it runs, which is slow without KVM.
_LISTENS_S = 240.0
_BUCKET = r"^[\[(].*[\])] +(\d+) \|"


def _say(what: str) -> None:
    print(f"  {'debian tracing':<16} {what}", flush=True)


# ---- What happens while somebody listens ---------------------------------------------------------


def _hint(guest: Guest) -> None:
    assert hinting.one_round(guest).segments > 0, "no hints"


def _oom(guest: Guest) -> None:
    # The kernel is to give memory away until there is none, not to refuse in advance.
    guest.agent.write("/proc/sys/vm/overcommit_memory", "1")
    balloon.inflate_to(guest, REMAINING_MIB)
    assert guest.agent.call("hog-start", 600, mib=HOG_MIB, seed=51)["signal"] == 0
    assert guest.agent.call("hog-stop", 300)["wrong"] == 0


def _caches(guest: Guest) -> None:
    request = bitmap.Request(bitmap.fresh_id(), caches=bitmap.ALL_CACHES, end_pfn=1 << 12)
    assert bitmap.exchange(guest, request)[-1].caches_result == 1, "caches were not dropped"


@dataclass(frozen=True)
class Situation:
    parameters: str
    happen: Callable[[Guest], None]


SITUATIONS = {
    "hint": Situation(drivers.WALK.parameters, _hint),
    "oom": Situation("", _oom),
    "caches": Situation(drivers.BITMAP_DROP.parameters, _caches),
}


# ---- Who listens ---------------------------------------------------------------------------------


def _bpftrace_listens(guest: Guest) -> bool:
    state = guest.agent.run(f"cat {SYSTEM}/tmp/out; cat /proc/$(pidof bpftrace)/wchan; true")
    return "Attaching" in state and "poll" in state.splitlines()[-1]


def _trace_cmd_listens(guest: Guest) -> bool:
    """It switches tracing off while it prepares."""
    state = guest.agent.run(f"cat {TRACEFS}/tracing_on {TRACEFS}/events/virtio_balloon/enable")
    tracing, events = state.split()
    return tracing == "1" and events != "0" and bool(guest.agent.run("pidof trace-cmd; true"))


def _cat_listens(guest: Guest) -> bool:
    return bool(guest.agent.run("pidof cat; true"))


@dataclass(frozen=True)
class Tool:
    """A command that goes on until it is interrupted."""

    begins: str
    listens: Callable[[Guest], bool]
    interrupt: str


TOOLS = (
    Tool("bpftrace ", _bpftrace_listens, "killall -INT bpftrace"),
    Tool("trace-cmd record ", _trace_cmd_listens, "killall -INT trace-cmd"),
    # A shell that is not interactive has what is in the background ignore Ctrl-C.
    Tool("cat ../../trace_pipe", _cat_listens, "killall cat; killall dmesg 2>/dev/null; true"),
)


# ---- What it has to print ------------------------------------------------------------------------


@dataclass(frozen=True)
class Figure:
    """All numbers that `pattern` finds add up to the driver's counter."""

    command: str
    pattern: str
    file: str
    counter: str


FIGURES = (
    Figure("virtio_balloon_hint {", _BUCKET, "last_request", "elements"),
    Figure("virtio_balloon_walk_batch {", _BUCKET, "last_request", "holds"),
    Figure("virtio_balloon_request_end {", r"(\d+) pages in", "last_request", "pages"),
    Figure("hist:keys=", r"Hits: (\d+)", "last_request", "holds"),
    Figure("record -e virtio_balloon\n", r"virtio_balloon_hint: .* pages=(\d+)", "last_request", "pages"),
    Figure("args.purpose == 1", r"^@pages\[.*\]: (\d+)", "balloon", "oom_deflated"),
)


def commands(text: str) -> Iterator[str]:
    """The commands of a block; one may go on over several lines."""
    command = ""
    for line in text.splitlines():
        command = f"{command}\n{line}" if command else line
        if command.count("'") % 2 == 0 and not command.endswith("\\"):
            yield command
            command = ""
    assert not command, f"a command without an end: {command!r}"


def shape(line: str) -> str:
    """A line without what differs from run to run."""
    line = re.sub(r"\|[@ ]*\|", "|bar|", line)
    line = re.sub(r"0x[0-9a-f]+|\d+[KMG]?", "N", line)
    # bpftrace 0.23.2 leaves out what is a string of a tracepoint's.
    line = re.sub(r"\[N, \w*\]", "[N, *]", line)
    return " ".join(line.split())


def missing(shown: str, printed: str) -> list[str]:
    """The lines of the documentation that were not printed; their beginnings may be left out."""
    lines = [shape(line) for line in printed.splitlines()]
    return [
        line for line in shown.splitlines()
        if line.strip() and not any(shape(line) in other for other in lines)
    ]  # fmt: skip


def _with_output() -> Iterator[tuple[blocks.Block, str]]:
    """Each block of commands, and what the page shows of its output."""
    found: list[tuple[blocks.Block, str]] = []
    for block in blocks.of_kind(paths.ROOT, "debian"):
        if block.argument == OUTPUT:
            found[-1] = (found[-1][0], block.text)
        else:
            found.append((block, ""))
    assert all(shown for _, shown in found), "a block whose output is not shown"
    return iter(found)


# ---- In the guest --------------------------------------------------------------------------------


def _in_system(guest: Guest, script: str, background: bool = False) -> str:
    script = f"export PATH=/usr/sbin:/usr/bin:/sbin:/bin\ncd /tmp\n{script}"
    guest.agent.run(f"cat > {SYSTEM}/tmp/script <<'END'\n{script}\nEND")
    # With its path, lest it is busybox's.
    command = f"chroot {SYSTEM} /bin/sh /tmp/script </dev/null"
    if background:
        return guest.agent.run(f"({command} >{SYSTEM}/tmp/out 2>&1) >/dev/null 2>&1 &")
    return guest.agent.run(f"{command} 2>&1", 120)


def _printed(guest: Guest, block: blocks.Block, happen: Callable[[Guest], None]) -> str:
    lines = list(commands(block.text))
    for number, line in enumerate(lines):
        tool = next((tool for tool in TOOLS if line.startswith(tool.begins)), None)
        if not tool:
            continue
        _in_system(guest, "\n".join(lines[: number + 1]), background=True)
        try:
            hinting.wait_until(lambda: tool.listens(guest), f"{tool.begins} listens", _LISTENS_S)
            happen(guest)
            # What it prints at once may be on its way.
            time.sleep(1)
        finally:
            name = tool.begins.split()[0]
            wait = f"while pidof {name} >/dev/null; do sleep 0.2; done"
            guest.agent.run(f"{tool.interrupt}; {wait}", 120)
            printed = guest.agent.read(f"{SYSTEM}/tmp/out")
        rest = lines[number + 1 :]
        return printed + (_in_system(guest, "\n".join(rest)) if rest else "")
    # Nothing waits: one of them looks at what those before it have prepared.
    looks = next(number for number, line in enumerate(lines) if line.startswith("cat "))
    _in_system(guest, "\n".join(lines[:looks]))
    happen(guest)
    where = [line for line in lines[:looks] if line.startswith("cd ")]
    return _in_system(guest, "\n".join([*where, *lines[looks:]]))


def _check(guest: Guest, block: blocks.Block, shown: str) -> None:
    situation = SITUATIONS[block.argument]
    guest.agent.run("rmmod virtio_balloon_rs 2>/dev/null; true")
    guest.insmod(drivers.RUST_MODULE, situation.parameters)
    printed = _printed(guest, block, situation.happen)
    absent = missing(shown, printed)
    assert not absent, f"{block}: not printed: {absent}; but:\n{printed}"
    for figure in (figure for figure in FIGURES if figure.command in block.text):
        numbers = re.findall(figure.pattern, printed, re.MULTILINE)
        counted = drivers.counter(guest, figure.counter, f"{_DEBUGFS}/{figure.file}")
        total = sum(int(number) for number in numbers)
        assert total == counted > 0, f"{block}: {figure}: {total}, not {counted}:\n{printed}"
    if situation is SITUATIONS["oom"]:
        balloon.deflate_all(guest)


def _start(guest: Guest, modules: list[Path]) -> None:
    guest.boot(600.0)
    for module in modules:
        guest.insmod(module.name)
    for line in (
        f"mkdir {SYSTEM} && mount -t ext4 -o ro,noload /dev/vda {SYSTEM}",
        f"for name in proc sys dev; do mount --rbind /$name {SYSTEM}/$name; done",
        f"mount -t tmpfs tmpfs {SYSTEM}/tmp",
    ):
        guest.agent.run(line)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="tools.debian.tracing_trial", description=__doc__.splitlines()[0]
    )
    parser.add_argument("disk", type=Path)
    parser.add_argument("root", type=Path)
    parser.add_argument("release")
    parser.add_argument("module", type=Path)
    given = parser.parse_args()
    LOGS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        found = kernel_modules.with_dependencies(
            given.root / "usr/lib/modules" / given.release, ("virtio_blk", "ext4")
        )
        modules = [kernel_modules.uncompressed(module, Path(directory)) for module in found]
        machine = Machine(
            kernel=given.root / f"boot/vmlinuz-{given.release}",
            modules={drivers.RUST_MODULE: given.module, **{path.name: path for path in modules}},
            memory_mib=MEMORY_MIB,
            balloon=Balloon(deflate_on_oom=True, bitmap=True),
            read_only_disks=(given.disk,),
            deadline=1800.0,
        )
        guest = Guest(machine, LOGS, "tracing")
        try:
            _start(guest, modules)
            _say(" ".join(_in_system(guest, "dpkg-query -W bpftrace trace-cmd").split()))
            for block, shown in _with_output():
                _check(guest, block, shown)
                _say(f"{block} prints what it is to print")
        finally:
            guest.stop()
    console.check([guest.console_log])
    _say("the kernel's log is clean")


if __name__ == "__main__":
    main()
