"""Parsers of what users type: a value, or an error that says so on lines that a terminal can show."""

from __future__ import annotations

import base64
import json
import os
import tempfile
from pathlib import Path

from attempts import attempt
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import JSON, TYPED

from spank_container.environment_file import read_environment_file
from spank_container.errors import ParseError, UserError
from spank_container.images.archives import _parse_source
from spank_container.images.logins import _decoded
from spank_container.request import parse_request, parse_volume_options
from spank_container.values.image_ref import parse_digest, parse_image_ref, parse_imported_ref
from spank_container.values.size import format_size, parse_size
from spank_container.values.task import (
    THE_IMAGES,
    check_variable_name,
    parse_entrypoint,
    parse_environment_file,
    parse_variables,
    parse_workdir,
    with_value,
)
from spank_container.values.variables import is_protected_variable, is_variable_name
from spank_container.values.volume import host_path, is_protected, parse_volumes
from spank_container.values.writable import parse_writable

LONG = 70_000  # more than Slurm carries for us


@given(TYPED)
@example("9" * LONG)
@example(f"1.{'9' * LONG}e999")
def test_sizes(text: str) -> None:
    size = attempt(lambda: parse_size(text), ParseError)
    if size is not None:
        assert 0 < size < 2**63
        assert parse_size(format_size(size)) == size


@given(TYPED)
@example("a" * LONG)
@example("a." * LONG + "/")
@example("docker:" + "a/" * LONG)
@example("a" + "-" * LONG + "!")
def test_image_references(text: str) -> None:
    for typed in (text, f"docker:{text}", f"custom:{text}", f"r.io/a:{text}", f"a@{text}"):
        for parse in (parse_image_ref, parse_imported_ref):
            ref = attempt(lambda typed=typed, parse=parse: parse(typed), ParseError)  # type: ignore[misc]
            assert ref is None or parse_image_ref(str(ref)) == ref


@given(TYPED)
def test_files_of_images(text: str) -> None:
    for typed in (text, f"oci:{text}", f"oci-archive:{text}"):
        source = attempt(lambda typed=typed: _parse_source(typed), ParseError)  # type: ignore[misc]
        assert source is None or ":".join(source) == typed


@given(TYPED | st.binary().map(lambda raw: base64.b64encode(raw).decode()))
def test_logins(text: str) -> None:
    """As they stand in a user's auth.json."""
    login = _decoded(text)
    assert login is None or ":" not in login.user


@given(TYPED)
def test_digests(text: str) -> None:
    digest = attempt(lambda: parse_digest(text), ParseError)
    assert digest is None or "/" not in digest


@given(TYPED)
@example(":" * LONG)
@example(";" * LONG)
@example("/a:/b:perNodeCache=" + "," * LONG)
@example("/" + "日\u0301" * LONG)
@example('"' * LONG)
def test_volumes(text: str) -> None:
    for typed in (text, f"/a:/b:{text}", f"/a:/b:perNodeCache={text}", f"/a:/{text}", f'"{text}"'):
        specs = attempt(lambda typed=typed: parse_volumes(typed), ParseError) or ()  # type: ignore[misc]
        for spec in specs:
            assert parse_volumes(str(spec)) == (spec,)
            assert not is_protected(spec.target)


@given(st.lists(TYPED, max_size=4))
def test_options(texts: list[str]) -> None:
    specs = attempt(lambda: parse_volume_options(texts), UserError) or ()
    assert len({spec.target for spec in specs}) == len(specs)


@given(TYPED)
def test_paths_that_stand_alone(text: str) -> None:
    path = host_path(f"/{text}")
    assert path is None or host_path(path) == path


@given(TYPED)
@example("/" * LONG)
def test_writable_roots(text: str) -> None:
    for typed in (text, f"/{text}"):
        spec = attempt(lambda typed=typed: parse_writable(typed), ParseError)  # type: ignore[misc]
        assert spec is None or parse_writable(str(spec)) == spec


@given(st.lists(TYPED, max_size=4), st.dictionaries(TYPED, TYPED, max_size=2))
def test_variables(texts: list[str], environment: dict[str, str]) -> None:
    for name in texts:
        attempt(lambda name=name: check_variable_name(name), ParseError)  # type: ignore[misc]
    typed = [*texts, *(f"A={text}" for text in texts)]
    settings = attempt(lambda: parse_variables(with_value(one, environment) for one in typed), UserError) or ()
    for setting in settings:
        name, equals, value = setting.partition("=")
        assert equals
        assert is_variable_name(name)
        assert not is_protected_variable(name)
        assert b"\0" not in os.fsencode(value)


@given(TYPED | st.lists(TYPED).map("\n".join))
@example("A=1\n" * LONG)
def test_environment_files(text: str) -> None:
    for content in (text, f"A=1\r\n# {text}", f" B={text}"):
        settings = attempt(lambda content=content: parse_environment_file(content, "file"), UserError)  # type: ignore[misc]
        assert settings is None or attempt(lambda settings=settings: parse_variables(settings), UserError) is not None  # type: ignore[misc]


@given(st.binary(max_size=80), TYPED)
def test_files_of_variables(content: bytes, name: str) -> None:
    """Any bytes in one, and any name of one."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "file").write_bytes(content)
        attempt(lambda: read_environment_file(f"{folder}/file"), UserError)
        attempt(lambda: read_environment_file(f"{folder}/{name}"), UserError)


@given(TYPED)
@example("/proc" + "/self" * 100)
@example("/" * LONG)
def test_working_directories(text: str) -> None:
    for typed in (text, f"/{text}", f"//proc/{text}"):
        path = attempt(lambda typed=typed: parse_workdir(typed), ParseError)  # type: ignore[misc]
        if path is not None and path != THE_IMAGES:
            assert path.startswith("/")
            assert not f"{path}/".startswith("/proc/")
            assert ".." not in path.split("/")


@given(TYPED)
def test_entrypoints(text: str) -> None:
    word = attempt(lambda: parse_entrypoint(text), ParseError)
    assert word is None or b"\0" not in os.fsencode(word)


@given(TYPED | JSON.map(json.dumps))
@example("[" * LONG)
@example('{"a":' * 13_000)
@example('{"version":' + "9" * 60_000 + "}")
def test_requests(text: str) -> None:
    attempt(lambda: parse_request(text), UserError)


SOUND = {"version": 1, "image": "docker:docker.io/library/debian:trixie", "digest": f"sha256:{'0' * 64}", "volumes": []}
MEMBERS = ["surroundings", "environment", "clear_environment", "workdir", "entrypoint", "writable", "joins", "typed"]
FORGED = st.dictionaries(st.sampled_from([*SOUND, *MEMBERS]), JSON | st.lists(TYPED, max_size=3) | st.just(value=True))


@given(FORGED)
def test_forged_requests(forged: dict[str, object]) -> None:
    """The members that a request has, with anything in them."""
    request = attempt(lambda: parse_request(json.dumps(SOUND | forged)), UserError)
    assert request is None or parse_request(request.to_json()) == request


@given(st.text(), TYPED, st.integers(0, 100), st.integers(0, 100), st.text())
def test_reports_never_fail(message: str, text: str, start: int, end: int, hint: str) -> None:
    error = ParseError(message, text, (start, end), hint)
    assert all(line.isprintable() for line in error.report().split("\n"))
    assert error.report().encode()
