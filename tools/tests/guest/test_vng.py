# SPDX-License-Identifier: GPL-2.0
"""virtme-ng, as a developer would use it: the host's user space around the module."""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

from tools.guest import console, drivers, paths

DEADLINE = 180


def test_vng(logs):
    module = paths.lookup("MODULE_CHECK")
    tools = Path(sys.executable).parent
    script = " && ".join(
        [
            "(mountpoint -q /sys/kernel/debug || mount -t debugfs debugfs /sys/kernel/debug)",
            f"insmod {shlex.quote(str(module))}",
            f"cat {drivers.HINTING}",
            "rmmod virtio_balloon_rs",
            "echo everything worked",
        ]
    )
    command = [
        str(tools / "vng"),
        "--run", str(paths.kernel("check")),
        "--qemu", str(paths.lookup("QEMU")),
        "--disable-kvm",
        # The kernel's messages as well; they are checked.
        "--verbose",
        "--force-9p",
        "--cpus", "2",
        "--memory", "1G",
        "--user", "root",
        "--append", "kunit.enable=0",
        "--qemu-opts=-object iothread,id=hint "
        "-device virtio-balloon-pci,free-page-hint=on,iothread=hint",
        "--exec", script,
    ]  # fmt: skip
    # vng calls its other half by name.
    environment = {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    log = logs / "vng.console.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=paths.ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            process.wait(DEADLINE)
        finally:
            # Only what this test started: the session is its own.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    text = log.read_text(errors="replace")
    # Not vng's exit code: without udev on the host it is 255 whatever the script did.
    assert "everything worked" in text, text[-3000:]
    assert "strategy: isolate" in text, text[-3000:]
    # The guest's system is the host's, which may be a small one, without systemd or a network.
    console.check([log], [r"virtme-ng-init: WARNING: failed to run: "])
