"""Rows 1 to 10: Slurm's own, on every release where it matters: what a user's environment, ids, limits and timing do to root's side."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from cluster.output import sections
from security.attack import BUSYBOX, DEBIAN, ON_ONE_RELEASE, flipping, forged, volume, words

from sandbox.cluster import DATA

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox.cluster import Cluster

CACHE = "--volume=/shared/alice:/cache:perNodeCache=size=16M,fs=ext4"

pytestmark = pytest.mark.usefixtures("clean_afterwards")

# Leaves a mark with the user who has loaded it.
PRELOAD = r"""
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
__attribute__((constructor)) static void mark(void)
{
    char name[64];

    snprintf(name, sizeof(name), "/shared/alice/marks/%d-preload", (int)geteuid());
    close(open(name, O_CREAT | O_WRONLY, 0666));
}
"""
PLUGIN = r"""
#include <slurm/spank.h>
SPANK_PLUGIN(evil, 1)
int slurm_spank_init_post_opt(spank_t sp, int ac, char *av[])
{
    static const char *const names[] = {"PATH", "PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "HOME", "BASH_ENV", "ENV",
                                        "X=1\nPYTHONPATH", "=PATH"};

    if (spank_context() != S_CTX_ALLOCATOR && spank_context() != S_CTX_LOCAL)
        return 0;
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        spank_job_control_setenv(sp, names[i], "/shared/alice/evil", 1);
    spank_job_control_setenv(sp, "LD_PRELOAD", "/shared/alice/evil/preload.so", 1);
    spank_job_control_setenv(sp, "X=1\nLD_PRELOAD", "/shared/alice/evil/preload.so", 1);
    return 0;
}
"""
MARK = "import os; open(f'/shared/alice/marks/{os.geteuid()}-python', 'w').close()\n"
PREPARE = r"""
cd /shared/alice
rm -rf marks evil
mkdir -p marks evil/spank_container && chmod 777 marks
cp preload.so evil
for name in python3 python mkfs.ext4 mkfs.xfs sh mount; do
    printf '#!/bin/bash\n: > /shared/alice/marks/$EUID-program\nexec /usr/bin/%s "$@"\n' $name > evil/$name
    chmod +x evil/$name
done
for name in sitecustomize usercustomize spank_container/__init__ json os; do cat > evil/$name.py < ~/mark.py; done
gcc -shared -fPIC -o evil/plugin.so ~/plugin.c
mkdir -p ~/evil && cp /etc/slurm/*.conf ~/evil
{ cat /etc/slurm/plugstack.conf; echo "required /shared/alice/evil/plugin.so"; } > ~/evil/plugstack.conf
"""
ATTACK = f"""
export LD_PRELOAD=/shared/alice/evil/preload.so PATH=/shared/alice/evil:$PATH HOME=/shared/alice/evil
export BASH_ENV=/shared/alice/evil/env ENV=/shared/alice/evil/env SLURM_CONF=/home/alice/evil/slurm.conf
export SPANK_LD_PRELOAD=$LD_PRELOAD SLURM_SPANK_LD_PRELOAD=$LD_PRELOAD
cd /shared/alice/evil
salloc --quiet --nodelist=n1 {BUSYBOX} {CACHE} srun {DEBIAN} {CACHE} id -u
"""


@pytest.fixture
def preload(site: Cluster, tmp_path: Path) -> Iterator[None]:
    (tmp_path / "preload.c").write_text(PRELOAD)
    target = DATA / "shared/alice/preload.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", target, tmp_path / "preload.c"], check=True)
    site.run("cat > plugin.c", input=PLUGIN)
    site.run("cat > mark.py", input=MARK)
    done = site.run(PREPARE)
    assert done.returncode == 0, done.stderr
    yield
    site.run("rm -rf /shared/alice/marks /shared/alice/evil ~/evil")


@pytest.mark.usefixtures("preload")
def test_row_01_slurm_cve_2017_15566_the_users_environment_reaches_root(site: Cluster) -> None:
    """In the Prolog, the Epilog and `COMMAND step`: by the job's environment, and by a SPANK plugin of alice's own."""
    done = site.run(ATTACK)
    assert done.stdout == "2001\n", done.stderr
    marks = {path.name for path in (DATA / "shared/alice/marks").iterdir()}
    assert "2001-preload" in marks
    assert {name for name in marks if not name.startswith("2001-")} == set()


@pytest.fixture
def roots_files(site: Cluster) -> Iterator[Path]:
    """A file that only root can write, with a link of alice's to it, and a folder that only root can write."""
    folder = DATA / "shared/roots"
    folder.mkdir(mode=0o755)
    (folder / "file").write_text("root's\n")
    site.run("ln -sfn /shared/roots/file /shared/alice/output; ln -sfn /shared/roots/new /shared/alice/new")
    yield folder
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()


OUTPUTS = ("/shared/alice/output", "/shared/alice/new", "/shared/roots/direct")


@pytest.mark.parametrize("fails", [False, True], ids=["the job runs", "the container fails"])
def test_row_03_slurm_cve_2016_10030_the_jobs_output_is_opened_as_root(
    site: Cluster, roots_files: Path, *, fails: bool
) -> None:
    """A user can make the container fail at will, and so our words be written where the job's output goes."""
    site.members["login"].sh("mkdir -p /srv/only-here")
    volume = f"--volume={'/srv/only-here' if fails else '/shared'}:/data"
    for output in OUTPUTS:
        options = (f"--output={output}", f"--error={output}", "--open-mode=append")
        job = site.sbatch("#!/bin/sh\nsrun id", "--nodelist=n1", BUSYBOX, volume, *options)
        assert job.state == "FAILED"
    assert {path.name: path.read_text() for path in roots_files.iterdir()} == {"file": "root's\n"}


LIMITS = (
    "NPROC=0",
    "NPROC=1",
    "NOFILE=3",
    "NOFILE=8",
    "FSIZE=0",
    "STACK=65536",
    "AS=1000000",
    "MEMLOCK=0",
    "DATA=4096",
)
RAN = re.compile("^(0|2001|on the host|Cap.*|NoNew.*)$", re.MULTILINE)


def test_row_04_slurm_cve_2019_19728_the_launch_goes_on_when_a_drop_fails(site: Cluster) -> None:
    """Limits of alice's make calls of slurmstepd fail at the worst moments; then nothing runs, least of all as root."""
    asked = [
        f'echo "== {limit}"; SLURM_RLIMIT_{limit.replace("=", "=U")} srun --quiet {BUSYBOX} sh -c "$1" 2>&1'
        for limit in LIMITS
    ]
    script = "id -u; grep -e CapBnd -e NoNewPrivs /proc/self/status; if test -e /etc/slurm; then echo on the host; fi"
    done = site.run(["salloc", "--quiet", "--nodelist=n1", "bash", "-c", "\n".join(asked), "bash", script])
    said = sections(done.stdout)
    assert said.keys() == set(LIMITS)
    inside = f"2001\nCapBnd:\t{0:016}\nNoNewPrivs:\t1\n"
    refused = {limit: text for limit, text in said.items() if text != inside}
    refused["NOFILE=3"] = refused["NOFILE=3"].removeprefix("2001\n")  # it may run, and open nothing
    assert 0 < len(refused) < len(LIMITS)
    assert {limit: text for limit, text in refused.items() if RAN.search(text)} == {}


@pytest.fixture
def bobs_group(site: Cluster) -> Iterator[str]:
    site.members["n1"].sh(
        "mkdir -p /shared/bobs && chown bob:project-bob /shared/bobs && chmod 770 /shared/bobs && echo bobs > /shared/bobs/file"
    )
    yield "/shared/bobs"
    site.members["n1"].sh("rm -r /shared/bobs")


FORGED_MEMBERS: tuple[dict[str, object], ...] = (
    {"gid": 3002, "uid": 2002},
    {"owner": [2002, 3002]},
    {"groups": [3002]},
)
FORGED_IDS = "SLURM_JOB_GID=3002 SLURM_JOB_UID=2002 SLURM_JOB_USER=bob SLURM_UID=2002 SLURM_GID=3002"


@ON_ONE_RELEASE
def test_row_05_slurm_cve_2018_10995_the_group_is_taken_from_the_request(site: Cluster, bobs_group: str) -> None:
    """Neither what the request says nor what the environment says counts: Slurm's credential does."""
    data = volume(f"{bobs_group}:/data")
    *extended, plain = forged(site, "cat /data/file", *[data | members for members in FORGED_MEMBERS], data)
    for said in extended:
        assert words(said)[0] == "SPANK_CONTAINER_REQUEST does not hold a container request"
    assert words(plain)[0] == f"--volume: {bobs_group}: Permission denied"
    in_job = f"""
    export {FORGED_IDS} SLURM_CONF=/home/alice/forged/slurm.conf REQUEST=/home/alice/forged/requests/104
    srun --quiet --image=x cat /data/file
    """
    done = site.run(["salloc", "--quiet", "--nodelist=n1", "bash", "-c", in_job])
    assert (done.stdout, words(done.stderr)[0]) == ("", f"--volume: {bobs_group}: Permission denied")
    for group in ("project-bob", "root"):
        done = site.run(["srun", "--nodelist=n1", f"--gid={group}", BUSYBOX, "id"])
        assert f"({group})" not in done.stdout


RACE = volume("/shared/alice/place:/cache:perNodeCache=size=16M,fs=ext4")


@ON_ONE_RELEASE
@pytest.mark.parametrize("link", ["/shared/bob", "/shared/roots", "/run/spank-container/jobs"])
def test_row_06_slurm_cve_2023_41914_races_for_files_and_folders(site: Cluster, roots_files: Path, link: str) -> None:
    """The folder of a cache's backing file is swapped while the file is made, and again while it is removed."""
    victims = "find /shared/bob /shared/roots /root -printf '%p %i %U %s\\n' | sort"
    site.run(
        f"rm -rf /shared/alice/place /shared/alice/other; mkdir /shared/alice/place; ln -s {link} /shared/alice/other"
    )
    before = site.members["n1"].sh(victims)
    with flipping(site, "/shared/alice/place", "/shared/alice/other"):
        outcomes = forged(site, "echo it ran", *[RACE] * 5)
    refused = [
        said
        for said in outcomes
        if re.search(r"perNodeCache: making a file of 16M: Permission denied \[/shared/alice/place\]", said)
    ]
    assert len(refused) + outcomes.count("it ran\nstatus 0\n") == len(outcomes), outcomes
    assert site.members["n1"].sh(victims) == before
    assert list((DATA / "shared/alice/place").rglob("*")) == []
    assert roots_files.is_dir()


SECRET = "s3cr3t-of-alice"  # noqa: S105  it protects nothing but a test
WATCH = r"""
import os, time
with open("secret", "rb") as file:
    secret = file.read()
end = time.monotonic() + 60
while time.monotonic() < end and not os.path.exists("stop"):
    for process in os.listdir("/proc"):
        for file in ("cmdline", "environ", "comm"):
            try:
                with open(f"/proc/{process}/{file}", "rb") as found:
                    text = found.read()
                if secret in text:
                    print(file, text, flush=True)
            except OSError:
                pass
"""
SCRIPT = f"""#!/bin/sh
#SBATCH --image=docker:busybox
#SBATCH --image-env=TOKEN={SECRET}
#SBATCH --volume=/shared/alice/{SECRET}:/data
srun sh -c 'echo $TOKEN; ls -d /data'
"""


@ON_ONE_RELEASE
def test_row_07_slurm_cve_2020_27746_a_secret_on_a_command_line(site: Cluster) -> None:
    """What alice writes into her script is not for everybody's eyes; what she types herself is, in any case."""
    site.run(f"mkdir -p /shared/alice/{SECRET}")
    site.run("rm -f stop; cat > watch.py", user="bob", input=WATCH)
    site.run("cat > secret", user="bob", input=SECRET)
    for node in ("login", "n1"):
        site.run(f"python3 watch.py > seen-{node} 2>&1 &", user="bob", node=node)
    job = site.sbatch(SCRIPT, "--nodelist=n1")
    seen = site.run("touch stop; sleep 0.3; cat seen-login seen-n1", user="bob").stdout
    assert job.output == f"{SECRET}\n/data\n"
    assert seen == ""


LISTEN = r"""
import socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind("/shared/alice/socket")
listener.listen()
listener.settimeout(20)
try:
    listener.accept()
    print("root came")
except TimeoutError:
    print("nobody came")
"""


@ON_ONE_RELEASE
def test_row_09_slurm_cve_2022_29501_root_connects_to_a_socket(site: Cluster) -> None:
    """A socket is no source of a volume, and none is ever connected to; root's own are out of reach anyway."""
    site.run(
        'rm -f /shared/alice/socket; python3 -c "$(cat)" > came 2>&1 & echo $! > listener; sleep 0.3',
        node="n1",
        input=LISTEN,
    )
    volumes = [
        volume(text)
        for source in ("/shared/alice/socket", "/run/munge/munge.socket.2")
        for text in (
            f"{source}:/data",
            f"{source}:/data:ro",
            f"{source}/x:/data",
            f"{source}/x:/data:perNodeCache=size=16M,fs=ext4",
        )
    ]
    for said in forged(site, "echo it runs", *volumes):
        assert "it runs" not in said
        assert words(said)
    site.run("kill $(cat listener); rm -f /shared/alice/socket", node="n1")
    assert "root came" not in site.run("cat came").stdout


def test_row_10_slurm_cve_2024_48936_in_another_users_job(site: Cluster) -> None:
    """Bob says in every way that he has that his step is alice's: it is not."""
    script = "srun sh -c 'echo hers > /tmp/file; echo $SLURM_JOB_ID; while [ ! -e /home/alice/bob-is-done ]; do sleep 0.1; done'"
    site.run("rm -f bob-is-done")
    number = int(
        site.run(["sbatch", "--parsable", "--nodelist=n1", "--partition=shared", f"{BUSYBOX}", "--wrap", script]).stdout
    )
    site.run(f"until squeue --noheader --steps --format=%i --jobs {number} | grep -F {number}.0; do sleep 0.05; done")
    look = "cat /tmp/file; cat /proc/[0-9]*/root/tmp/file; ls /proc/[0-9]*/cwd/"
    ids = f"SLURM_JOB_ID={number} SLURM_JOBID={number} SLURM_STEP_ID=0 SLURM_JOB_UID=2001"
    job = ["salloc", "--quiet", "--nodelist=n1", "--partition=shared", BUSYBOX]
    try:
        attached = site.run(["srun", f"--jobid={number}", "--overlap", "sh", "-c", look], user="bob")
        named = site.run([*job, "bash", "-c", f"{ids} srun --overlap sh -c '{look}'"], user="bob")
        told = site.run([*job, "bash", "-c", f'srun --overlap env {ids} sh -c "{look}"'], user="bob")
        outside = site.run(f"ls -R /run/spank-container; {look}", user="bob", node="n1")
    finally:
        site.run("touch bob-is-done")
    for done in (attached, named, told, outside):
        assert "hers" not in done.stdout
    assert "denied" in attached.stderr.lower()
    assert "Permission denied" in outside.stderr
