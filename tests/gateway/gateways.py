"""A gateway with a store of its own, as a process of an unprivileged account."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any

from gateway.site import ACCOUNTS, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from gateway.site import Site

CONFIG = """
[images]
store = "{base}/store"
[gateway]
addresses = ["unix:{base}/run/socket"]
listen = ["unix:{base}/run/socket", "127.0.0.1:{port}"]
account = "gate"
munge_socket = "{munge}"
state = "{base}/state"
admins = ["root", "carol"]
{more}
"""


@dataclass(slots=True)
class Gateway:
    """A gateway with a store of its own, and its clients."""

    site: Site
    base: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def unix(self) -> str:
        return f"unix:{self.base}/run/socket"

    @property
    def tcp(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def store(self) -> Path:
        return self.base / "store"

    def argv(self, user: str = "gate") -> list[str]:
        return self.site.argv([sys.executable, "-I", "-m", "spank_container", "gateway", "serve"], user)

    def start(self) -> None:
        with (self.base / "log").open("ab") as log:
            self.process = subprocess.Popen(self.argv(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(self._answers)

    def _answers(self) -> bool:
        assert self.process
        assert self.process.poll() is None, self.log()
        with socket.socket(socket.AF_UNIX) as end:
            return end.connect_ex(f"{self.base}/run/socket") == 0

    def log(self) -> str:
        return (self.base / "log").read_text()

    def kill(self, number: int = signal.SIGKILL) -> None:
        assert self.process
        self.process.send_signal(number)
        self.process.wait(timeout=30)

    def begin(self, call: str, user: str | int, *arguments: Any, via: str = "", **words: Any) -> Future[Any]:  # noqa: ANN401  JSON
        """A call that goes on while the test does something else; `end` waits for it."""
        return self.site.person(user).begin([via or self.unix, self.site.munge_socket, call, arguments, words])

    def end(self, asked: Future[Any]) -> Any:  # noqa: ANN401  JSON
        return asked.result(timeout=120)

    def call(self, call: str, user: str | int, *arguments: Any, **words: Any) -> Any:  # noqa: ANN401  JSON
        """A method of the client's, called by `user`; raises Refused."""
        return self.end(self.begin(call, user, *arguments, **words))

    def open_page(self, path: str) -> str:
        """What anybody may read, over TCP."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            assert answer.status == 200
            return answer.read().decode()
        finally:
            connection.close()

    def files(self) -> set[str]:
        """Of whole images, unfinished ones and everything else, in the store."""
        return {str(path.relative_to(self.store)) for path in self.store.rglob("*") if path.is_file()}


@contextmanager
def made(the_site: Site, name: str, more: str = "") -> Iterator[Gateway]:
    base = the_site.base / name
    for folder in ("", "store", "state", "run"):
        (base / folder).mkdir()
        os.chown(base / folder, ACCOUNTS["gate"], ACCOUNTS["gate"])
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    gateway = Gateway(the_site, base, port)
    config = CONFIG.format(base=base, port=port, munge=the_site.munge_socket, more=more)
    write = ["sh", "-c", "mkdir -p /etc/spank-container; cat > /etc/spank-container/config.toml"]
    subprocess.run(the_site.argv(write, "root"), input=config, text=True, check=True)
    gateway.start()
    try:
        yield gateway
    finally:
        if gateway.process and gateway.process.poll() is None:
            gateway.kill()
