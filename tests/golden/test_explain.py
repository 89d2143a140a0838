"""What `explain` and `plan --record` print, whole. UPDATE_GOLDEN=1 writes it anew."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from builders import CONTAINER, DIGEST, config, facts, image, job, request

from spank_container.explain.rows import explain
from spank_container.explain.show import plain
from spank_container.plan.build import build_join, build_plan
from spank_container.plan.ops import MountPlan
from spank_container.site_config import ContainerConfig, EnvironmentConfig, ScratchConfig, VolumesConfig
from spank_container.values.task import TaskSpec
from spank_container.values.volume import ContainerPath
from spank_container.values.writable import WritableSpec

PAGE = Path(__file__).parents[2] / "docs/how-to/explain.md"
TEXTS = Path(__file__).parent / "explain"
TASK = TaskSpec(
    ("GREETING=hello world", "LANG=de_DE.UTF-8"), clear_environment=True, workdir="/data", entrypoint="/tini"
)
SITE = replace(
    config(ScratchConfig(path="/local/scratch"), ContainerConfig(tmp="private", shm_size="8G")),
    volumes=VolumesConfig(read_only=("/datasets",), mounts=("/sw:ro:optional", "/opt/site:/site")),
    environment=EnvironmentConfig(set=("SITE=here",), prepend=("PATH=/site/bin",), append=("LANG=x",), unset=("GONE",)),
)
EVERYTHING = replace(
    request("/scratch/alice:/mnt:perNodeCache=size=100G;/datasets:/data", "/scratch/alice/out:/data/out:ro"),
    task=TASK,
    writable=WritableSpec(cache=ContainerPath("/mnt")),
    typed="debian:trixie",
)
# An image may say anything; no terminal obeys it.
HOSTILE = replace(image("PATH=\x1b[2J", "A=a\nb\u202e", "B=\udcff"), entrypoint=("sh", "-c", "\x1b[31m $x"))
PLANS = {
    "plain": build_plan(request(), job(), facts(), image(), config(), CONTAINER),
    "everything": build_plan(EVERYTHING, job(), facts(), image(), SITE, CONTAINER),
    "writable_by_site": build_plan(
        request(), job(), facts(), image(), config(container=ContainerConfig(tmp="host", writable=True)), CONTAINER
    ),
    "hostile_image": build_plan(
        replace(request(), task=TaskSpec(entrypoint="")),
        job(),
        facts(),
        HOSTILE,
        config(),
        CONTAINER,
    ),
    "joining_step": build_join(
        replace(request(), task=TASK, joins=True),
        facts(),
        image(),
        SITE,
        "/run/s/jobs/12/steps/3/mnt.ns",
        CONTAINER.pin,
    ),
}


@pytest.mark.parametrize("name", PLANS)
def test_the_words_are_as_reviewed(name: str) -> None:
    path = TEXTS / f"{name}.txt"
    words = "".join(f"{line}\n" for line in plain(f"A job with {DIGEST}.", explain(PLANS[name], "debian:trixie")))
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(words)
    assert words == path.read_text()
    assert all(line.isprintable() for line in words.splitlines())


@pytest.mark.parametrize("name", PLANS)
def test_a_recorded_plan_has_the_same_words(name: str) -> None:
    recorded = MountPlan.from_json(json.loads(json.dumps(PLANS[name].to_json())))
    assert asdict(explain(recorded, "x")) == asdict(explain(PLANS[name], "x"))


@pytest.mark.parametrize("name", PLANS)
def test_there_is_a_reason_for_all(name: str) -> None:
    found = explain(PLANS[name], "debian:trixie")
    whys = [row.why for row in found.shown] + [one.why for one in found.variables]
    assert all(whys)


def test_every_file_is_some_plans() -> None:
    assert {path.stem for path in TEXTS.iterdir()} == set(PLANS)


def test_the_page_shows_what_is_printed() -> None:
    asked = replace(
        request("/datasets:/data:ro", "/scratch/alice:/mnt:perNodeCache=size=100G"), task=TaskSpec(("GREETING=hello",))
    )
    made = build_plan(asked, job(), facts(), image(), config(), CONTAINER)
    printed = [*plain("", explain(made, "debian:trixie"))]
    shown = PAGE.read_text().split("<!-- explained -->\n```\n")[1].split("```")[0]
    assert [line for line in shown.splitlines() if line not in printed] == []
