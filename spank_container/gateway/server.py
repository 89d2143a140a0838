"""`spank-container gateway serve`: the sockets, the web server and the service, from start to end. One at a time."""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from spank_container.errors import BusyError, NodeError, SiteError, UserError
from spank_container.values.address import parse_address

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spank_container.site_config import SiteConfig
    from spank_container.values.address import Address

_BACKLOG = 128


def serve(config: SiteConfig) -> None:
    """Until SIGTERM. Raises SiteError when the machine lacks something, BusyError when another gateway runs."""
    if os.geteuid() == 0:
        raise UserError("the gateway does not run as root", hint=f"run it as {config.gateway.account}: see the unit")
    _log_to_stderr()
    state = Path(config.gateway.state)
    with _alone(state):
        _serve(config, state)


def _serve(config: SiteConfig, state: Path) -> None:
    try:
        from spank_container.gateway.database import Database  # noqa: PLC0415  # what follows needs the extra
        from spank_container.gateway.service import build_service  # noqa: PLC0415
        from spank_container.gateway.web import answer  # noqa: PLC0415
    except ImportError as error:
        raise SiteError(f"{error.name} is not installed", hint="pip install 'spank-container[gateway]'") from error
    database = Database(state / "gateway.sqlite")
    service = build_service(config, database)
    with _listening(config) as sockets:
        service.start()
        try:
            answer(service, sockets)
        finally:
            service.stop()
            database.close()


def _log_to_stderr() -> None:
    """The journal has the time already."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)


@contextmanager
def _alone(state: Path) -> Iterator[None]:
    """Two gateways on one database would both start its pulls."""
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise NodeError.from_os_error("opening the gateway's folder", error, state) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise BusyError(f"a gateway is running already [{state}]", hint="stop that one first") from error
    try:
        yield
    finally:
        os.close(lock)


@contextmanager
def _listening(config: SiteConfig) -> Iterator[list[socket.socket]]:
    sockets: list[socket.socket] = []
    addresses = [parse_address(text) for text in config.gateway.listen]
    try:
        sockets.extend(map(_listen, addresses))
        yield sockets
    finally:
        for end in sockets:
            end.close()
        for address in addresses:
            if address.path:
                Path(address.path).unlink(missing_ok=True)


def _listen(address: Address) -> socket.socket:
    try:
        return _unix(Path(address.path)) if address.path else _tcp(address)
    except OSError as error:
        raise NodeError.from_os_error("listening", error, str(address)) from error


def _unix(path: Path) -> socket.socket:
    """In place of one that a dead gateway left; everybody may connect, since the kernel tells who it is."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    end.bind(str(path))
    path.chmod(0o666)
    end.listen(_BACKLOG)
    return end


def _tcp(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    return socket.create_server((address.host, address.port), family=family, backlog=_BACKLOG)
