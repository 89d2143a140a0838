"""Facts of a job's nodes, in Slurm's notation, and of its user, whom this machine may not know."""

from __future__ import annotations

import os
import pwd
import sys
import tracemalloc
from dataclasses import replace

import pytest
from builders import job

from spank_container.errors import NodeError
from spank_container.facts import gather_facts
from spank_container.values.host_facts import Account, Group

STRANGER = 3_999_999_999
SECONDS = 10
HINT = "hint: run this from Slurm's Prolog or Epilog"


def hosts(nodes: str, cpus: str) -> list[tuple[str, int]]:
    return list(gather_facts(job(nodes=nodes, cpus_per_node=cpus), SECONDS).hosts)


def names(nodes: str) -> list[str]:
    return [name for name, _ in hosts(nodes, "")]


def refusal(nodes: str, cpus: str = "") -> str:
    with pytest.raises(NodeError) as caught:
        hosts(nodes, cpus)
    return caught.value.report()


@pytest.mark.parametrize(
    ("nodes", "expanded"),
    [
        ("n1", ["n1"]),
        ("n1,m1", ["n1", "m1"]),
        ("n[1-3,7],m01", ["n1", "n2", "n3", "n7", "m01"]),
        ("n[08-11]", ["n08", "n09", "n10", "n11"]),
        ("n[001-002,1000]", ["n001", "n002", "n1000"]),
        ("z[1-2],a[1-2]", ["z1", "z2", "a1", "a2"]),
        ("r[0-1]n[1-2]", ["r0n1", "r0n2", "r1n1", "r1n2"]),
        ("n[1-2]-ib.site.org", ["n1-ib.site.org", "n2-ib.site.org"]),
        ("a_b-c.d", ["a_b-c.d"]),
    ],
)
def test_node_lists(nodes: str, expanded: list[str]) -> None:
    assert names(nodes) == expanded


def test_a_job_without_a_node_list_has_this_node() -> None:
    assert names("") == ["n1"]


def test_a_step_without_any_name_has_this_machine() -> None:
    assert gather_facts(replace(job(nodes="", cpus_per_node=""), node=""), SECONDS).hosts == ((os.uname().nodename, 1),)


@pytest.mark.parametrize(
    ("cpus", "counts"),
    [
        ("72(x2),36", [72, 72, 36]),
        ("4(x3)", [4, 4, 4]),
        ("1,2,3", [1, 2, 3]),
        ("8", [8, 1, 1]),
        ("", [1, 1, 1]),
        ("2(x5)", [2, 2, 2]),
        ("999999(x3)", [999_999] * 3),
    ],
)
def test_cpus_of_each_node(cpus: str, counts: list[int]) -> None:
    assert hosts("n[1-3]", cpus) == list(zip(["n1", "n2", "n3"], counts, strict=True))


@pytest.mark.parametrize(
    "nodes",
    [
        "n[1-1000000000]",
        "n[1-100001]",
        "n[1-99999]," + "m1,m2",
        "a[1-1000]b[1-1000]",
        "n[9-1]",
        "n[9-1]x[0-999999999]",
        "n[0-999999999]x[9-1]",
        "n[1-2",
        "n1]",
        "n[]",
        "n[1-2,]",
        "n[-1]",
        "n[1-2-3]",
        "n[a-b]",
        "n[1-2][3-4]",
        "n1,",
        ",n1",
        "n1,,n2",
        "n1 n2",
        "@all",
        "n*",
        "n1!n2",
        "n%s",
        "n1\n",
        "\u0663",
    ],
)
def test_what_is_no_node_list(nodes: str) -> None:
    assert refusal(nodes) == f"SLURM_JOB_NODELIST is {nodes!r}, which cannot be read\n{HINT}"


@pytest.mark.parametrize("cpus", ["x", "4(x)", "4(2)", "4(x2", "4,", "-1", "4.5", "1234567", "4(x1234567)", "\u0663"])
def test_what_is_no_list_of_cpus(cpus: str) -> None:
    assert refusal("n[1-3]", cpus) == f"SLURM_JOB_CPUS_PER_NODE is {cpus!r}, which cannot be read\n{HINT}"


def test_more_cpus_than_any_cluster_has() -> None:
    assert refusal("n[1-11]", "999999(x11)") == (
        f"SLURM_JOB_CPUS_PER_NODE is '999999(x11)', which cannot be read\n{HINT}"
    )


def test_a_long_text_is_cut_in_the_message() -> None:
    assert refusal("n," * 50_000) == f"SLURM_JOB_NODELIST is {'n,' * 100!r}, which cannot be read\n{HINT}"


def test_hostile_texts_cost_no_memory() -> None:
    """Each would be gigabytes when it was expanded."""
    tracemalloc.start()
    try:
        refusal("n[0-999999999]," * 100 + "m")
        refusal("a[0-999999999]" + "b[0-999999999]" * 50)
        assert hosts("n1", ",".join(["1(x999999)"] * 5000)) == [("n1", 1)]
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_the_largest_job() -> None:
    assert len(names("n[000001-100000]")) == 100_000


def test_a_user_whom_this_node_does_not_know() -> None:
    facts = gather_facts(job(uid=STRANGER), SECONDS)
    assert facts.account == Account("alice", STRANGER, STRANGER, "", "/", "/bin/sh")
    assert facts.groups == (Group(f"group{STRANGER}", STRANGER),)


def test_a_user_whom_this_node_knows_keeps_the_jobs_group() -> None:
    root = pwd.getpwuid(0)
    facts = gather_facts(replace(job(uid=0), gid=STRANGER), SECONDS)
    assert facts.account == Account(root.pw_name, 0, STRANGER, root.pw_gecos, root.pw_dir, root.pw_shell)
    assert facts.groups[0] == Group(f"group{STRANGER}", STRANGER)
    assert len({group.gid for group in facts.groups}) == len(facts.groups)


def test_what_a_container_is_given_is_there() -> None:
    facts = gather_facts(job(), SECONDS)
    assert facts.support == f"{sys.prefix}/lib/spank-container/bin"  # test_install.py: and that leads to it
    assert all(os.path.exists(path) for path in facts.files)
    assert facts.files <= {"/etc/hosts", "/etc/resolv.conf", "/etc/localtime"}
    for identity, folder in zip(facts.tmp, ("/tmp", "/dev/shm"), strict=True):
        status = os.stat(folder)
        assert identity == f"{status.st_dev}:{status.st_ino}"
