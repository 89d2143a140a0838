"""The cluster: nodes, network, registry and Slurm put together, used, and taken apart again."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox import images, jobs, leftovers, loops, network, node, registry, services, site_files, state
from sandbox.cache import CACHE
from sandbox.command import SandboxError, say
from sandbox.product import CHECKOUT, lower_layers
from sandbox.releases import Release, release_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox.command import Completed
    from sandbox.node import Node

DATA = CACHE / f"cluster-{state.NAME}"
USERS = {"alice": 2001, "bob": 2002}


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running cluster. `nodes` are the compute nodes' names; commands run on `login` unless said otherwise."""

    release: Release
    members: dict[str, Node]

    @property
    def nodes(self) -> tuple[str, ...]:
        return tuple(name for name in self.members if name != "login")

    def run(
        self,
        command: Sequence[str] | str,
        *,
        user: str = "alice",
        node: str = "login",
        input: str | None = None,  # noqa: A002  as subprocess.run calls it
    ) -> Completed:
        """Run `command` (words, or the text of a bash script) as `user` in a login environment on `node`."""
        words = ("bash", "-c", command) if isinstance(command, str) else command
        return self.members[node].run(words, user=user, stdin=input)

    def sbatch(self, script: str, *options: str, user: str = "alice", timeout: int = 120) -> jobs.Job:
        """Submit a batch script and wait until it is over on all nodes."""
        return jobs.submit(self.members["login"], script, *options, user=user, timeout=timeout)

    def node_state(self, name: str) -> str:
        """Slurm's word for it: idle, mixed, drained …"""
        return self.run(["sinfo", "--noheader", "--nodes", name, "--format=%T"]).stdout.strip()

    def leftovers(self) -> dict[str, leftovers.Leftovers]:
        """What of spank-container is on each node now; loop devices stand under "machine"."""
        found = {name: leftovers.of_node(member) for name, member in self.members.items()}
        machine = leftovers.Leftovers(loops=tuple(f"{name}: {file}" for name, file in self.loops().items()))
        return found | {"machine": machine}

    def loops(self) -> dict[str, str]:
        """The loop devices that its nodes have attached, and their backing files."""
        return loops.of_cluster(DATA, (member.pid for member in self.members.values()))

    def push(self, layout: Path, name: str) -> None:
        """Push an OCI layout to the registry that stands for Docker Hub, as `library/NAME:TAG`."""
        registry.push(self.members["login"], layout, name)


def up(slurm: str, count: int) -> Cluster:
    """Start a cluster of `count` compute nodes and one login node."""
    release = release_of(slurm)
    lower = lower_layers(release)
    pushed = images.layouts()
    with state.changing():
        _refuse_second()
        _clear()
        begun = time.monotonic()
        try:
            cluster = _start(release, count, lower)
            for name, layout in pushed.items():
                cluster.push(layout, name)
        except BaseException:  # Ctrl-C too
            _clear()
            raise
    say(f"sandbox: Slurm {slurm}, {count} nodes and login, up in {time.monotonic() - begun:.1f} s")
    return cluster


def running() -> Cluster | None:
    """The cluster that is up on this machine, whoever started it."""
    description = state.read()
    if not description:
        return None
    members = {name: node.find(name) for name in ("login", *description.nodes)}
    alive = {name: member for name, member in members.items() if member}
    if len(alive) < len(members):
        return None
    return Cluster(release_of(description.slurm), alive)


def down() -> None:
    """Take apart whatever is left of any cluster on this machine; good at any time, also after a crash."""
    with state.changing():
        _clear()


def _refuse_second() -> None:
    description = state.read()
    if description and running():
        what = f"Slurm {description.slurm}, {len(description.nodes)} nodes, started from {description.checkout}"
        raise SandboxError(f"a cluster is up already ({what}); first: ./dev sandbox down")


def _start(release: Release, count: int, lower: list[Path]) -> Cluster:
    names = tuple(f"n{number}" for number in range(1, count + 1))
    state.write(state.Description(release.slurm, names, str(DATA), str(CHECKOUT)))
    _make_data()
    site = DATA / "site"
    site.mkdir()
    site_files.write_layer(site, release, names, lower)
    # "switch" is a node that nobody logs in to.
    starting = {name: node.start(name, [site, *lower], DATA) for name in ("switch", "login", *names)}
    members = {name: node.started(name, said) for name, said in starting.items()}
    switch = members.pop("switch")
    network.connect(switch, tuple(members.values()))
    login, *compute = members.values()
    registry.start(login)
    services.start(login, compute)
    registry.wait(login)
    return Cluster(release, members)


def _make_data() -> None:
    """The folders that all nodes share, on this machine's disk."""
    (DATA / "shared").mkdir(parents=True)
    (DATA / "shared").chmod(0o1777)
    (DATA / "registry").mkdir()
    (DATA / "shared" / "spank-container").mkdir()  # the image store: root's, or alice could make it hers
    for user, uid in USERS.items():
        for folder in (DATA / "home" / user, DATA / "shared" / user):
            folder.mkdir(parents=True)
            folder.chmod(0o755)
            os.chown(folder, uid, uid)


def _clear() -> None:
    description = state.read()
    data = Path(description.data) if description else DATA
    devices = set(loops.of_cluster(data, node.inits()))
    node.kill_all()
    _detach(devices)
    shutil.rmtree(data, ignore_errors=True)
    state.forget()


def _detach(devices: set[str]) -> None:
    """The kernel detaches by itself what was mounted, a moment after the last process is gone."""
    deadline = time.monotonic() + 2
    while (left := devices & {loop.device for loop in loops.attached()}) and time.monotonic() < deadline:
        time.sleep(0.05)
    loops.detach(left)
