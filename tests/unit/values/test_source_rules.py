from __future__ import annotations

import pytest

from spank_container.values.source_rules import SourceRules

ELSEWHERE = "name another folder"
RULES = SourceRules(allow=("/scratch", "/projects/a b"), deny=("/scratch/secret", "/etc/slurm"), read_only=("/data",))


@pytest.mark.parametrize("path", ["/scratch", "/scratch/alice", "/projects/a b/x", "/scratch/secrets"])
def test_what_is_allowed(path: str) -> None:
    if path == "/scratch":
        assert SourceRules(allow=("/scratch",)).fault(path) is None
    else:
        assert RULES.fault(path) is None


@pytest.mark.parametrize("path", ["/", "/scratch2", "/scratc", "/projects", "/projects/a", "/home/alice", "/x/scratch"])
def test_what_is_not_allowed(path: str) -> None:
    """By component: Apptainer's `limit container paths` once let /scratch2 in where it said /scratch (CVE-2026-48785)."""
    only_allowed = SourceRules(allow=RULES.allow)
    assert only_allowed.fault(path) == (
        "this cluster does not allow it",
        "volumes may be in /scratch, /projects/a b",
    )


@pytest.mark.parametrize("path", ["/scratch/secret", "/scratch/secret/x/y"])
def test_what_is_denied_wins(path: str) -> None:
    assert RULES.fault(path) == ("it is in /scratch/secret, which this cluster shows in no container", ELSEWHERE)


@pytest.mark.parametrize(
    ("path", "place"), [("/scratch", "/scratch/secret"), ("/etc", "/etc/slurm"), ("/", "/scratch/secret")]
)
def test_what_holds_something_that_is_denied(path: str, place: str) -> None:
    assert RULES.fault(path) == (f"it holds {place}, which this cluster shows in no container", "name less of it")


def test_no_rules_allow_everything() -> None:
    assert SourceRules().fault("/") is None
    assert not SourceRules().makes_read_only("/")


def test_the_root_holds_everything() -> None:
    assert SourceRules(allow=("/",)).fault("/a") is None
    assert SourceRules(deny=("/",)).fault("/a") == ("it is in /, which this cluster shows in no container", ELSEWHERE)
    assert SourceRules(read_only=("/",)).makes_read_only("/a")


@pytest.mark.parametrize(
    ("path", "read_only"), [("/data", True), ("/data/x", True), ("/", True), ("/data2", False), ("/x/data", False)]
)
def test_what_is_read_only(path: str, read_only: bool) -> None:  # noqa: FBT001
    assert RULES.makes_read_only(path) is read_only


def test_links_among_the_rules_are_followed_as_well() -> None:
    rules = SourceRules(("/scratch",), ("/secret", "/x"), ("/data",)).and_real(
        lambda path: {"/scratch": "/lustre/1", "/secret": "/lustre/1/s", "/x": "/x"}.get(path, f"/real{path}")
    )
    assert rules == SourceRules(
        ("/scratch",), ("/secret", "/x", "/lustre/1/s"), ("/data", "/real/data"), ("/lustre/1",)
    )
    assert rules.fault("/lustre/1/alice") is None
    assert rules.fault("/lustre/2") == ("this cluster does not allow it", "volumes may be in /scratch")
    assert rules.fault("/lustre/1/s/x") == ("it is in /lustre/1/s, which this cluster shows in no container", ELSEWHERE)
