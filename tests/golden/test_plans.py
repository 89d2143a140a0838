"""The plans of typical jobs, whole, one operation a line: a diff in review shows what a change does to mounts.

UPDATE_GOLDEN=1 writes them anew.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from builders import CONTAINER, account, config, facts, image, job, plan, request

from spank_container.plan.build import build_join, build_plan
from spank_container.plan.ops import MountPlan
from spank_container.site_config import ContainerConfig, ScratchConfig, VolumesConfig
from spank_container.values.volume import ContainerPath
from spank_container.values.writable import WritableSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

PLANS = Path(__file__).parent / "plans"
JOBS = {
    "plain": plan(),
    "cache_on_mnt": plan("/scratch/alice/backingFile:/mnt:perNodeCache=size=100G"),
    "cache_on_tmp": plan("/scratch/alice:/tmp:perNodeCache=size=8G,fs=ext4,bs=4k"),
    "nested_volumes": plan(
        "/scratch/alice/results:/data/results", "/datasets:/data:ro;/scratch/alice/x:/data/x", "/:/host:ro"
    ),
    "home_below_the_submit_directory": plan(of=job("/global/alice"), on=facts(account(home="/global/alice/home"))),
    "volume_instead_of_home": plan("/scratch/alice/home:/home", of=job("/home/alice/run")),
    "nothing_of_the_users": plan(of=job(None), on=facts(account(home="/"), groups=(), files=())),
    "another_site": plan(
        "/anything:/mnt:perNodeCache=size=1G",
        of=job("/tmp/run"),
        under=config(
            ScratchConfig(path="/local/scratch", max_size="1T", overcommit=True),
            ContainerConfig(tmp_size="8G", shm_size="1.5G"),
        ),
    ),
    "volumes_of_the_site": plan(
        "/scratch/alice/x:/scratch/x;/datasets:/data",
        of=job("/projects/physics"),
        under=replace(
            config(),
            volumes=VolumesConfig(
                allow=("/scratch", "/datasets"),
                deny=("/scratch/secret",),
                read_only=("/datasets",),
                mounts=("/scratch", "/lustre/sw:/opt/site:ro", "/fast:optional", "/etc/munge:ro"),
            ),
        ),
    ),
    "root_written_in_memory": plan(under=config(container=ContainerConfig(writable=True, writable_size="4G"))),
    "root_written_in_a_cache_and_tmp_on_disk": build_plan(
        replace(
            request("/scratch/alice:/mnt:perNodeCache=size=100G"), writable=WritableSpec(cache=ContainerPath("/mnt"))
        ),
        *(job(), facts(), image(), config(container=ContainerConfig(tmp="private")), CONTAINER),
    ),
    "joined_by_a_step": build_join(
        request(), facts(), image(), config(), "/run/spank-container/jobs/12/steps/0/mnt.ns", CONTAINER.pin
    ),
    "hostile_image": plan(
        source=image(
            *("PATH=", "SLURM_JOB_ID=1", "LD_PRELOAD=/x.so", "A=\0", "="),
            passwd="alice:x:0:0::/:/bin/sh\nx",  # noqa: S106  # a file, not a password
            group=":::",
        )
    ),
}


def written(made: MountPlan) -> str:
    document = made.to_json()
    lists = [f'"{name}": [\n{_lines(document[name])}\n]' for name in ("host", "inside", "environment", "reasons")]
    return "{\n" + ",\n".join([*lists, f'"rules": {json.dumps(document["rules"])}']) + "\n}\n"


def _lines(members: Iterable[object]) -> str:
    return ",\n".join(f" {json.dumps(member)}" for member in members)


@pytest.mark.parametrize("name", JOBS)
def test_the_plan_is_as_reviewed(name: str) -> None:
    path = PLANS / f"{name}.json"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(written(JOBS[name]))
    assert written(JOBS[name]) == path.read_text()
    assert MountPlan.from_json(json.loads(path.read_text())) == JOBS[name]


def test_every_file_is_some_jobs() -> None:
    assert {path.stem for path in PLANS.iterdir()} == set(JOBS)
