"""What many measurements of two things in turns say together. Pure; seconds throughout."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_RESAMPLED = 1000


def median(samples: Sequence[float]) -> float:
    return statistics.median(samples)


def percentile(samples: Sequence[float], part: int) -> float:
    """The value below which `part` per cent of the samples lie, between the two nearest of them."""
    return statistics.quantiles(samples, n=100, method="inclusive")[part - 1]


def sums(*series: Sequence[float]) -> tuple[float, ...]:
    """The first of all series together, the second of all, and so on."""
    return tuple(map(sum, zip(*series, strict=True)))


@dataclass(frozen=True, slots=True)
class Pairs:
    """The samples of a thing and of its floor; those with one index were taken one right after the other."""

    thing: tuple[float, ...]
    floor: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """Of the medians: one sample that another program disturbed is nothing to it."""
        return median(self.thing) / median(self.floor)

    def spread(self) -> tuple[float, float]:
        """Where the ratio lies with a probability of 95 %: a bootstrap over the pairs, the same each time."""
        random = Random(0)  # noqa: S311  # chosen for being repeatable
        pairs = list(zip(self.thing, self.floor, strict=True))
        ratios = []
        for _ in range(_RESAMPLED):
            thing, floor = zip(*random.choices(pairs, k=len(pairs)), strict=True)
            ratios.append(median(thing) / median(floor))
        ratios.sort()
        return ratios[_RESAMPLED // 40], ratios[-_RESAMPLED // 40]
