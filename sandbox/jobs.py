"""Batch jobs: submit one, wait for its end on all nodes, see what it printed.

`sbatch --wait` asks every two seconds and later every 32; here nobody waits longer than the job takes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox.command import SandboxError

if TYPE_CHECKING:
    from sandbox.node import Node

# The script comes on standard input, the options of sbatch as arguments.
SUBMIT = """
id=$(sbatch --parsable "$@") || exit 64
"""
# A job is COMPLETING while an Epilog runs.
WAIT = """
deadline=$((SECONDS + TIMEOUT))
while job=$(scontrol --oneliner show job "$id"); do
    case $job in
        *JobState=PENDING* | *JobState=CONFIGURING* | *JobState=RUNNING* | *JobState=COMPLETING*) ;;
        *) break ;;
    esac
    [ $SECONDS -lt $deadline ] || { scancel "$id"; echo "$job" >&2; exit 75; }
    sleep 0.05
done
job=${job%%$'\\n'*} # of a heterogeneous job or an array, the first part
echo "$job"
output=$(sed -n 's/.* StdOut=\\([^ ]*\\).*/\\1/p' <<< "$job")
[ ! -e "$output" ] || cat "$output" # there is none of a job that was cancelled before it began
"""


@dataclass(frozen=True, slots=True)
class Job:
    """A batch job that has ended, its Epilogs too."""

    id: int
    state: str
    exit_code: int
    output: str


class RefusedError(SandboxError):
    """sbatch did not take the job; the message is what it said."""


def submit(login: Node, script: str, *options: str, user: str = "alice", timeout: int = 120) -> Job:
    """Submit the batch `script` as `user` and return when it is over."""
    return _job(_run(login, SUBMIT + WAIT.replace("TIMEOUT", str(timeout)), *options, user=user, stdin=script))


def start(login: Node, script: str, *options: str, user: str = "alice") -> int:
    """Submit the batch `script` as `user`; its number."""
    return int(_run(login, SUBMIT + "echo $id", *options, user=user, stdin=script))


def wait(login: Node, number: int, *, user: str = "alice", timeout: int = 120) -> Job:
    """Return when the job, which is `user`'s, is over."""
    return _job(_run(login, f"id={number}" + WAIT.replace("TIMEOUT", str(timeout)), user=user))


def _run(login: Node, commands: str, *options: str, user: str, stdin: str = "") -> str:
    done = login.run(("bash", "-c", commands, "sbatch", *options), user=user, stdin=stdin)
    if done.returncode == 64:
        raise RefusedError(done.stderr)
    if done.returncode != 0:
        raise SandboxError(f"the job does not end in time:\n{done.stderr}")
    return done.stdout


def _job(printed: str) -> Job:
    shown, _, output = printed.partition("\n")
    return Job(
        id=int(_field(shown, "JobId")),
        state=_field(shown, "JobState"),
        exit_code=int(_field(shown, "ExitCode").split(":")[0]),
        output=output,
    )


def _field(shown: str, name: str) -> str:
    found = re.search(rf"\b{name}=(\S*)", shown)
    if not found:
        raise SandboxError(f"scontrol shows no {name}: {shown}")
    return found[1]
