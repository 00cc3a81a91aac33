# SPDX-License-Identifier: GPL-2.0
"""Live migration under memory churn, with every page compared. Needs the patched QEMU, too.

The runs without hinting and with the C driver are the controls: if they fail too, the driver
is not to blame.
"""

from dataclasses import replace

import pytest

from tools.guest import bitmap, drivers, isolation, migration

HOPS = 2


@pytest.mark.parametrize("driver", drivers.ALL.values(), ids=drivers.ALL)
def test_contents_survive(guests, machine, driver):
    machine = replace(
        machine, balloon=driver.balloon(), trace=bitmap.TRACE if driver.bitmap else ()
    )
    guest = guests.start(machine, "guest0")
    driver.load(guest)
    guest.agent.call("fill", name="kept", mib=96, seed=11)
    guest.agent.call("fill", name="thinned", mib=192, seed=12)
    guest.agent.call("thin", name="thinned", block=4096)
    guest.agent.call("fill", name="freed", mib=384, seed=13)
    guest.agent.call("drop", name="freed")
    guest.agent.call("rewrite-start", mib=32, kib_per_s=16384, seed=14)
    # Allocated, written, read, and freed during the migrations and after them.
    guest.agent.call("churn-start", chunk_kib=1024, kib_per_s=32768, keep_ms=3000, seed=15)

    for hop in range(1, HOPS + 1):
        following = guests.start(machine, f"guest{hop}", incoming=True)
        result = migration.migrate(guest, following)
        print(f"{driver.name}, hop {hop}: {result}")
        if driver.bitmap:
            # By one of its requests, not necessarily the last one.
            assert bitmap.query(guest)["last"]["for-migration"]
            assert bitmap.skipped_bytes(guest) > 0
        guest.stop()
        guest = following
        guest.agent.ping()

    verdicts = {
        "churn": guest.agent.call("churn-stop"),
        "rewrite": guest.agent.call("rewrite-stop"),
        "kept": guest.agent.call("verify", name="kept"),
        "thinned": guest.agent.call("verify", name="thinned"),
    }
    for name, verdict in verdicts.items():
        assert verdict["pages"] > 0 and verdict["wrong"] == 0, f"{name}: {verdict}"
    if driver.bitmap:
        assert bitmap.counter(guest, "requests") >= HOPS
        # A request is answered where the guest is now.
        assert bitmap.report(guest)["free-blocks"] > 0
    elif driver.is_rust:
        assert drivers.counter(guest, "requests") >= HOPS
        assert drivers.counters(guest)["strategy"] == driver.name.removeprefix("rust-")
        assert drivers.counter(guest, "held_pages") == 0
        isolation.wait_until_put_back(guest)
