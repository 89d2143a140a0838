"""What is known of an image in the store, found while it was converted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spank_container.values.access import Access
    from spank_container.values.image_ref import Digest


@dataclass(frozen=True, slots=True)
class Libc:
    """The C library: `name` is glibc or musl; what is not known is empty."""

    name: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class MpiLibrary:
    """A file that is an MPI library, or one of its parts, and its DT_SONAME, which is empty when it has none."""

    path: str
    soname: str


@dataclass(frozen=True, slots=True)
class Findings:
    """What was seen in the image's files. `interpreters` are the paths of sh, bash, perl and python3, as far as the
    image's PATH leads to them."""

    libc: Libc = field(default_factory=Libc)
    mpi: tuple[MpiLibrary, ...] = ()
    interpreters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageMeta:
    """`environment` as NAME=VALUE; `passwd` and `group` are the image's own /etc/passwd and /etc/group, where these
    are regular files of at most 64 KiB, else empty; without an `access` everybody may use it."""

    digest: Digest
    architecture: str
    size: int
    environment: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    workdir: str = ""
    user: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    passwd: str = ""
    group: str = ""
    volumes: tuple[str, ...] = ()
    findings: Findings = field(default_factory=Findings)
    access: Access | None = None
