# SPDX-License-Identifier: GPL-2.0
"""The guest needs memory while the balloon takes it. Check kernel."""

from dataclasses import replace

import pytest

from tools.guest import balloon, contents, hinting
from tools.guest.machine import Balloon


@pytest.mark.parametrize(
    ("deflate_on_oom", "remaining_mib"),
    # With room for all that the guest does, and with less than that.
    [pytest.param(False, 224, id="enough"), pytest.param(True, 96, id="deflate-on-oom")],
)
def test_churn(guests, machine, driver, deflate_on_oom, remaining_mib):
    guest = guests.start(
        replace(machine, memory_mib=512, balloon=Balloon(deflate_on_oom=deflate_on_oom))
    )
    driver.load(guest)
    contents.keep(guest)
    free = hinting.free_kib(guest)
    contents.churn(guest, mib_per_s=96, keep_ms=800)
    for _ in range(5):
        balloon.set_remaining(guest, remaining_mib)
        if deflate_on_oom:
            # It need not arrive, or stay there.
            hinting.wait_until(
                lambda: balloon.actual_mib(guest) < 2 * remaining_mib, "most is inflated", 120
            )
            guest.agent.run("sleep 1")
        else:
            balloon.wait_for_actual(guest, remaining_mib)
        balloon.deflate_all(guest)
    contents.check_churn(guest)
    hinting.wait_for_free(guest, free)
    contents.check_kept(guest)
