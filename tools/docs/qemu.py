# SPDX-License-Identifier: GPL-2.0
"""Starts QEMU with a command line of the documentation, as far as the machine at hand allows.

The guest's CPUs never run. KVM, which may not be there, is replaced by TCG: what is said about
KVM's own properties is not checked. Files and sockets are made where the test wants them.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

_PROGRAM = re.compile(r"^(qemu-system-x86_64|\$\(make -s print-QEMU\w*\))\s*")
_DISK = re.compile(r"(?:^|,)file=([^,]+)")
_CHECK = ["-S", "-nodefaults", "-display", "none", "-chardev", "stdio,id=check"]
_CHECK += ["-mon", "chardev=check,mode=control"]
_QUESTIONS = ("qmp_capabilities", "query-status", "quit")


def arguments(text: str, directory: Path) -> list[str]:
    """What of a block goes to QEMU."""
    # The dots stand for the rest of somebody's own command line.
    text = re.sub(r"\s(\.\.\.|…)(?=\s|$)", " ", text.replace("\\\n", " "))
    words = shlex.split(_PROGRAM.sub("", text).replace("\n", " "), comments=True)
    for at, word in enumerate(words):
        option = words[at - 1] if at else ""
        if option == "-accel":
            words[at] = "tcg"
        elif option == "-cpu" and word == "host":
            words[at] = "max"
        elif option == "-drive":
            for disk in _DISK.findall(word):
                (directory / disk).write_bytes(bytes(1 << 20))
        elif word.startswith("unix:/run/"):
            words[at] = word.replace("/run/", f"{directory}/")
    return words


def start(program: str, text: str, directory: Path) -> None:
    """Raises an error with QEMU's own words if it does not get as far as waiting for `cont`."""
    command = [program, *arguments(text, directory), *_CHECK]
    questions = "".join(json.dumps({"execute": name}) + "\n" for name in _QUESTIONS)
    result = subprocess.run(
        command,
        cwd=directory,
        input=questions,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, f"{shlex.join(command)}\n{result.stderr}"
    assert '"prelaunch"' in result.stdout, result.stdout
