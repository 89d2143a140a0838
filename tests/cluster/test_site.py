"""What `spank-container install` put into the cluster's nodes, asked for on every release of Slurm."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sandbox.cluster import Cluster

PROGRAM = "/opt/spank-container/bin/spank-container"
PYTHON = "/opt/spank-container/venv/bin/python3"
LIVE = "from spank_container.slurm import live_jobs, node_name; print(sorted(live_jobs(node_name())))"


@pytest.mark.parametrize(("user", "node"), [("root", "n1"), ("alice", "n1"), ("alice", "login")])
def test_the_doctor_finds_nothing_that_fails(cluster: Cluster, user: str, node: str) -> None:
    done = cluster.run([PROGRAM, "check", "--json"], user=user, node=node)
    findings = {one["what"]: one for one in json.loads(done.stdout)}
    assert [one for one in findings.values() if one["level"] == "failure"] == []
    assert done.returncode == 0
    assert findings["plugin"]["why"] == f"for Slurm {cluster.release.slurm}"
    assert findings["PrologFlags"]["level"] == "ok"


def test_the_doctor_sees_a_hook_that_cannot_run(cluster: Cluster) -> None:
    hook = "/etc/slurm/prolog.d/50-spank-container"
    done = cluster.run(f"chmod a-x {hook}; {PROGRAM} check; echo status $?; chmod a+x {hook}", user="root", node="n1")
    assert "failure Prolog: the script: it cannot be executed, and Slurm drains the node" in done.stdout
    assert done.stdout.endswith("status 78\n")


def test_installing_again_would_change_nothing(cluster: Cluster) -> None:
    """But for what the sandbox has changed: it adds timing= to the plugin's line and has a config.toml of its own."""
    done = cluster.run([PROGRAM, "install", "--dry-run"], user="root", node="n1")
    steps = re.findall(r"^(same|create|update|keep) +(\S+)", done.stdout, re.MULTILINE)
    assert len(steps) == 12
    assert [step for step in steps if step[0] != "same"] == [
        ("keep", "/etc/spank-container/config.toml"),
        ("update", "/etc/slurm/plugstack.conf.d/spank-container.conf"),
    ]
    assert re.search(r"^-required .* timing=", done.stdout, re.MULTILINE)


def test_uninstalling_is_refused_while_slurm_conf_needs_the_snippet(cluster: Cluster) -> None:
    done = cluster.run([PROGRAM, "install", "--uninstall"], user="root", node="n1")
    assert done.returncode == 78
    assert "includes spank-container.slurm.conf, and Slurm would not start without it" in done.stderr


def test_slurm_says_which_jobs_live_on_which_node(cluster: Cluster) -> None:
    """An array's tasks have ids of their own."""
    submitted = cluster.run(
        ["sbatch", "--parsable", "--array=1-2", "-w", "n1", "--partition=shared", "--wrap", "sleep 60"]
    )
    array = submitted.stdout.strip()
    try:
        cluster.run(f"until [ $(squeue -h -j {array} -t running | wc -l) = 2 ]; do sleep 0.1; done")
        here, there = (json.loads(cluster.run([PYTHON, "-c", LIVE], node=node).stdout) for node in ("n1", "n2"))
    finally:
        cluster.run(["scancel", array])
    assert int(array) in here
    assert len(here) == 2
    assert there == []
    cluster.run(f"while squeue -h -j {array} | grep -q .; do sleep 0.1; done")
    assert json.loads(cluster.run([PYTHON, "-c", LIVE], node="n1").stdout) == []


def test_a_node_that_slurm_does_not_know_has_no_dead_jobs(cluster: Cluster) -> None:
    done = cluster.run(f"SLURMD_NODENAME=n99 {PROGRAM} sweep", user="root", node="n1")
    assert done.returncode == 75
    assert "asking Slurm for the jobs of n99" in done.stderr


def test_shifter_in_a_batch_script_gets_its_node_and_all_its_cpus(cluster: Cluster) -> None:
    script = """#!/bin/bash
module load shifter
srun --overlap -n4 sleep 2 &
echo "script $SLURMD_NODENAME $SLURM_CPUS_ON_NODE"
shifter sh -c 'echo "task $SLURMD_NODENAME $SLURM_CPUS_ON_NODE $SLURM_NTASKS"; cat; exit 5' <<< "from stdin"
echo "status $?"
wait
"""
    job = cluster.sbatch(script, "-N2", "-n4", "-c2", user="alice")
    lines = [line for line in job.output.splitlines() if not line.startswith("srun: ")]
    _, node, cpus = lines[0].split()
    assert lines == [f"script {node} {cpus}", f"task {node} {cpus} 1", "from stdin", "status 5"]


def test_shifter_on_a_terminal_is_on_a_terminal(cluster: Cluster) -> None:
    command = "salloc -n1 /opt/spank-container/bin/shifter tty"
    assert "/dev/pts/" in cluster.run(["script", "-qec", command, "/dev/null"], user="alice").stdout
