"""A registry in the sandbox that serves whatever bytes an attacker likes, and writes down who asks for what.

It runs on the login node as hostile.sandbox:7000. A real registry would refuse half of these images when they are
pushed; nobody can count on that.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fake_registry import FakeRegistry

    from sandbox.node import Node

NAME = "hostile.sandbox:7000"
PRIVATE = "private.sandbox:7000"  # the same server, where it wants a login
ELSEWHERE = "elsewhere.sandbox:7000"  # and where nobody's login is for
FOLDER = "run/hostile"
USER, PASSWORD = "alice", "wonderland"
CREDENTIALS = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

# Of a path below /v2/: the answer's status, its headers and the file with its content.
SERVER = r"""
import http.server, json
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with open("/run/hostile/log", "a") as log:
            print(self.headers["Host"], self.path, self.headers.get("Authorization", "-"), file=log)
        with open("/run/hostile/answers.json") as file:
            answers = json.load(file)
        wanted = self.path.removeprefix("/v2/")
        status, headers, name = answers.get(wanted, [200 if not wanted else 404, {}, None])
        if self.headers["Host"].startswith("private") and "Authorization" not in self.headers:
            status, headers, name = 401, {"WWW-Authenticate": 'Basic realm="hostile"'}, None
        content = open("/run/hostile/" + name, "rb").read() if name else b"{}"
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)
    do_HEAD = do_GET
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("0.0.0.0", 7000), Answer).serve_forever()
"""
START = """
echo 127.0.0.1 hostile.sandbox private.sandbox elsewhere.sandbox >> /etc/hosts
for name in hostile private elsewhere; do
    printf '[[registry]]\\nlocation = "%s.sandbox:7000"\\ninsecure = true\\n' $name
done > /etc/containers/registries.conf.d/hostile.conf
cat > /run/hostile/server.py
setsid -f python3 /run/hostile/server.py < /dev/null > /run/hostile/errors 2>&1
for try in $(seq 100); do
    bash -c 'exec 3<>/dev/tcp/127.0.0.1/7000' 2> /dev/null && exit
    sleep 0.05
done
exit 1
"""


def start(login: Node, images: dict[str, FakeRegistry]) -> None:
    """Serve `images` by repository; the blobs of one whose name begins with `private` lie behind a redirect."""
    folder = login.root / FOLDER
    folder.mkdir()
    answers: dict[str, tuple[int, dict[str, str], str | None]] = {}
    for repository, image in images.items():
        for path, (status, media_type, data) in image.answers.items():
            file = f"content-{len(answers)}"
            (folder / file).write_bytes(data)
            answers[f"{repository}/{path}"] = (status, {"Content-Type": media_type}, file)
            if repository.startswith("private") and path.startswith("blobs/"):
                answers[f"elsewhere/{path}"] = answers[f"{repository}/{path}"]
                answers[f"{repository}/{path}"] = (307, {"Location": f"http://{ELSEWHERE}/v2/elsewhere/{path}"}, None)
    (folder / "answers.json").write_text(json.dumps(answers))
    login.sh(START, stdin=SERVER)


def asked(login: Node) -> list[tuple[str, str, str]]:
    """Host, path and Authorization of each request so far."""
    log = (login.root / FOLDER / "log").read_text()
    return [
        (host, path, authorization) for host, path, authorization in (line.split(" ", 2) for line in log.splitlines())
    ]
