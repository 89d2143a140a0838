"""Numbers for Prometheus, in its text format. No names: whoever can reach the gateway may read them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PREFIX = "spank_container_gateway"
_BUCKETS = (1.0, 5.0, 15.0, 60.0, 300.0, 1800.0)


class Metrics:
    """Counters of this process; what the database and the store know is given to `text`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pulls = {"ready": 0, "failed": 0}
        self._answers: dict[str, int] = {}
        self._buckets = dict.fromkeys(_BUCKETS, 0)
        self._seconds, self._timed = 0.0, 0

    def pulled(self, result: str, requests: int, seconds: float) -> None:
        """So many requests ended together, after so many seconds of one worker."""
        with self._lock:
            self._pulls[result] += requests
            if result == "ready":
                self._seconds += seconds
                self._timed += 1
                for limit in _BUCKETS:
                    self._buckets[limit] += seconds <= limit

    def answered(self, status: int) -> None:
        with self._lock:
            kind = f"{status // 100}xx"
            self._answers[kind] = self._answers.get(kind, 0) + 1

    def text(self, gauges: Mapping[str, tuple[str, Mapping[str, float]]]) -> str:
        """`gauges`: by name, what it is and its values by label, "" for none."""
        with self._lock:
            lines = [
                *_family("pulls_total", "counter", "Requests that are over", labelled("result", self._pulls)),
                *_family("answers_total", "counter", "Answers to clients", labelled("status", self._answers)),
                *_family("pull_seconds", "histogram", "Of a worker, for a pull that went well", self._histogram()),
            ]
        for name, (help_text, values) in gauges.items():
            lines += _family(name, "gauge", help_text, values)
        return "\n".join(lines) + "\n"

    def _histogram(self) -> dict[str, float]:
        buckets = {f'_bucket{{le="{limit:g}"}}': float(number) for limit, number in self._buckets.items()}
        return buckets | {'_bucket{le="+Inf"}': self._timed, "_sum": self._seconds, "_count": self._timed}


def _family(name: str, kind: str, help_text: str, values: Mapping[str, float]) -> Iterator[str]:
    yield f"# HELP {_PREFIX}_{name} {help_text}."
    yield f"# TYPE {_PREFIX}_{name} {kind}"
    for suffix, value in values.items():
        yield f"{_PREFIX}_{name}{suffix} {value:g}" if isinstance(value, float) else f"{_PREFIX}_{name}{suffix} {value}"


def labelled(label: str, values: Mapping[str, float]) -> dict[str, float]:
    """`values` by the label's value, as `text` wants them."""
    return {f'{{{label}="{name}"}}': value for name, value in values.items()}
