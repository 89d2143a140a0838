"""A registry on 127.0.0.1 that says what the test wants it to say, and images made for it."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from tar_layers import digest_of

from spank_container.images.registry import Registry
from spank_container.run import FIXED_ENVIRONMENT
from spank_container.values.image_ref import RegistryRef

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OCI = "application/vnd.oci.image"
DOCKER = "application/vnd.docker"
Document = dict[str, Any]


def need(*programs: str) -> None:
    """Skip the test where one is not installed; in CI, fail it."""
    for program in programs:
        if not shutil.which(program):
            (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"{program} is not installed")


@dataclass(slots=True)
class FakeRegistry:
    """`answers` by path below /v2/NAME/; an answer of another length than it says is a registry that died."""

    home: Path
    port: int = 0
    answers: dict[str, tuple[int, str, bytes]] = field(default_factory=dict)
    claimed_length: int | None = None
    delay: threading.Event | None = None
    asked: list[str] = field(default_factory=list)

    def ref(self, text: str = "team/app:1.0") -> RegistryRef:
        repository, _, tag = text.partition(":")
        return RegistryRef(f"127.0.0.1:{self.port}", repository, tag)

    def registry(self, architecture: str = "amd64") -> Registry:
        return Registry(architecture, dict(FIXED_ENVIRONMENT) | {"HOME": str(self.home)})

    def put(self, name: str, document: Document | bytes, media_type: str, *, tag: str = "") -> Document:
        """Serve `document` by its digest, and as `tag`; its descriptor comes back."""
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        digest = digest_of(data)
        self.answers[f"{name}/{digest}"] = (200, media_type, data)
        if tag:
            self.answers[f"{name}/{tag}"] = (200, media_type, data)
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    def put_image(self, *layers: bytes, tag: str = "1.0", config: Document | None = None, **changes: Any) -> Document:  # noqa: ANN401  JSON
        """A whole image of gzipped `layers`; `changes` are keys of its manifest."""
        packed = [gzip.compress(data, mtime=0) for data in layers]
        whole = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["PATH=/bin", "A=1", "nonsense"], "Cmd": ["true"], "User": "7", "Labels": {"b": "2"}},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(data) for data in layers]},
        } | (config or {})
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": self.put("blobs", whole, f"{OCI}.config.v1+json"),
            "layers": [self.put("blobs", data, f"{OCI}.layer.v1.tar+gzip") for data in packed],
        } | changes
        return self.put("manifests", manifest, str(manifest["mediaType"]), tag=tag)

    def put_index(self, *manifests: Document, tag: str = "1.0", **changes: Any) -> Document:  # noqa: ANN401  JSON
        index = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": manifests} | changes
        return self.put("manifests", index, str(index["mediaType"]), tag=tag)


@contextmanager
def serving(home: Path) -> Iterator[FakeRegistry]:
    """skopeo speaks plain HTTP with it, since `home` has a registries.conf that says so."""
    fake = FakeRegistry(home)

    class Answer(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            fake.asked.append(self.path)
            if fake.delay:
                fake.delay.wait(10)
            name = "/".join(self.path.split("/")[-2:])
            errors = json.dumps({"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}).encode()
            found = fake.answers.get(name, (404, "application/json", errors))
            status, media_type, data = (200, "text/plain", b"") if self.path == "/v2/" else found
            self.send_response(status)
            self.send_header("Content-Type", media_type)
            length = fake.claimed_length if fake.claimed_length and "/blobs/" in self.path else len(data)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            if body:
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A skopeo that was killed does not take its answer."""

    server = Server(("127.0.0.1", 0), Answer)
    fake.port = server.server_port
    conf = home / ".config/containers/registries.conf"
    conf.parent.mkdir(parents=True, exist_ok=True)
    conf.write_text(f'[[registry]]\nlocation = "127.0.0.1:{fake.port}"\ninsecure = true\n')
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
