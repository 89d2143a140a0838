"""The gateway against its own description: schemathesis asks it everything, well and badly, for a bounded time."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from gateway.gateways import Gateway, made

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.site import Site

pytest.importorskip("schemathesis")
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,negative_data_rejection,unsupported_method"
)


@contextmanager
def relayed(path: str) -> Iterator[int]:
    """A TCP port that leads to a Unix socket: schemathesis is root there, an admin, and needs no credential."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def copy(source: socket.socket, target: socket.socket) -> None:
            try:
                while data := source.recv(65536):
                    target.sendall(data)
            except OSError:
                pass
            finally:
                target.close()

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                end = socket.socket(socket.AF_UNIX)
                end.connect(path)
                for pair in ((client, end), (end, client)):
                    threading.Thread(target=copy, args=pair, daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]


@pytest.fixture(scope="module")
def gateway(the_site: Site) -> Iterator[Gateway]:
    with made(the_site, "gateway-openapi", "attempts = 1\nretry_delay = 0") as found:
        yield found


def test_it_does_what_it_says(gateway: Gateway) -> None:
    with relayed(f"{gateway.base}/run/socket") as port:
        url = f"http://127.0.0.1:{port}"
        options = ["--max-examples=15", f"--checks={CHECKS}", "--phases=examples,coverage,fuzzing", "--seed=1"]
        options += ["--header=Authorization: none is needed here"]
        argv = [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json", *options, "--no-color"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in gateway.log()


def test_over_tcp_nobody_gets_past_the_door(gateway: Gateway) -> None:
    document = json.loads(gateway.open_page("/openapi.json"))
    open_paths = {"/healthz", "/metrics"}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert ("security" in operation) == (path not in open_paths), (path, method)
