# SPDX-License-Identifier: GPL-2.0
"""No hold of a zone's lock covers more entries than it may."""

from dataclasses import replace

import pytest

from tools.guest import drivers, hinting


@pytest.mark.parametrize("batch", [1, 16, 512])
def test_walk_batch(guests, machine, batch):
    guest = guests.start(replace(machine, memory_mib=2048))
    guest.insmod(drivers.RUST_MODULE, f"free_page_hint=2 free_page_walk_batch={batch}")
    free = guest.agent.mem_free_kib()
    hinting.one_round(guest)
    counted = drivers.counters(guest)
    print({name: counted[name] for name in counted if "batch" in name or "longest" in name})
    assert counted["batch_limit"] == batch
    assert 0 < counted["max_batch_entries"] <= batch
    assert counted["walk_batches"] * batch >= counted["walk_entries"] > 0
    assert counted["longest_hold_ns"] > 0
    # However small the batch, the walk finds nearly everything.
    assert counted["pages"] * 4 >= 0.9 * free
