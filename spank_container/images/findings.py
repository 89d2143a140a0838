"""What is learned of an image while its files pass by: its accounts, its C library, its MPI libraries.

A name says which files are looked at, and how much of them is kept in memory. Whatever is in them is a stranger's.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from spank_container.images.elf import soname
from spank_container.images.members import Kind, Member, decode
from spank_container.values.image_meta import Findings, Libc, MpiLibrary

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Find = Callable[[str], Member | None]
    """What is at a path of the merged tree; no symbolic link is followed."""

_LARGEST_ACCOUNTS = 64 << 10
_LARGEST_LIBRARY = 64 << 20
_MOST_LIBRARIES = 200
_MOST_FOLDERS = 50
_MOST_LINKS = 40  # as in the kernel
_ACCOUNTS = ("etc/passwd", "etc/group")
# Only where the system's loader looks: conda and the like bring C libraries of their own, which nothing of ours runs on.
_LIBC = re.compile(
    r"(?:usr/)?lib(?:32|64)?/(?:[^/]*-linux-[^/]*/)?(?:libc\.so\.6|libc-2\.\d+\.so|libc\.so|ld-musl-[^/]*\.so\.1)"
)
_GLIBC_VERSION = re.compile(rb"GNU C Library [^\n]{0,200}? version (\d{1,3}\.\d{1,4}[\w.+-]{0,40}?)[.,]?\s")
_MUSL_VERSION = re.compile(rb"\0(\d\.\d{1,3}\.\d{1,3}(?:-git-[\w-]{1,40})?)\0")
_MPI = re.compile(
    r"lib(?:mpi|mpich|mpicxx|mpi_cxx|mpifort|mpichf90|mpichcxx|mpi_mpifh|mpi_usempi\w*|mpi_cray|mpifort_cray|mpi_gnu_\w+"
    r"|mpi_intel\w*|mvapich2?|oshmem|pmpi|pmi2?|pmix)\.so(?:\.\d+){0,4}"
)
_INTERPRETERS = ("sh", "bash", "perl", "python3")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Finder:
    """Sees the files that it wants, in any order."""

    def __init__(self) -> None:
        self._accounts: dict[str, str] = {}
        self._libcs: dict[str, Libc] = {}
        self._mpi: list[MpiLibrary] = []

    def wants(self, paths: Sequence[str], size: int) -> bool:
        for path in paths:
            if path.startswith("l", path.rfind("/") + 1):  # most names are none of a library
                if size <= _LARGEST_LIBRARY and (_is_mpi(path) or _LIBC.fullmatch(path)):
                    return True
            elif path in _ACCOUNTS and size <= _LARGEST_ACCOUNTS:
                return True
        return False

    def take(self, paths: Sequence[str], content: bytes) -> None:
        for path in paths:
            if path in _ACCOUNTS:
                self._accounts[path] = decode(content)
            elif _is_mpi(path) and len(self._mpi) < _MOST_LIBRARIES and content.startswith(b"\x7fELF"):
                self._mpi.append(MpiLibrary(f"/{path}", soname(content)))
            elif _LIBC.fullmatch(path) and (libc := _read_libc(content)):
                self._libcs[path] = libc

    @property
    def passwd(self) -> str:
        return self._accounts.get("etc/passwd", "")

    @property
    def group(self) -> str:
        return self._accounts.get("etc/group", "")

    def findings(self, find: Find, environment: Sequence[str]) -> Findings:
        """What was seen, and what the names in the tree and the image's own `environment` tell."""
        mpi = sorted(self._mpi, key=lambda library: library.path)
        return Findings(self._libc(), tuple(mpi), _interpreters(find, environment))

    def _libc(self) -> Libc:
        """That of glibc if there are several: who adds musl to a glibc image has it for a program or two."""
        found = sorted((libc.name != "glibc", path) for path, libc in self._libcs.items())
        return self._libcs[found[0][1]] if found else Libc()


def _interpreters(find: Find, environment: Sequence[str]) -> tuple[str, ...]:
    """The path of each of the usual ones that the image has, as its own PATH finds them."""
    paths = [value for name, _, value in (entry.partition("=") for entry in environment) if name == "PATH"]
    folders = (paths[-1] if paths else _PATH).split(":")[:_MOST_FOLDERS]
    found = (_program(find, folders, name) for name in _INTERPRETERS)
    return tuple(path for path in found if path)


def _program(find: Find, folders: Sequence[str], name: str) -> str:
    for folder in folders:
        path = f"{folder.rstrip('/')}/{name}"
        member = _opened(find, path) if path.startswith("/") else None
        if member and member.kind is Kind.FILE and member.mode & 0o111:
            return path
    return ""


def _opened(find: Find, path: str) -> Member | None:
    """What a process with the tree as its root would open at `path`, symbolic links followed; no directory."""
    waiting, folders, links = path.split("/")[::-1], list[str](), 0
    while waiting and links <= _MOST_LINKS:
        name = waiting.pop()
        if name in {"", ".", ".."}:
            folders = folders[:-1] if name == ".." else folders
            continue
        member = find("/".join([*folders, name]))
        if member and member.kind is Kind.SYMLINK:
            links += 1
            folders = [] if member.target.startswith("/") else folders
            waiting += member.target.split("/")[::-1]
        elif member and member.kind is Kind.DIRECTORY:
            folders.append(name)
        else:
            return None if waiting else member
    return None


def _is_mpi(path: str) -> bool:
    return _MPI.fullmatch(path, path.rfind("/") + 1) is not None


def _read_libc(content: bytes) -> Libc | None:
    if not content.startswith(b"\x7fELF"):
        return None
    if found := _GLIBC_VERSION.search(content):
        return Libc("glibc", found[1].decode("ascii"))
    if b"musl libc" in content and (found := _MUSL_VERSION.search(content)):
        return Libc("musl", found[1].decode("ascii"))
    return None
