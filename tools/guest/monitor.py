# SPDX-License-Identifier: GPL-2.0
"""A QMP connection with a deadline on every command."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

from qemu.qmp import QMPClient, QMPError

from tools.guest.errors import ToolError


class Monitor:
    def __init__(self, path: Path, name: str) -> None:
        self._name = name
        self._loop = asyncio.new_event_loop()
        self._client = QMPClient(name)
        # Anything else would keep every event for ever.
        self._client.events.names.add("none")
        self._await("connect", self._client.connect(str(path)), 10)

    def command(self, name: str, /, deadline: float = 20.0, **arguments: object) -> Any:
        # QMP spells its names with dashes, Python cannot.
        spelled = {key.replace("_", "-"): value for key, value in arguments.items()}
        return self._await(name, self._client.execute(name, spelled or None), deadline)

    def close(self) -> None:
        # QEMU may be gone, and that is all this asks for.
        with contextlib.suppress(QMPError, OSError, EOFError, asyncio.TimeoutError):
            self._loop.run_until_complete(asyncio.wait_for(self._client.disconnect(), 5))
        self._loop.close()

    def _await(self, what: str, work: Any, deadline: float) -> Any:
        try:
            return self._loop.run_until_complete(asyncio.wait_for(work, deadline))
        except asyncio.TimeoutError as error:
            raise ToolError(f"{self._name}: QEMU did not answer {what} in {deadline} s") from error
        except (QMPError, OSError, EOFError) as error:
            raise ToolError(f"{self._name}: QMP {what}: {error}") from error
