"""Parsers of what users type: a value, or an error that says so on lines that a terminal can show."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hypothesis import example, given
from hypothesis import strategies as st
from strategies import TYPED

from spank_container.errors import NodeError, ParseError, SiteError, SpankContainerError, UserError
from spank_container.facts import _cpus_per_node, _expand
from spank_container.plan import identity
from spank_container.request import job_from_environment, parse_request, parse_volume_options
from spank_container.site_config import compile_config, read_compiled, validate_config
from spank_container.values.host_facts import Account, Group
from spank_container.values.image_ref import parse_digest, parse_image_ref
from spank_container.values.size import format_size, parse_size
from spank_container.values.volume import host_path, is_protected, parse_volumes

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
LONG = 70_000  # more than Slurm carries for us
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TYPED,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TYPED, inner, max_size=3),
    max_leaves=8,
)
ALICE = Account("alice", 1001, 1001, "", "/home/alice", "/bin/sh")


def attempt(parse: Callable[[], T], refusal: type[SpankContainerError]) -> T | None:
    """The value, or None after `refusal`, of which the report must be fit to be shown; nothing else may come out."""
    try:
        return parse()
    except refusal as error:
        lines = error.report().split("\n")
        assert lines[0]
        assert all(line.isprintable() for line in lines)
        assert "".join(lines).encode()
        if isinstance(error, ParseError):
            assert max(map(len, lines)) < 200
            assert lines[-1].startswith("hint: ")
            assert lines[2].strip(" ~") == "^"
        return None


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
    for typed in (text, f"docker:{text}", f"r.io/a:{text}", f"a@{text}"):
        ref = attempt(lambda typed=typed: parse_image_ref(typed), ParseError)  # type: ignore[misc]
        assert ref is None or parse_image_ref(str(ref)) == ref


@given(TYPED)
def test_digests(text: str) -> None:
    digest = attempt(lambda: parse_digest(text), ParseError)
    assert digest is None or "/" not in digest


@given(TYPED)
@example(":" * LONG)
@example(";" * LONG)
@example("/a:/b:perNodeCache=" + "," * LONG)
@example("/" + "日\u0301" * LONG)
def test_volumes(text: str) -> None:
    for typed in (text, f"/a:/b:{text}", f"/a:/b:perNodeCache={text}", f"/a:/{text}"):
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


@given(TYPED | JSON.map(json.dumps))
@example("[" * LONG)
@example('{"a":' * 13_000)
@example('{"version":' + "9" * 60_000 + "}")
def test_requests(text: str) -> None:
    attempt(lambda: parse_request(text), UserError)


@given(JSON, JSON, JSON, JSON)
def test_requests_with_the_right_keys(version: object, image: object, digest: object, volumes: object) -> None:
    for number in (version, 1):
        for listed in (volumes, [volumes]):
            document = {"version": number, "image": image, "digest": digest, "volumes": listed}
            request = attempt(lambda document=document: parse_request(json.dumps(document)), UserError)  # type: ignore[misc]
            assert request is None or parse_request(request.to_json()) == request


NAMES = ["SLURM_JOB_ID", "SLURM_JOB_UID", "SLURM_JOB_GID", "SLURM_JOB_WORK_DIR", "SLURM_STEP_ID", "SLURM_JOB_NODELIST"]


@given(st.dictionaries(st.sampled_from(NAMES), TYPED | st.integers(0, 2**64).map(str)))
def test_environments_of_hooks(environment: dict[str, str]) -> None:
    attempt(lambda: job_from_environment(environment), NodeError)


@given(TYPED)
def test_node_lists(text: str) -> None:
    for nodes in (text, f"n[{text}]", f"n[1-2,{text}]"):
        names = attempt(lambda nodes=nodes: _expand(nodes), NodeError)  # type: ignore[misc]
        assert names is None or len(names) <= 100_000


@given(TYPED)
def test_lists_of_cpus(text: str) -> None:
    for cpus in (text, f"4(x{text})"):
        attempt(lambda cpus=cpus: list(islice(_cpus_per_node(cpus), 1000)), NodeError)  # type: ignore[misc]


TABLES = {"images": ["store"], "scratch": ["path", "max_size", "filesystems", "overcommit"], "container": ["tmp_size"]}


@given(
    st.fixed_dictionaries(
        {}, optional={table: JSON | st.dictionaries(st.sampled_from(keys), JSON) for table, keys in TABLES.items()}
    )
)
def test_configurations(document: dict[str, object]) -> None:
    config = attempt(lambda: validate_config(document, Path("config.toml")), SiteError)
    assert config is None or read_compiled(compile_config(config, [1])) == (config, [1])


@given(st.lists(st.lists(TYPED | st.integers().map(str), min_size=3, max_size=7).map(":".join)).map("\n".join))
def test_passwd_and_group_of_an_image(text: str) -> None:
    passwd = identity.passwd(text, ALICE).split("\n")
    group = identity.group(text, ALICE, [Group("alice", 1001)]).split("\n")
    assert passwd[-1] == group[-1] == ""
    assert all(line.count(":") == 6 for line in passwd[:-1])
    assert all(line.count(":") == 3 for line in group[:-1])
    assert [line for line in passwd if line.split(":")[:1] == ["alice"]] == ["alice:x:1001:1001::/home/alice:/bin/sh"]


@given(st.text(), TYPED, st.integers(0, 100), st.integers(0, 100), st.text())
def test_reports_never_fail(message: str, text: str, start: int, end: int, hint: str) -> None:
    error = ParseError(message, text, (start, end), hint)
    assert all(line.isprintable() for line in error.report().split("\n"))
    assert error.report().encode()
