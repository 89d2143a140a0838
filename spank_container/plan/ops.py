"""What a plan is made of: small values that say what will be done, and never do it.

A HostOp changes the node and has an undo; an InsideOp changes only the namespace that is being built, and dies with
it. The two unions are separate, so that a host operation without an undo does not type-check. Members are strings,
numbers and tuples only: the record is their JSON.

`why` says who asked for it: the option, the site's setting, or that every container has it. People read it, nothing
acts on it, and so two operations that differ in it alone are equal.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from spank_container.values.size import format_size
from spank_container.values.source_rules import SourceRules

TMP = "tmp"
"""What `MakeTmp` makes, beside the caches' names."""


@dataclass(frozen=True, slots=True)
class MountImage:
    """Mount the squashfs, once per node, and take a lease on it for this container.

    It stays mounted for `keep` seconds after the last lease. `copies` is a folder of the node's for copies of images,
    of `copies_size` bytes in all; empty for none.
    """

    squashfs: str
    digest: str
    lease: str
    keep: int = 0
    copies: str = ""
    copies_size: int = 0

    def describe(self) -> str:
        return f"mount the image {self.squashfs}, shared by the jobs of this node"


@dataclass(frozen=True, slots=True)
class MakeScratch:
    """Make a file of `size` bytes as the user, a file system in it, and a mount that `AttachScratch` attaches.

    `place` is the folder for the file, or a path in that folder; `owner` is uid, gid and groups. Unless `overcommit`
    the room is reserved, where the file system can do that, else it must be free.
    """

    name: str
    place: str
    by_site: bool
    size: int
    overcommit: bool
    filesystem: str
    block_size: int | None
    owner: tuple[int, ...]

    def describe(self) -> str:
        return f"make an {self.filesystem} file system of {format_size(self.size)} at {self.place}"


@dataclass(frozen=True, slots=True)
class MakeTmp:
    """Make a folder of the user's in one of root's below `place`, on the node's disk; `AttachTmp` attaches it."""

    place: str
    owner: tuple[int, ...]

    def describe(self) -> str:
        return f"make a folder of the job's own in {self.place}"


@dataclass(frozen=True, slots=True)
class PinNamespace:
    """Build the namespace from the inside operations, and keep it."""

    pin: str

    def describe(self) -> str:
        return f"build the container and pin it at {self.pin}"


@dataclass(frozen=True, slots=True)
class JoinNamespace:
    """Keep the namespace that is pinned at `job_pin`, the job's own, at `pin` too: for a step that joins it."""

    job_pin: str
    pin: str

    def describe(self) -> str:
        return f"pin the container of {self.job_pin} at {self.pin} too"


@dataclass(frozen=True, slots=True)
class MakeMountPoint:
    """Make a place for the mount whose target this is; `follow`: through a symlink of the image at its end too."""

    target: str
    directory: bool | None = None
    follow: bool = True
    by_user: bool = False

    def describe(self) -> str:
        return f"make a place for {self.target}"


@dataclass(frozen=True, slots=True)
class WriteFile:
    path: str
    content: str
    why: str = field(default="", compare=False)

    def describe(self) -> str:
        return f"write {self.path}, {len(self.content)} characters"


@dataclass(frozen=True, slots=True)
class WriteHostsFile:
    """One line for each CPU; kept as (name, CPUs), since a large job has a million of them."""

    path: str
    hosts: tuple[tuple[str, int], ...]
    why: str = field(default="", compare=False)

    def describe(self) -> str:
        return f"write {self.path}, {sum(cpus for _, cpus in self.hosts)} lines"


@dataclass(frozen=True, slots=True)
class MakeSymlink:
    path: str
    to: str
    why: str = field(default="", compare=False)

    def describe(self) -> str:
        return f"link {self.path} to {self.to}"


@dataclass(frozen=True, slots=True)
class MountRoot:
    """What was made so far, laid over the image: read-only, unless `size` or `cache` says where to write.

    `size` is a tmpfs's, `cache` the name of a `MakeScratch`. What in the image is root's is then shown as the user's.
    With `owner` (uid, gid, groups) places are made that are missing on other mounts.
    """

    owner: tuple[int, ...] = ()
    size: str = ""
    cache: str = ""
    why: str = field(default="", compare=False)

    def describe(self) -> str:
        where = f"a tmpfs of {self.size}" if self.size else self.cache and f"the cache {self.cache}"
        return f"mount the root: what was made, over the image{where and f', and written to {where}'}"


@dataclass(frozen=True, slots=True)
class Bind:
    """The node's `source`, with all that is mounted below it, at `target`.

    With `owner` (uid, gid, groups) the source is opened as that user. An `optional` source may be out of reach.
    """

    source: str
    target: str
    owner: tuple[int, ...] = ()
    read_only: bool = False
    devices: bool = False
    optional: bool = False
    why: str = field(default="", compare=False)

    def describe(self) -> str:
        return f"bind {self.source} at {self.target}{' read-only' if self.read_only else ''}"


@dataclass(frozen=True, slots=True)
class MountTmpfs:
    target: str
    size: str
    mode: int
    why: str = field(default="", compare=False)

    def describe(self) -> str:
        return f"mount a tmpfs of {self.size} at {self.target}"


@dataclass(frozen=True, slots=True)
class AttachScratch:
    name: str
    target: str
    why: str = field(default="", compare=False)

    def describe(self) -> str:
        return f"attach the cache {self.name} at {self.target}"


@dataclass(frozen=True, slots=True)
class AttachTmp:
    target: str
    why: str = field(default="", compare=False)

    def describe(self) -> str:
        return f"attach the job's own folder at {self.target}"


HostOp = MountImage | MakeScratch | MakeTmp | PinNamespace | JoinNamespace
MountOp = Bind | MountTmpfs | AttachScratch | AttachTmp
InsideOp = MakeMountPoint | WriteFile | WriteHostsFile | MakeSymlink | MountRoot | MountOp

_OPS: dict[str, Any] = {op.__name__: op for op in (*HostOp.__args__, *InsideOp.__args__)}


@dataclass(frozen=True, slots=True)
class MountPlan:
    """`host` in order, the last of them builds `inside` or joins what is built; `environment` is what the file `env`
    holds; `rules` are for the sources that are opened as the user; `reasons` are why each variable is as it is."""

    host: tuple[HostOp, ...]
    inside: tuple[InsideOp, ...]
    environment: tuple[str, ...]
    rules: SourceRules = field(default_factory=SourceRules)
    reasons: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    def to_json(self) -> dict[str, Any]:
        return {
            "host": [{"op": type(op).__name__, **asdict(op)} for op in self.host],
            "inside": [{"op": type(op).__name__, **asdict(op)} for op in self.inside],
            "environment": self.environment,
            "rules": asdict(self.rules),
            "reasons": self.reasons,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> MountPlan:
        """Read what `to_json` gave."""
        return cls(
            tuple(_op(member) for member in document["host"]),
            tuple(_op(member) for member in document["inside"]),
            tuple(document["environment"]),
            SourceRules(**{name: tuple(paths) for name, paths in document["rules"].items()}),
            _frozen(document["reasons"]),
        )


def _op(document: dict[str, Any]) -> Any:  # noqa: ANN401  # a record is ours: its members are what we wrote
    members = {name: _frozen(value) for name, value in document.items() if name != "op"}
    return _OPS[document["op"]](**members)


def _frozen(value: Any) -> Any:  # noqa: ANN401  # likewise
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
