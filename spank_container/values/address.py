"""Where a service listens or is found: unix:/PATH or HOST[:PORT]."""

from __future__ import annotations

import re
from dataclasses import dataclass

from spank_container.errors import ParseError

DEFAULT_PORT = 8650
_LONGEST_PATH = 107  # sun_path of unix(7), less its NUL
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:.]+\]", re.ASCII)


@dataclass(frozen=True, slots=True)
class Address:
    """A Unix socket's `path`, or a TCP `host` and `port`."""

    path: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"unix:{self.path}" if self.path else f"{host}:{self.port}"


def parse_address(text: str) -> Address:
    """Raises ParseError for what is no address."""
    if text.startswith("unix:/"):
        path = text.removeprefix("unix:")
        if path.isprintable() and len(path.encode()) <= _LONGEST_PATH:
            return Address(path=path)
        raise _no_address(text)
    host, port = text, str(DEFAULT_PORT)
    if ":" in text and not text.endswith("]"):
        host, _, port = text.rpartition(":")
    if not _HOST.fullmatch(host) or not (re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) < 65536):
        raise _no_address(text)
    return Address(host=host.strip("[]"), port=int(port))


def _no_address(text: str) -> ParseError:
    return ParseError("this is no address", text, (0, len(text)), hint="write unix:/PATH or HOST:PORT")
