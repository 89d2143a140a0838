"""A machine for the gateway's tests: munged, registries, accounts, all in a mount namespace of its own.

In it /etc is an overlay, where alice and bob have accounts and skopeo knows our registries, and /usr/local/bin is a
folder of ours, with a mksquashfs that notes each run and can be held.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fake_registry import serving
from gateway.people import Person

from sandbox.oci import ImageConfig, write_layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fake_registry import FakeRegistry

CHECKOUT = Path(__file__).parents[2]
ACCOUNTS = {"gate": 7690, "alice": 7691, "bob": 7692, "carol": 7693}
SCIENCE = 7700
NEEDED = ("munged", "munge", "skopeo", "docker-registry", "mksquashfs", "unshare", "nsenter", "setpriv")
_LEASH = ("setpriv", "--pdeathsig", "KILL")  # a pytest that is killed leaves nothing running
# bcrypt of "secret of NAME".
HTPASSWD = """\
alice:$2y$05$abcdefghijklmnopqrstuuBbbkR7997iM.w2LblyDox1HIIa3Oe4G
bob:$2y$05$abcdefghijklmnopqrstuuP2.Ojx1jvA1HqqVTL1tEhYAUmXsBD.u
"""
HELD_MKSQUASHFS = """#!/bin/sh
echo "$*" >> {base}/runs
while [ -e {base}/hold ]; do sleep 0.02; done
exec /usr/bin/mksquashfs "$@"
"""
ENTER = """
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$1/layers"
mkdir "$1/layers/etc" "$1/layers/work" "$1/layers/bin"
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$1/layers/etc,workdir=$1/layers/work" /etc
cp -rT "$1/etc" /etc
cp "$1/mksquashfs" "$1/layers/bin"
mount --bind "$1/layers/bin" /usr/local/bin
{reveal}
echo ready
exec sleep infinity
"""


@dataclass(frozen=True, slots=True)
class Site:
    """`public` and `private` are HOST:PORT of registries; the private one wants alice's or bob's login."""

    base: Path
    pid: int
    public: str
    private: str
    fake: FakeRegistry
    people: dict[str | int, Person] = field(default_factory=dict)

    def person(self, user: str | int) -> Person:
        if user not in self.people:
            self.people[user] = Person(lambda words: self.argv(words, user))
        return self.people[user]

    @property
    def munge_socket(self) -> str:
        return f"{self.base}/munge/socket"

    def argv(self, words: Sequence[str], user: str | int) -> list[str]:
        """To run `words` as a user of the site: an account, or a number that none has."""
        groups = ["--init-groups"] if isinstance(user, str) else ["--clear-groups"]
        number = str(ACCOUNTS[user] if isinstance(user, str) and user in ACCOUNTS else 0 if user == "root" else user)
        become = [*_LEASH, "--reuid", number, "--regid", number, *groups, "--reset-env", "--"]
        return ["nsenter", "--target", str(self.pid), "--mount", "--wd=/", *become, *words]

    def push(self, name: str, *files: tuple[str, bytes], private: bool = False) -> str:
        """An image with these files, in a registry; the reference to pull it by."""
        with tempfile.TemporaryDirectory() as folder:
            layer = Path(folder) / "layer"
            for path, content in files or (("etc/name", name.encode()),):
                (layer / path).parent.mkdir(parents=True, exist_ok=True)
                (layer / path).write_bytes(content)
            write_layout(Path(folder) / "layout", [layer], ImageConfig({"NAME": name}))
            host = self.private if private else self.public
            login = ["--dest-creds", "alice:secret of alice"] if private else []
            target = f"docker://{host}/{name}"
            copy = ["skopeo", "copy", "--quiet", "--dest-tls-verify=false", *login, f"oci:{folder}/layout", target]
            subprocess.run(copy, check=True, capture_output=True)
        return f"docker:{host}/{name}"

    def runs(self) -> list[str]:
        """The command lines of all conversions that were begun."""
        file = self.base / "runs"
        return file.read_text().splitlines() if file.exists() else []

    @contextmanager
    def conversions_held(self) -> Iterator[None]:
        (self.base / "hold").touch()
        try:
            yield
        finally:
            (self.base / "hold").unlink(missing_ok=True)


@contextmanager
def site() -> Iterator[Site]:
    """Starts all of it, and leaves nothing."""
    with ExitStack() as stack:
        base = Path(tempfile.mkdtemp(prefix="gateway-"))
        stack.callback(shutil.rmtree, base)
        base.chmod(0o755)
        stack.enter_context(_munged(base))
        public, private = (stack.enter_context(_registry(base, kind)) for kind in ("public", "private"))
        fake = stack.enter_context(serving(base / "home"))
        _write_etc(base, [public, private, f"127.0.0.1:{fake.port}"])
        pid = stack.enter_context(_namespace(base))
        (base / "runs").touch()
        (base / "runs").chmod(0o666)
        found = Site(base, pid, public, private, fake)
        try:
            yield found
        finally:
            for person in found.people.values():
                person.leave()


@contextmanager
def _started(argv: Sequence[str], **options: object) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([*_LEASH, "--", *argv], text=True, start_new_session=True, **options)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()


@contextmanager
def _munged(base: Path) -> Iterator[None]:
    folder = base / "munge"
    folder.mkdir()
    (folder / "key").write_bytes(os.urandom(64))
    (folder / "key").chmod(0o400)
    files = {"socket": "socket", "key-file": "key", "log-file": "log", "pid-file": "pid", "seed-file": "seed"}
    options = [f"--{option}={folder}/{name}" for option, name in files.items()]
    with _started(["munged", "--foreground", "--force", *options], stderr=subprocess.DEVNULL):
        wait_for((folder / "socket").exists)
        yield


@contextmanager
def _registry(base: Path, kind: str) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder = base / kind
    folder.mkdir()
    (folder / "htpasswd").write_text(HTPASSWD)
    auth = {"auth": {"htpasswd": {"realm": "site", "path": f"{folder}/htpasswd"}}} if kind == "private" else {}
    settings = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": f"{folder}/data"}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    (folder / "config.yml").write_text(json.dumps(settings | auth))  # JSON is YAML
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with _started(["docker-registry", "serve", str(folder / "config.yml")], **quiet):
        wait_for(lambda: _answers(port))
        yield f"127.0.0.1:{port}"


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _write_etc(base: Path, registries: Sequence[str]) -> None:
    etc = base / "etc"
    (etc / "containers").mkdir(parents=True)
    listed = [f'[[registry]]\nlocation = "{name}"\ninsecure = true\n' for name in registries]
    (etc / "containers/registries.conf").write_text("\n".join(listed))
    (etc / "containers/policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    accounts = ACCOUNTS | {"root": 0}
    (etc / "passwd").write_text("".join(f"{name}:x:{uid}:{uid}::/tmp:/bin/sh\n" for name, uid in accounts.items()))
    groups = [f"{name}:x:{gid}:\n" for name, gid in accounts.items()]
    (etc / "group").write_text("".join(groups) + f"science:x:{SCIENCE}:bob,carol\n")
    program = base / "mksquashfs"
    program.write_text(HELD_MKSQUASHFS.format(base=base))
    program.chmod(0o755)


@contextmanager
def _namespace(base: Path) -> Iterator[int]:
    (base / "layers").mkdir()
    script = ENTER.format(reveal=_reveal())
    argv = ["unshare", "--mount", "sh", "-euc", script, "sh", str(base)]
    with _started(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield process.pid


def _reveal() -> str:
    """Where Python or the checkout lies in a folder of root's alone, the accounts see that folder with only it."""
    places = {
        path: next((parent for parent in reversed(path.parents) if not parent.stat().st_mode & stat.S_IXOTH), None)
        for path in (CHECKOUT, Path(sys.prefix), Path(sys.base_prefix))
    }
    hidden = {path: parent for path, parent in places.items() if parent}
    lines = [f'mkdir "$1/layers/{n}"; mount --bind {path} "$1/layers/{n}"' for n, path in enumerate(hidden)]
    lines += [f"mount -t tmpfs -o mode=755 tmpfs {parent}" for parent in sorted(set(hidden.values()))]
    lines += [f'mkdir -p {path}; mount --move "$1/layers/{n}" {path}' for n, path in enumerate(hidden)]
    return "\n".join(lines)


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.02)
