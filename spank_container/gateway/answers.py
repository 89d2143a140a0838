"""What the gateway answers, as the client's values: made from its JSON, what is new in a later version is overlooked.

No pydantic here: a submit imports this. The server's models are in `models`, and a test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal, TypeVar

State = Literal["pending", "pulling", "converting", "ready", "failed"]
OVER = frozenset({"ready", "failed"})
_A = TypeVar("_A", bound="Pull | Image | Use")


@dataclass(frozen=True, slots=True)
class Pull:
    """One user's request. `digest` is known before the image is there; `reason` and `hint` say why it failed.

    `version` grows with every change. `done` of `total` bytes are through the `stage`, in words; `who` failed: "user",
    "site", "node" or "busy", as in errors.py, or "login" when the gateway has forgotten it over a restart.
    """

    id: int
    reference: str
    state: State
    version: int
    digest: str = ""
    stage: str = ""
    done: int = 0
    total: int = 0
    layers: int = 0
    waiting: int = 0
    attempts: int = 0
    who: str = ""
    reason: str = ""
    hint: str = ""
    created: float = 0
    started: float = 0
    finished: float = 0

    @property
    def over(self) -> bool:
        return self.state in OVER


@dataclass(frozen=True, slots=True)
class Image:
    """An image that the caller may use. `owner`, `users` and `groups` only for one that is private."""

    digest: str
    names: tuple[str, ...]
    architecture: str
    size: int
    created: float
    private: bool
    used: float = 0
    uses: int = 0
    owner: int | None = None
    users: tuple[int, ...] = ()
    groups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Use:
    """How often a user's jobs asked for an image, by the name that he gave."""

    digest: str
    reference: str
    uid: int
    count: int
    first: float
    last: float


def read(kind: type[_A], document: dict[str, Any]) -> _A:
    """`document`, the gateway's JSON, as a `kind`; ValueError, KeyError or TypeError when it is none."""
    known = {one.name for one in fields(kind)} & document.keys()
    return kind(**{name: _value(document[name]) for name in known})


def _value(value: object) -> Any:  # noqa: ANN401  # JSON
    return tuple(value) if isinstance(value, list) else value
