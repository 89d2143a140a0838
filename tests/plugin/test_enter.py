"""The entry itself, into a real pinned mount namespace: each test in a mount namespace of its own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from plugin.slurm_player import Outcome, Scenario

    JobStep = Callable[..., Scenario]

pytestmark = pytest.mark.kernel

# One CPU, since from Linux 6.18 on each CPU numbers namespaces from a batch of its own, and the kernel refuses to pin one
# in another with a higher number (spank_container/kernel/namespace.py).
CPU = str(min(os.sched_getaffinity(0)))
PRIVATE = ("taskset", "-c", CPU, "unshare", "--mount", "--propagation", "private", "sh", "-c")
NODE = "; the administrator must look at this node"

# As the Prolog leaves it: a private tmpfs, and a namespace with something in it that the host does not have. What
# remains of it goes when the shell's namespace does.
PREPARE = """
set -eu
state=$1 inside=$2; shift 2
mount -t tmpfs -o mode=0700 state "$state"
mount --make-private "$state"
mkdir -p "$state/jobs/7" "$state/jobs/8"
touch "$state/jobs/7/mnt.ns" "$state/jobs/7/ready" "$state/jobs/8/ready"
printf 'FROM_IMAGE=1\\0GONE\\0' | cat - "$RECORDS" > "$state/jobs/7/env"
: > "$state/jobs/8/env"
unshare --mount="$state/jobs/7/mnt.ns" --propagation private \\
    sh -euc 'mount -t tmpfs container "$1"; touch "$1/here"; mount -t tmpfs container /mnt; mkdir /mnt/folder' sh "$inside"
exec "$@"
"""


@pytest.fixture
def play(tmp_path: Path, state: Path) -> Callable[..., Outcome]:
    inside = tmp_path / "inside"
    inside.mkdir()
    tmp_path.chmod(0o755)

    def run(scenario: Scenario, *records: str, then: str = "", private: tuple[str, ...] = PRIVATE) -> Outcome:
        """`records` for jobs/7/env; `then` is done on the host, when the container is there."""
        (tmp_path / "records").write_text("".join(f"{record}\0" for record in records))
        scenario.environ["RECORDS"] = str(tmp_path / "records")
        scenario.say("probe", inside / "here").say("probe", state / "jobs")
        script = PREPARE.replace('exec "$@"', f'{then}\nexec "$@"')
        return scenario.play(*private, script, "sh", state, inside)

    return run


def test_the_task_is_inside(job_step: JobStep, play: Callable[..., Outcome], tmp_path: Path) -> None:
    outcome = play(job_step().say("job_variable", "GONE", "1"))
    assert outcome.results("task_init_privileged") == [0]
    assert not outcome.errors
    assert outcome.probes[f"{tmp_path}/inside/here"] is True
    assert outcome.namespaces["task"] != outcome.namespaces["slurmstepd"]
    assert outcome.task_environment["FROM_IMAGE"] == "1"
    assert "GONE" not in outcome.task_environment
    assert outcome.leaked_descriptors == [0]


def test_privileges(job_step: JobStep, play: Callable[..., Outcome]) -> None:
    """Even of a daemon that was started with ambient capabilities, nothing is left; Slurm can still become the user."""
    outcome = play(job_step().say("ambient").say("uid", 1000).say("gid", 1000))
    task, user = outcome.status("task"), outcome.status("user")
    assert {name: task[name] for name in ("CapInh", "CapBnd", "CapAmb", "NoNewPrivs")} == {
        "CapInh": 0,
        "CapBnd": 0,
        "CapAmb": 0,
        "NoNewPrivs": 1,
    }
    assert task["CapEff"] == outcome.status("slurmstepd")["CapEff"] != 0
    assert {user[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert user["NoNewPrivs"] == 1


def test_every_task_enters(job_step: JobStep, play: Callable[..., Outcome]) -> None:
    outcome = play(job_step().say("tasks", 5))
    assert outcome.exits == [0] * 5
    assert list(outcome.probes.values()).count(False) == 0
    assert len({event["is"] for event in outcome.events if event.get("namespace") == "task"}) == 1


def test_the_host_stays_the_host(job_step: JobStep, play: Callable[..., Outcome], tmp_path: Path) -> None:
    """A step that wants the host, beside the container: neither the namespace nor the privileges are touched."""
    outcome = play(job_step().say("message", "image", "none"))
    assert outcome.probes[f"{tmp_path}/inside/here"] is False
    assert outcome.namespaces["task"] == outcome.namespaces["slurmstepd"]
    assert outcome.status("task") == outcome.status("slurmstepd")
    assert "FROM_IMAGE" not in outcome.task_environment


def test_timing(job_step: JobStep, play: Callable[..., Outcome], tmp_path: Path) -> None:
    """The file is the host's, although the task is in the container when it writes the line."""
    play(job_step().say("argument", f"timing={tmp_path}/times").say("tasks", 20))
    times = [float(line.split()[3]) for line in (tmp_path / "times").read_text().splitlines()]
    assert len(times) == 20


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ("umount {pin}; rm {pin}", "cannot open the container's namespace: No such file or directory"),
        ("umount {pin}", "cannot enter the container: Invalid argument"),
        ("mount --bind /proc/self/ns/uts {pin}", "cannot enter the container: Invalid argument"),
        ("umount {pin}; rm {pin}; mkdir {pin}", "cannot enter the container: Invalid argument"),
        (
            "umount {pin}; rm {pin}; ln -s /proc/1/ns/mnt {pin}",
            "cannot open the container's namespace: Too many levels of symbolic links",
        ),
    ],
)
def test_a_pin_that_is_none(
    job_step: JobStep, play: Callable[..., Outcome], state: Path, damage: str, sentence: str
) -> None:
    outcome = play(job_step(), then=damage.format(pin=f"{state}/jobs/7/mnt.ns"))
    assert outcome.results("task_init_privileged") == [-1]
    assert outcome.errors == [f"spank-container: {sentence}{NODE}"]


def test_without_privileges(job_step: JobStep, play: Callable[..., Outcome]) -> None:
    """A slurmd that may enter, but may not give up capabilities: the task does not run with what is left."""
    scenario = job_step().say("lacks", 8)  # CAP_SETPCAP
    outcome = play(scenario)
    assert outcome.results("task_init_privileged") == [-1]
    assert outcome.errors == [f"spank-container: cannot give up capabilities: Operation not permitted{NODE}"]


@pytest.mark.parametrize("hidden", [False, True])
def test_a_slurmstepd_in_a_copy_of_the_nodes_mounts(
    job_step: JobStep, play: Callable[..., Outcome], tmp_path: Path, *, hidden: bool
) -> None:
    """As with EntireStepInNS: the copy has no pin, but that of pid 1 has; unless it is another's state directory."""
    hide = "mount -t tmpfs -o mode=0700 other $state; mkdir -p $state/jobs/7; touch $state/jobs/7/mnt.ns; "
    copy = f"""unshare --mount sh -euc 'state=$1; shift; {hide if hidden else ""} exec "$@"' sh $state "$@"; exit"""
    node = ("unshare", "--pid", "--fork", "--mount-proc", *PRIVATE)
    ready = "touch $state/jobs/7/ready $state/jobs/7/env; " if hidden else ""
    outcome = play(job_step(), then=copy.replace("exec", f"{ready}exec"), private=node)
    if hidden:
        assert outcome.errors == [f"spank-container: cannot enter the container: Invalid argument{NODE}"]
        return
    assert not outcome.errors
    assert outcome.probes[f"{tmp_path}/inside/here"] is True


class TestTheTasksOwn:
    """What a task finds in `env` that is its own: done as the user, in the container, after Slurm's own chdir()."""

    def test_its_folder_and_its_command(self, job_step: JobStep, play: Callable[..., Outcome]) -> None:
        folder = "/mnt/folder"  # of the container
        scenario = job_step().say("uid", 1000).say("gid", 1000).say("word", "app").say("word", "-x")
        outcome = play(scenario, ">entry point", ">", "A=1", f"@{folder}", "B=@/nowhere", "C=>no word", ">-c")
        assert not outcome.errors
        assert outcome.folder == folder
        assert outcome.words == ["entry point", "", "-c", "app", "-x"]
        assert {name: outcome.task_environment[name] for name in "ABC"} == {"A": "1", "B": "@/nowhere", "C": ">no word"}

    def test_nothing_of_it(self, job_step: JobStep, play: Callable[..., Outcome]) -> None:
        outcome = play(job_step().say("word", "app"))
        assert (outcome.folder, outcome.words) == ("/", ["app"])

    def test_not_on_the_host(self, job_step: JobStep, play: Callable[..., Outcome]) -> None:
        outcome = play(job_step().say("word", "app").say("message", "image", "none"), ">entry", "@/tmp")
        assert (outcome.folder, outcome.words) == ("/", ["app"])

    def test_a_folder_that_is_not_there(self, job_step: JobStep, play: Callable[..., Outcome]) -> None:
        outcome = play(job_step(), "@/nowhere")
        assert outcome.results("task_init") == [-1]
        assert outcome.errors == [
            (
                "spank-container: cannot go to the folder /nowhere in the container: No such file or directory; "
                "give another to --image-workdir"
            )
        ]

    @pytest.mark.parametrize(
        ("words", "listed", "executed"),
        [
            (("app", "-x"), "5:entry0:2:-c3:app", ["/opt/spank-container/bin/shifter", "-x"]),
            (("app", "one\\"), "5:entry0:2:-c3:app", ["/opt/spank-container/bin/shifter", "one\n"]),
            (("app",), "5:entry0:2:-c3:app", ["/opt/spank-container/bin/shifter"]),
        ],
    )
    def test_its_command_before_23_11(
        self,
        driver_22_05: Path,
        job_step: JobStep,
        play: Callable[..., Outcome],
        words: tuple[str, ...],
        listed: str,
        executed: list[str],
    ) -> None:
        """The container's shifter, and what it has to execute instead of itself."""
        scenario = job_step()
        scenario.driver = driver_22_05
        for word in words:
            scenario.say("word", word)
        outcome = play(scenario, ">entry", ">", ">-c")
        assert not outcome.errors
        assert outcome.words == executed
        assert outcome.launched == listed

    @pytest.mark.parametrize("programs", ["0-3 app", "* app", "# all of them", "  1 app"])
    def test_multi_prog_before_23_11(
        self, driver_22_05: Path, job_step: JobStep, play: Callable[..., Outcome], programs: str
    ) -> None:
        scenario = job_step().say("word", "list").say("word", f"{programs}\\")
        scenario.driver = driver_22_05
        outcome = play(scenario, ">entry")
        assert outcome.results("task_init") == [-1]
        assert outcome.errors == [
            "spank-container: --image-entrypoint does not go with --multi-prog before Slurm 23.11; start an srun for each"
        ]


class TestSlurmsOwn:
    """job_container/tmpfs gives a job a /tmp and a /dev/shm of its own; /tmp is the tests' own place here."""

    OWN = "mount -t tmpfs own /dev/shm; touch /dev/shm/own"

    def play(self, scenario: Scenario, play: Callable[..., Outcome], tmp: str, then: str) -> Outcome:
        scenario.say("probe", "/dev/shm/own").say("tasks", 2)
        return play(scenario, then=f"{tmp} > $state/jobs/7/tmp; {then}")

    @pytest.mark.parametrize(
        ("tmp", "then", "carried"),
        [
            ("stat -c '-\n%d:%i' /dev/shm", OWN, True),
            ("stat -c '-\n%d:%i' /dev/shm", ":", False),
            ("stat -c '%d:%i' /tmp /dev/shm", OWN, True),
            ("stat -c '%d:%i' /tmp /dev/shm", ":", False),
            ("echo '-\n-'", OWN, False),
            (":", OWN, False),
        ],
    )
    def test_carried_in(
        self, job_step: JobStep, play: Callable[..., Outcome], tmp_path: Path, tmp: str, then: str, *, carried: bool
    ) -> None:
        outcome = self.play(
            job_step(), play, tmp, f"stat -Lc 'mnt:[%i]' $state/jobs/7/mnt.ns > {tmp_path}/pinned; {then}"
        )
        assert not outcome.errors
        assert outcome.exits == [0, 0]
        assert outcome.probes["/dev/shm/own"] is carried
        assert outcome.leaked_descriptors == [0, 0]
        # One that is changed is a copy, of this task alone.
        assert (outcome.namespaces["task"] == (tmp_path / "pinned").read_text().strip()) is not carried

    def test_it_cannot_be_put_there(self, job_step: JobStep, play: Callable[..., Outcome]) -> None:
        """The container has no folder in that place."""
        gone = "nsenter --mount=$state/jobs/7/mnt.ns mount -t tmpfs none /dev"
        outcome = self.play(job_step(), play, "stat -c '-\n%d:%i' /dev/shm", f"{self.OWN}; {gone}")
        assert outcome.results("task_init_privileged") == [-1, -1]
        assert (
            outcome.errors
            == [
                f"spank-container: cannot put the job's own /dev/shm into the container: No such file or directory{NODE}"
            ]
            * 2
        )
