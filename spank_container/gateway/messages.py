"""What the gateway and its workers tell each other: lines of JSON, by pipes, so that a login is nobody else's to read.

The gateway writes one Task and then holds the pipe: a worker whose input ends has lost its gateway, and ends.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from spank_container.errors import BusyError, NodeError, SiteError, SpankContainerError, UserError
from spank_container.values.image_format import ImageFormat

_KINDS: dict[str, type[SpankContainerError]] = {
    "user": UserError,
    "site": SiteError,
    "node": NodeError,
    "busy": BusyError,
}


@dataclass(frozen=True, slots=True)
class Asker:
    """One of those who asked for the reference."""

    id: int
    uid: int
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Task:
    """What one worker does: bring `reference` into `store` for all `askers`.

    `logins` is a file of the site's: what it opens is everybody's.
    """

    reference: str
    store: str
    blob_limit: int
    askers: tuple[Asker, ...]
    wanted: ImageFormat = field(default_factory=ImageFormat)
    logins: str = ""

    def line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Report:
    """What a worker says: for the requests `ids` something was `found`, is in `progress`, `done` or `failed`."""

    kind: str
    ids: tuple[int, ...] = ()
    digest: str = ""
    private: bool = False
    stage: str = ""
    done: int = 0
    total: int = 0
    layers: int = 0
    who: str = ""
    reason: str = ""
    hint: str = ""

    def line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @property
    def error(self) -> SpankContainerError:
        return _KINDS.get(self.who, NodeError)(self.reason, self.hint)


def read_task(line: bytes) -> Task:
    found = json.loads(line)
    askers = tuple(Asker(**asker) for asker in found["askers"])
    return Task(**found | {"askers": askers, "wanted": ImageFormat(**found["wanted"])})


def read_report(line: bytes) -> Report:
    """ValueError, KeyError or TypeError for what is none."""
    found: dict[str, Any] = json.loads(line)
    if found.keys() != {one.name for one in fields(Report)}:
        raise ValueError("not a worker's report")
    return Report(**found | {"ids": tuple(found["ids"])})


def failure(ids: tuple[int, ...], error: SpankContainerError) -> Report:
    """`error`, as a report that makes the same error again."""
    who = next((name for name, kind in _KINDS.items() if isinstance(error, kind)), "node")
    return Report("failed", ids, who=who, reason=error.message, hint=error.hint)
