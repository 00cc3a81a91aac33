# SPDX-License-Identifier: GPL-2.0
"""The host's end of the guest agent (`workload/`): one request line, one line of JSON back."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tools.guest import patience
from tools.guest.errors import ToolError


class AgentError(ToolError):
    """The guest answered that it could not do it."""


class AgentSilent(ToolError):
    """The guest did not answer in time."""


class Agent:
    def __init__(self, path: Path, name: str) -> None:
        self._name = name
        self._buffer = b""
        self._number = 0
        self._asked = ""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(5)
        self._socket.connect(str(path))

    def close(self) -> None:
        self._socket.close()

    def wait_for_hello(self, deadline: float) -> None:
        """Returns when the guest's user space is up."""
        end = patience.until(deadline)
        while True:
            answer = self._line(end, "come up")
            if answer.get("hello"):
                return

    def call(self, command: str, deadline: float = 60.0, **arguments: object) -> dict[str, Any]:
        return self.answer(self.post(command, **arguments), deadline)

    def post(self, command: str, **arguments: object) -> int:
        """Sends a request and returns its number; the answer may be asked for later, or never."""
        self._number += 1
        words = [str(self._number), command]
        for key, value in arguments.items():
            text = str(int(value)) if isinstance(value, bool) else str(value)
            words.append(f"{key}={quote(text, safe='')}")
        try:
            self._socket.settimeout(patience.seconds(20))
            self._socket.sendall(" ".join(words).encode() + b"\n")
        except OSError as error:
            raise AgentSilent(f"{self._name}: cannot send {command}: {error}") from error
        self._asked = command
        return self._number

    def answer(self, number: int, deadline: float = 60.0) -> dict[str, Any]:
        """The answer to a request that was posted; those to earlier ones are lost."""
        end = patience.until(deadline)
        while True:
            answer = self._line(end, f"answer {self._asked}")
            if answer.get("id") != number:
                continue
            if not answer.get("ok"):
                raise AgentError(f"{self._name}: {self._asked}: {answer.get('error')}")
            return answer

    def ping(self, deadline: float = 30.0) -> None:
        self.call("ping", deadline)

    def wake_up(self, deadline: float = 60.0) -> None:
        """Returns when a guest answers that may lose what it is sent before it is up again."""
        end = patience.until(deadline)
        while True:
            try:
                self.ping(2)
                return
            except AgentSilent:
                if time.monotonic() > end:
                    raise

    def run(self, script: str, deadline: float = 60.0) -> str:
        """Runs a shell script in the guest and returns its output; it must succeed."""
        code, output = self.try_run(script, deadline)
        if code:
            raise AgentError(f"{self._name}: '{script}' exited with {code}: {output}")
        return output

    def try_run(self, script: str, deadline: float = 60.0) -> tuple[int, str]:
        answer = self.call("run", deadline, script=script)
        return answer["code"], answer["out"] + answer["err"]

    def read(self, path: str) -> str:
        return str(self.call("read", path=path)["data"])

    def write(self, path: str, data: str) -> None:
        self.call("write", path=path, data=data)

    def meminfo(self) -> dict[str, int]:
        return self.call("meminfo")

    def mem_free_kib(self) -> int:
        return self.meminfo()["MemFree"]

    def _line(self, end: float, what: str) -> dict[str, Any]:
        while b"\n" not in self._buffer:
            left = end - time.monotonic()
            if left <= 0:
                raise AgentSilent(f"{self._name}: the guest did not {what} in time")
            self._socket.settimeout(left)
            try:
                data = self._socket.recv(65536)
            except TimeoutError:
                continue
            except OSError as error:
                raise AgentSilent(f"{self._name}: the guest is gone: {error}") from error
            if not data:
                raise AgentSilent(f"{self._name}: the guest ended and did not {what}")
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        # Firmware may have written to the port before.
        line = line[max(line.find(b"{"), 0) :]
        try:
            answer = json.loads(line)
        except ValueError:
            return {}
        return answer if isinstance(answer, dict) else {}
