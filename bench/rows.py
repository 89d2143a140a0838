"""One line of a benchmark's table: what was measured, its floor, what was promised, and whether that holds. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.samples import Pairs, median, percentile

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class AtMostTimes:
    """The ratio to the floor is at most this."""

    limit: float

    def __str__(self) -> str:
        return f"<= {self.limit:g} x"


@dataclass(frozen=True, slots=True)
class AtMostSeconds:
    """The time itself is at most this."""

    limit: float

    def __str__(self) -> str:
        return f"<= {seconds(self.limit)}"


@dataclass(frozen=True, slots=True)
class AtMostBytes:
    """The row is one of memory, and that is at most this."""

    limit: int

    def __str__(self) -> str:
        return f"<= {megabytes(self.limit)}"


Promise = AtMostTimes | AtMostSeconds | AtMostBytes


@dataclass(frozen=True, slots=True)
class Row:
    """`measured` and `floor` are in seconds, or bytes where that is promised; a row without a promise is there to be
    compared to."""

    what: str
    measured: float
    samples: int
    floor_name: str = ""
    floor: float | None = None
    ratio: float | None = None
    spread: tuple[float, float] | None = None
    promise: Promise | None = None

    @property
    def holds(self) -> bool | None:
        """None where nothing was promised."""
        match self.promise:
            case AtMostTimes(limit):
                return self.ratio is not None and self.ratio <= limit
            case AtMostSeconds(limit) | AtMostBytes(limit):
                return self.measured <= limit
            case None:
                return None

    def to_json(self) -> dict[str, object]:
        return {
            "what": self.what,
            "bytes" if isinstance(self.promise, AtMostBytes) else "seconds": self.measured,
            "samples": self.samples,
            "floor": self.floor_name or None,
            "floor_seconds": self.floor,
            "ratio": self.ratio,
            "ratio_95": self.spread,
            "promise": str(self.promise) if self.promise else None,
            "holds": self.holds,
        }


def compared(what: str, floor_name: str, pairs: Pairs, promise: Promise | None = None) -> Row:
    """A row of medians."""
    return Row(
        what,
        median(pairs.thing),
        len(pairs.thing),
        floor_name,
        median(pairs.floor),
        pairs.ratio,
        pairs.spread(),
        promise,
    )


def at_percentile(part: int, what: str, floor_name: str, pairs: Pairs) -> Row:
    """A row of percentiles, without a promise."""
    thing, floor = percentile(pairs.thing, part), percentile(pairs.floor, part)
    return Row(what, thing, len(pairs.thing), floor_name, floor, thing / floor)


def all_hold(rows: Iterable[Row]) -> bool:
    """Whether no promise is broken."""
    return all(row.holds is not False for row in rows)


def seconds(value: float) -> str:
    """Three digits and the unit that suits: 48.2 us, 1.03 s."""
    size = abs(value)
    scale, unit = (1e6, "us") if size < 0.9995e-3 else (1e3, "ms") if size < 0.9995 else (1, "s")
    return f"{value * scale:.3g} {unit}"


def megabytes(value: float) -> str:
    return f"{value / (1 << 20):.3g} MiB"
