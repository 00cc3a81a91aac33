# SPDX-License-Identifier: GPL-2.0
"""Statistics: polled while the balloon moves, and compared with the guest's own files and with
the C driver, on an idle guest and on a busy one. Check kernel."""

from dataclasses import dataclass, replace

import pytest

from tools.guest import balloon, contents, drivers, hinting, stats

# What /proc/vmstat calls the events that a tag counts, and the unit of the tag. These only grow.
EVENTS = {
    "swap-in": (("pswpin",), 4096),
    "swap-out": (("pswpout",), 4096),
    "major-faults": (("pgmajfault",), 1),
    "minor-faults": (("pgfault",), 1),
    "oom-kills": (("oom_kill",), 1),
    "alloc-stalls": (
        ("allocstall_dma", "allocstall_dma32", "allocstall_normal", "allocstall_movable"),
        1,
    ),
    "async-scans": (("pgscan_kswapd",), 4096),
    "direct-scans": (("pgscan_direct",), 4096),
    "async-reclaims": (("pgsteal_kswapd",), 4096),
    "direct-reclaims": (("pgsteal_direct",), 4096),
    "htlb-pgalloc": (("htlb_buddy_alloc_success",), 1),
    "htlb-pgfail": (("htlb_buddy_alloc_fail",), 1),
}
# What /proc/meminfo has for the tags that go up and down, in KiB.
SIZES = {
    "total-memory": ("MemTotal",),
    "free-memory": ("MemFree",),
    "available-memory": ("MemAvailable",),
    "disk-caches": ("Cached", "SwapCached", "Buffers"),
}
TAGS = EVENTS.keys() | SIZES.keys()


@dataclass(frozen=True)
class Sample:
    """A report, and what the guest's files said right before and right after it."""

    before: dict[str, int]
    reported: dict[str, int]
    after: dict[str, int]


def _from_files(guest):
    vmstat = {}
    for line in guest.agent.read("/proc/vmstat").splitlines():
        name, value = line.split()
        vmstat[name] = int(value)
    meminfo = guest.agent.meminfo()
    events = {
        tag: sum(vmstat.get(name, 0) for name in names) * unit
        for tag, (names, unit) in EVENTS.items()
    }
    sizes = {tag: sum(meminfo[name] for name in names) * 1024 for tag, names in SIZES.items()}
    return events | sizes


def _sample(guest):
    before = _from_files(guest)
    reported = stats.fresh(guest).values
    return Sample(before, reported, _from_files(guest))


def _check_against_files(sample, slack):
    assert sample.reported.keys() == TAGS
    for tag in EVENTS:
        low, value, high = sample.before[tag], sample.reported[tag], sample.after[tag]
        assert low <= value <= high, f"{tag} is {value}, /proc/vmstat had {low} and {high}"
    assert sample.reported["total-memory"] == sample.before["total-memory"]
    for tag in SIZES:
        low, high = sorted((sample.before[tag], sample.after[tag]))
        value = sample.reported[tag]
        assert low - slack <= value <= high + slack, (
            f"{tag} is {value}, /proc/meminfo had {low} and {high}"
        )


def _check_between(earlier, sample, later, slack):
    """`sample` lies within what two other drivers' reports around it allow."""
    for tag in EVENTS:
        low, value, high = earlier.reported[tag], sample.reported[tag], later.reported[tag]
        assert low <= value <= high, f"{tag} is {value}, between {low} and {high}"
    assert sample.reported["total-memory"] == earlier.reported["total-memory"]
    for tag in SIZES:
        low, high = sorted((earlier.reported[tag], later.reported[tag]))
        value = sample.reported[tag]
        assert low - slack[tag] <= value <= high + slack[tag], f"{tag}: {value}, {low} to {high}"


def _idle(guests, guest):
    pass


def _busy(guests, guest):
    """Makes every event happen that is counted, and leaves the guest at work."""
    for pattern in (
        "oom-kill",
        "Out of memory: Killed process",
        "Call Trace:",
        # Who has to find memory for others may itself have to wait for some.
        "(kswapd0|agent): page allocation failure",
    ):
        guests.allow(pattern)
    agent = guest.agent
    agent.write("/proc/sys/vm/overcommit_memory", "1")
    # Pages of processes go out and come in again: reclaim in the background and directly.
    assert agent.call("hog-start", 300, mib=192, seed=81)["signal"] == 0
    verdict = agent.call("hog-stop", 300)
    assert verdict["pages"] > 0 and verdict["wrong"] == 0
    # More than memory and swap together.
    assert agent.call("hog-start", 300, mib=384, seed=82)["signal"] == 9
    # The first few can be had, so many cannot.
    agent.run("echo 2 > /proc/sys/vm/nr_hugepages; echo 4096 > /proc/sys/vm/nr_hugepages", 120)
    agent.run("echo 0 > /proc/sys/vm/nr_hugepages")
    events = _from_files(guest)
    quiet = [tag for tag in EVENTS if not events[tag]]
    assert not quiet, f"nothing happened for {quiet}"
    contents.churn(guest, mib_per_s=8)


@pytest.mark.parametrize("load", [_idle, _busy], ids=["idle", "busy"])
def test_values(guests, machine, driver, logs, load):
    swap = logs / "swap"
    with swap.open("wb") as disk:
        disk.truncate(96 << 20)
    guest = guests.start(replace(machine, memory_mib=192, disk=swap))
    guest.agent.run("mkswap /dev/vda && swapon /dev/vda")
    drivers.C.load(guest)
    if driver is not drivers.C:
        driver.load(guest)
    contents.keep(guest, mib=16)
    load(guests, guest)

    theirs = [_sample(guest) for _ in range(2)]
    drivers.rebind(guest, drivers.C, driver)
    ours = [_sample(guest) for _ in range(2)]
    drivers.rebind(guest, driver, drivers.C)
    theirs_again = [_sample(guest)]

    # What changes on its own from one report of the C driver to the next, and what a driver's
    # coming and going takes.
    slack = {
        tag: hinting.TOLERANCE_KIB * 1024 + _spread([*theirs, *theirs_again], tag) for tag in SIZES
    }
    for sample in (*theirs, *ours, *theirs_again):
        print(sample.reported)
        _check_against_files(sample, max(slack.values()))
    for sample in ours:
        _check_between(theirs[-1], sample, theirs_again[0], slack)
    if load is _busy:
        contents.check_churn(guest)
    contents.check_kept(guest)


def _spread(samples, tag):
    values = [sample.reported[tag] for sample in samples]
    return max(values) - min(values)


def test_polling_while_inflating(guests, machine, driver):
    guest = guests.start(replace(machine, memory_mib=512))
    driver.load(guest)
    contents.keep(guest)
    free = hinting.free_kib(guest)
    stats.poll(guest, 1)
    last = stats.read(guest).last_update
    for cycle in range(8):
        balloon.set_remaining(guest, 512 if cycle % 2 else 160)
        reading = stats.wait_for_update(guest, last)
        assert reading.values.keys() == TAGS
        assert 0 < reading.values["free-memory"] <= reading.values["total-memory"] <= 512 << 20
        last = reading.last_update
        balloon.wait_for_actual(guest, 512 if cycle % 2 else 160)
    stats.poll(guest, 0)
    hinting.wait_for_free(guest, free)
    contents.check_kept(guest)


def test_polling_stopped_guest(guests, machine, driver):
    """A guest that is stopped in the middle of it goes on to report, and so does one rebooted."""
    guest = guests.start(replace(machine, memory_mib=512, reboot=True))
    driver.load(guest)
    stats.poll(guest, 1)
    for _ in range(2):
        last = stats.wait_for_update(guest, stats.read(guest).last_update).last_update
        guest.stand_still()
        guest.cont()
        stats.wait_for_update(guest, last)
    guest.reboot()
    driver.load(guest)
    stats.wait_for_update(guest, stats.read(guest).last_update)
