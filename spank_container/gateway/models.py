"""The gateway's interface as pydantic checks and FastAPI describes it: docs/reference/gateway-api.md is made from this.

What the client makes of the answers is in `answers`; a test holds the two together.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Reference = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=256)]
DigestText = Annotated[str, StringConstraints(pattern=r"^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$")]
Names = Annotated[list[Name], Field(max_length=256)]


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Answer(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class PullRequest(_Given):
    """What to pull, and whom the puller lets in if it turns out to be private."""

    reference: Reference = Field(description="docker:NAME[:TAG][@DIGEST]", examples=["docker:debian:trixie"])
    users: Names = Field(default_factory=list, description="Names or numbers of accounts.")
    groups: Names = Field(default_factory=list, description="Names or numbers of groups.")


class AccessRequest(_Given):
    """Whom the caller lets in from now on, instead of those whom he let in before."""

    users: Names = Field(default_factory=list)
    groups: Names = Field(default_factory=list)


class UseRequest(_Given):
    """A job is submitted with the image."""

    reference: str = Field(default="", max_length=1024, description="What its user typed.")


class PullAnswer(_Answer):
    """One user's request, and how far it is."""

    id: int
    reference: str
    state: Literal["pending", "pulling", "converting", "ready", "failed"]
    version: int = Field(description="Another number with each change.")
    digest: str = Field(description="Known before the image is there.")
    stage: str
    done: int = Field(description="Bytes of this stage.")
    total: int
    layers: int
    waiting: int = Field(description="How many other references will be taken first.")
    attempts: int
    who: str = Field(description="Who must act on a failure: user, site, node, busy, or login: ask again with it.")
    reason: str = Field(description="Why it failed, or why it is tried again.")
    hint: str
    created: float
    started: float
    finished: float


class ImageAnswer(_Answer):
    """An image in the store."""

    digest: str
    names: list[str]
    architecture: str
    size: int
    created: float
    private: bool
    used: float = Field(description="When a job was last submitted with it.")
    uses: int
    owner: int | None = Field(description="Of a private image: who pulled it first.")
    users: list[int]
    groups: list[int]


class UseAnswer(_Answer):
    """How often a user's jobs asked for an image by one name."""

    digest: str
    reference: str
    uid: int
    count: int
    first: float
    last: float


class Health(BaseModel):
    """The gateway takes requests, its database and its store can be written."""

    status: Literal["ok"]
    version: str
    pulls: dict[str, int] = Field(description="Requests by state.")


class Problem(BaseModel):
    """What was tried, why it failed, and what to do."""

    error: str
    hint: str = ""
