"""`bench convert`: from the layers of an image to its squashfs, against the same tree that needs no merging.

Both write the same squashfs to the same disk with the same settings. The pull finds the layers in the store's cache, as
it does when a tag has moved; all else it does as ever: ask the registry, check digests, merge, write to disk for good.
The floor lets zcat feed mksquashfs, whose other name is sqfstar, and leaves the file to the page cache.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bench.contest import Command, Place
from bench.rows import AtMostTimes, Row, compared
from bench.samples import Pairs
from sandbox.cache import digest, kept
from sandbox.command import SandboxError
from sandbox.oci import ImageConfig, write_layout
from sandbox.releases import release_of
from sandbox.roots import minbase, slurm_root

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.cluster import Cluster
    from sandbox.node import Node

_NAME = "bench:layers"
_STORE = "/shared/spank-container"
_FOLDER = "/shared/bench"
_ROUNDS = 5


def convert(cluster: Cluster) -> list[Row]:
    """The pull of an image whose upper layer replaces all of its lower one."""
    cluster.push(_layout(), f"library/{_NAME}")
    login = cluster.members["login"]
    pull = ("/opt/spank-container/bin/spank-container", "pull", f"docker:{_NAME}")
    login.sh(f"{_forget()}; {' '.join(pull)}")
    times = Place(cluster, "login", "root").compete(
        _ROUNDS,
        warm_up=1,
        pull=[_prepare(_forget()), Command(pull)],
        floor=[_prepare(f"rm -f {_FOLDER}/squashfs"), Command(("sh", "-c", _flat_to_squashfs(login)))],
    )
    login.sh(f"rm -rf {_FOLDER}")
    return [
        compared("pull, layers in the cache", "zcat | sqfstar", Pairs(times["pull"], times["floor"]), AtMostTimes(1))
    ]


def _prepare(script: str) -> Command:
    return Command(("sh", "-c", script), timed=False)


def _forget() -> str:
    return f"rm -rf {_STORE}/images {_STORE}/tags"


def _layout() -> Path:
    """A small Debian, and over it a larger one with compilers: 0.9 GB of layers for a tree of 0.7 GB."""
    trixie = release_of("24.11")
    layers = [minbase(trixie.suite), slurm_root(trixie)]
    recipe = digest("1", *[layer.name for layer in layers])
    return kept("image-bench", recipe, lambda layout: write_layout(layout, layers, ImageConfig()))


def _flat_to_squashfs(login: Node) -> str:
    """Make the one gzip stream of the merged tree; the command that converts it as the product did."""
    (squashfs,) = login.sh(f"ls {_STORE}/images/*.squashfs").split()
    login.sh(f"""
        mkdir -p {_FOLDER}
        unsquashfs -quiet -no-progress -dest {_FOLDER}/tree {squashfs} > /dev/null
        tar --create --sort=name --numeric-owner --directory={_FOLDER}/tree . | gzip > {_FOLDER}/flat.tar.gz
        rm -rf {_FOLDER}/tree
    """)
    said = login.sh(f"unsquashfs -stat {squashfs}")
    settings = f"-comp {_said('Compression', said)} -Xcompression-level {_said('compression-level', said)}"
    options = f"{settings} -b {_said('Block size', said)} -noappend -quiet -no-progress"
    return f"zcat {_FOLDER}/flat.tar.gz | mksquashfs - {_FOLDER}/squashfs -tar {options}"


def _said(name: str, said: str) -> str:
    found = re.search(rf"{name} (\w+)", said)
    if not found:
        raise SandboxError(f"unsquashfs -stat does not tell the {name.lower()}:\n{said}")
    return found[1]
