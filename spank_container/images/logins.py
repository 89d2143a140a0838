"""A user's logins at registries, in the files of skopeo, podman and docker: whoever logged in with one is known to all.

skopeo writes them and asks the registry whether they are right. What is read here is read only to be handed to the
image gateway, which has no home of the user's to look in. No password is ever an argument, a variable or logged.
"""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field, ValidationError

from spank_container.errors import UserError
from spank_container.images.registry import explained, passed_environment
from spank_container.run import ProgramFailedError, run, writing_to

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DOCKER_HUB = "docker.io"
_HUBS_KEY = "https://index.docker.io/v1/"  # what docker login writes for its default registry


@dataclass(frozen=True, slots=True)
class Login:
    """A name and a password; neither is shown by repr(), which ends in tracebacks."""

    user: str = field(repr=False)
    password: str = field(repr=False)


class _Entry(BaseModel):
    auth: str = ""


class _File(BaseModel):
    """containers-auth.json(5); what we need of it. docker's config.json has the same member."""

    auths: dict[str, _Entry] = Field(default_factory=dict)


def log_in(registry: str, login: Login, environment: Mapping[str, str]) -> Path:
    """Ask the registry whether it takes `login`, and keep it for later pulls; returns the file.

    Raises UserError when the registry refuses, BusyError when it does not answer.
    """
    file = _own_file(environment)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    argv = ["skopeo", "login", "--authfile", str(file), "--username", login.user, "--password-stdin", registry]
    try:
        with writing_to(argv, passed_environment(environment)) as password:
            password.write(login.password.encode())
    except ProgramFailedError as error:
        denied = "check the name and the password"
        raise explained(f"log in to {registry}", error.stderr, denied, f"skopeo login {registry}") from error
    return file


def log_out(registry: str, environment: Mapping[str, str]) -> Path:
    """Forget the login; UserError when there is none. Returns the file that had it."""
    for file in _files(environment):
        if _kept_login(file, registry):
            run(["skopeo", "logout", "--authfile", str(file), registry], environment=passed_environment(environment))
            return file
    raise UserError(f"you are not logged in to {registry}", hint=f"spank-container login {registry}")


def find_login(registry: str, environment: Mapping[str, str]) -> Login | None:
    """The login that skopeo would take for `registry`, or None. Raises UserError for a file that cannot be read."""
    found = (_kept_login(file, registry) for file in _files(environment))
    return next(filter(None, found), None)


def _own_file(environment: Mapping[str, str]) -> Path:
    """In the home directory, since XDG_RUNTIME_DIR, skopeo's own choice, goes when the user leaves the login node."""
    return Path(environment.get("REGISTRY_AUTH_FILE") or _home(environment) / ".config/containers/auth.json")


def _files(environment: Mapping[str, str]) -> Iterator[Path]:
    """In the order of containers-auth.json(5)."""
    if environment.get("REGISTRY_AUTH_FILE"):
        yield _own_file(environment)
        return
    if environment.get("XDG_RUNTIME_DIR"):
        yield Path(environment["XDG_RUNTIME_DIR"]) / "containers/auth.json"
    yield _own_file(environment)
    yield _home(environment) / ".docker/config.json"


def _home(environment: Mapping[str, str]) -> Path:
    return Path(environment.get("HOME") or os.path.expanduser("~"))


def _kept_login(file: Path, registry: str) -> Login | None:
    try:
        kept = _File.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        why = os.strerror(error.errno or 0) if isinstance(error, OSError) else "it is no auth.json"
        raise UserError(f"cannot read your logins: {why} [{file}]", hint=f"spank-container login {registry}") from error
    names = [registry, *([_HUBS_KEY] if registry == DOCKER_HUB else [])]
    return next((_decoded(kept.auths[name].auth) for name in names if name in kept.auths), None)


def _decoded(auth: str) -> Login | None:
    """base64 of USER:PASSWORD, where the password may have colons of its own."""
    try:
        user, colon, password = base64.b64decode(auth, validate=True).decode().partition(":")
    except ValueError:  # no base64, or no UTF-8 in it
        return None
    return Login(user, password) if colon else None
