# SPDX-License-Identifier: GPL-2.0
"""`inflate=0`: hinting and statistics, but no memory is given away. Check kernel."""

from dataclasses import replace

from tools.guest import balloon, contents, drivers, hinting, stats


def test_no_inflate(guests, machine):
    guest = guests.start(replace(machine, memory_mib=512))
    contents.keep(guest)
    guest.insmod(drivers.RUST_MODULE, "inflate=0 free_page_hint=1")
    total = guest.agent.meminfo()["MemTotal"]
    for mib in (144, 1, 300):
        balloon.set_remaining(guest, mib)
        # That takes a second or two, in which a driver that obeys would get far.
        assert stats.fresh(guest).values["total-memory"] == total * 1024
        assert balloon.inflated_pages(guest) == 0
    assert hinting.one_round(guest).segments > 0
    assert guest.agent.meminfo()["MemTotal"] == total
    for name in ("pages", "inflated", "deflated", "retries"):
        assert balloon.counter(guest, name) == 0, name
    assert guest.log().count("inflate=0") == 1
    contents.check_kept(guest)
