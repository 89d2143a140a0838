"""`bench entry`: what a container costs a job, from its Prolog to its Epilog, and what it costs those who want none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import hooks, steps, tasks
from bench.rows import AtMostSeconds, Row, compared
from bench.samples import median

if TYPE_CHECKING:
    from sandbox.cluster import Cluster

_IMAGE = "docker:debian:trixie"
_NODE = "n1"
_STEP_ROUNDS = 150
_HOOK_ROUNDS = 30


def entry(cluster: Cluster) -> list[Row]:
    """All rows; the image is in the store before."""
    cluster.run(["/opt/spank-container/bin/spank-container", "pull", _IMAGE], user="root")
    return [
        *tasks.entry_rows(cluster, _NODE, _IMAGE),
        steps.step_row(cluster, _NODE, _IMAGE, _STEP_ROUNDS),
        *hooks.hook_rows(cluster, _NODE, _IMAGE, _HOOK_ROUNDS),
        *_without_image(cluster),
    ]


def _without_image(cluster: Cluster) -> list[Row]:
    scripts = hooks.without_image(cluster, _NODE, _STEP_ROUNDS)
    srun, sbatch = steps.without_image(cluster, _NODE, _STEP_ROUNDS)
    # Of medians: a difference of two runs of srun is mostly noise, and what is ours of it a hundredth.
    ours = median(scripts.thing) + sum(median(pairs.thing) - median(pairs.floor) for pairs in (srun, sbatch))
    return [
        compared("no image: Prolog and Epilog", "sh -c :, twice", scripts),
        compared("no image: srun", "without the plugin", srun),
        compared("no image: sbatch", "without the plugin", sbatch),
        Row("no image: what is ours of these three", ours, _STEP_ROUNDS, promise=AtMostSeconds(5e-3)),
    ]
