"""Parsers of what a node is told: by Slurm, of which users set a part, by the site, by an image, by the name service."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from attempts import attempt
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import ACCOUNTS, GROUPS, JSON, TYPED

from spank_container.errors import BusyError, NodeError, ParseError, SiteError
from spank_container.facts import _cpus_per_node, _expand
from spank_container.plan import identity
from spank_container.request import job_from_environment
from spank_container.site_config import compile_config, read_compiled, validate_config
from spank_container.slurm.features import parse_features
from spank_container.slurm.jobs import parse_squeue
from spank_container.values.address import parse_address
from spank_container.values.host_facts import Account, Group
from spank_container.values.site_mount import parse_site_mount

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


@given(st.lists(TYPED | st.from_regex(r"[0-9]{1,4}(_[0-9]|\+1)? [A-Z]{1,9}", fullmatch=True)).map("\n".join))
def test_lists_of_jobs(text: str) -> None:
    """Of squeue's; an array's or a heterogeneous job's is not a plain number."""
    attempt(lambda: parse_squeue(text), BusyError)


@given(TYPED)
def test_features_of_nodes(text: str) -> None:
    """Which the site names; scontrol prints a user's words, as Reason, on the same line."""
    attempt(
        lambda: parse_features(f"NodeName=n1 AvailableFeatures={text} ActiveFeatures={text} Reason={text}"), BusyError
    )


TABLES = {
    "images": ["store"],
    "scratch": ["path", "max_size", "filesystems", "overcommit"],
    "container": ["tmp", "tmp_size", "writable", "writable_size", "name_service_timeout"],
    "volumes": ["allow", "deny", "read_only", "mounts"],
    "environment": ["set", "prepend", "append", "unset"],
}


@given(
    st.fixed_dictionaries(
        {}, optional={table: JSON | st.dictionaries(st.sampled_from(keys), JSON) for table, keys in TABLES.items()}
    )
)
def test_configurations(document: dict[str, object]) -> None:
    config = attempt(lambda: validate_config(document, Path("config.toml")), SiteError)
    assert config is None or read_compiled(compile_config(config, [1])) == (config, [1])


@given(TYPED)
def test_mounts_of_the_site(text: str) -> None:
    for typed in (text, f"/{text}", f"/a:/b:{text}"):
        mount = attempt(lambda typed=typed: parse_site_mount(typed), ParseError)  # type: ignore[misc]
        assert mount is None or parse_site_mount(str(mount)) == mount


@given(TYPED)
@example("h:0655350")
@example("h:" + "9" * 5000)
@example("unix:/\udcff")
def test_addresses(text: str) -> None:
    for typed in (text, f"unix:/{text}", f"host:{text}", f"[{text}]:1"):
        address = attempt(lambda typed=typed: parse_address(typed), ParseError)  # type: ignore[misc]
        if address and not address.path:
            assert 0 < address.port < 65536


LINES = st.lists(st.lists(TYPED | st.integers().map(str), min_size=3, max_size=7).map(":".join)).map("\n".join)
ALICE = Account("alice", 1001, 1001, "", "/home/alice", "/bin/sh")


@given(LINES)
def test_passwd_and_group_of_an_image(text: str) -> None:
    passwd = identity.passwd(text, ALICE).split("\n")
    check_files(passwd, identity.group(text, ALICE, [Group("alice", 1001)]).split("\n"))
    assert [line for line in passwd if line.split(":")[:1] == ["alice"]] == ["alice:x:1001:1001::/home/alice:/bin/sh"]


@given(LINES, ACCOUNTS, GROUPS)
def test_whatever_the_name_service_says(text: str, account: Account, groups: tuple[Group, ...]) -> None:
    """The user has one line, the last, and each group one, at the end."""
    passwd = identity.passwd(text, account).split("\n")
    group = identity.group(text, account, groups).split("\n")
    check_files(passwd, group)
    numbers = list(dict.fromkeys(str(one.gid) for one in groups))
    assert [line.split(":")[2] for line in passwd[:-1]].count(str(account.uid)) == 1
    assert passwd[-2].split(":")[1:4] == ["x", str(account.uid), str(account.gid)]
    assert [line.split(":")[2] for line in group[:-1]][len(group) - 1 - len(numbers) :] == numbers


def check_files(passwd: list[str], group: list[str]) -> None:
    assert passwd[-1] == group[-1] == ""
    assert all(line.count(":") == 6 for line in passwd[:-1])
    assert all(line.count(":") == 3 for line in group[:-1])
