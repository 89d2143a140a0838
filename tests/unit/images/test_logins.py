"""Which login skopeo would take, read from its own files and docker's; logging in itself is tests/cluster/test_login.py."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest

from spank_container.errors import UserError
from spank_container.images.logins import Login, find_login, log_out

if TYPE_CHECKING:
    from pathlib import Path


def write(file: Path, logins: dict[str, str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    auths = {name: {"auth": base64.b64encode(text.encode()).decode()} for name, text in logins.items()}
    file.write_text(json.dumps({"auths": auths, "credsStore": "unknown to us"}))


@pytest.mark.parametrize(
    ("file", "variable"),
    [
        ("run/containers/auth.json", "XDG_RUNTIME_DIR"),
        ("home/.config/containers/auth.json", ""),
        ("home/.docker/config.json", ""),
        ("chosen.json", "REGISTRY_AUTH_FILE"),
    ],
)
def test_every_file_of_skopeo_s_is_known(tmp_path: Path, file: str, variable: str) -> None:
    values = {"XDG_RUNTIME_DIR": str(tmp_path / "run"), "REGISTRY_AUTH_FILE": str(tmp_path / "chosen.json")}
    environment = {"HOME": str(tmp_path / "home")} | ({variable: values[variable]} if variable else {})
    assert find_login("r.example:5000", environment) is None
    write(tmp_path / file, {"r.example:5000": "me:a:b"})
    assert find_login("r.example:5000", environment) == Login("me", "a:b")
    assert find_login("r.example", environment) is None


def test_the_first_file_that_has_it_counts(tmp_path: Path) -> None:
    write(tmp_path / ".config/containers/auth.json", {"other": "you:1"})
    write(tmp_path / ".docker/config.json", {"other": "you:2", "r": "me:2"})
    environment = {"HOME": str(tmp_path)}
    assert find_login("r", environment) == Login("me", "2")
    assert find_login("other", environment) == Login("you", "1")


def test_docker_has_another_name_for_its_hub(tmp_path: Path) -> None:
    write(tmp_path / ".docker/config.json", {"https://index.docker.io/v1/": "me:hub"})
    assert find_login("docker.io", {"HOME": str(tmp_path)}) == Login("me", "hub")


@pytest.mark.parametrize("auth", ["", "bm9jb2xvbg==", "not base64", "//8="])
def test_what_is_no_name_and_password_is_no_login(tmp_path: Path, auth: str) -> None:
    file = tmp_path / ".docker/config.json"
    file.parent.mkdir()
    file.write_text(json.dumps({"auths": {"r": {"auth": auth}}}))
    assert find_login("r", {"HOME": str(tmp_path)}) is None


def test_a_broken_file_is_told(tmp_path: Path) -> None:
    file = tmp_path / ".docker/config.json"
    file.parent.mkdir()
    file.write_text("{")
    with pytest.raises(UserError) as caught:
        find_login("r", {"HOME": str(tmp_path)})
    assert caught.value.report() == (
        f"cannot read your logins: it is no auth.json [{file}]\nhint: spank-container login r"
    )


def test_a_login_shows_its_password_to_nobody() -> None:
    assert repr(Login("me", "secret")) == "Login()"


def test_logging_out_changes_only_the_file_that_has_the_login(tmp_path: Path) -> None:
    write(tmp_path / ".config/containers/auth.json", {"other": "you:1"})
    write(tmp_path / ".docker/config.json", {"r": "me:2", "other": "you:2"})
    environment = {"HOME": str(tmp_path)}
    assert log_out("r", environment) == tmp_path / ".docker/config.json"
    assert find_login("r", environment) is None
    assert find_login("other", environment) == Login("you", "1")
