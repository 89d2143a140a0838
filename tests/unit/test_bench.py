"""The parts of the benchmarks that only calculate: statistics, rows, verdicts, and what is shown of them."""

from __future__ import annotations

import inspect
import json
import sys

import pytest

from bench import stopwatch
from bench.rows import AtMostBytes, AtMostSeconds, AtMostTimes, Promise, Row, all_hold, at_percentile, compared, seconds
from bench.samples import Pairs, median, percentile, sums
from bench.show import cells, show_json, show_table
from bench.stopwatch import compete


def row(measured: float = 1, ratio: float | None = None, promise: Promise | None = None) -> Row:
    return Row("a thing", measured, 30, ratio=ratio, promise=promise)


def test_the_median_forgets_one_wild_sample() -> None:
    assert median((1, 2, 3, 900)) == 2.5


@pytest.mark.parametrize(("part", "expected"), [(50, 51), (90, 91), (99, 100)])
def test_percentiles_lie_within_the_samples(part: int, expected: float) -> None:
    assert percentile([*range(1, 102)], part) == expected


def test_series_are_added_index_by_index() -> None:
    assert sums((1, 2), (10, 20), (100, 200)) == (111, 222)


def test_series_of_different_lengths_were_not_taken_in_turns() -> None:
    with pytest.raises(ValueError, match="shorter"):
        sums((1, 2, 3), (1, 2))


def test_a_ratio_is_of_medians() -> None:
    assert Pairs((2, 4, 600), (1, 2, 3)).ratio == 2


def test_the_spread_holds_the_ratio_and_is_the_same_each_time() -> None:
    pairs = Pairs(tuple(100 + one % 7 for one in range(50)), tuple(50 + one % 5 for one in range(50)))
    low, high = pairs.spread()
    assert 1.9 < low <= pairs.ratio <= high < 2.1
    assert pairs.spread() == (low, high)


def test_noise_widens_the_spread() -> None:
    quiet = Pairs(tuple(100 + one % 3 for one in range(40)), (100,) * 40)
    noisy = Pairs(tuple(100 + 10 * (one % 9) for one in range(40)), (100,) * 40)
    assert quiet.spread()[1] - quiet.spread()[0] < noisy.spread()[1] - noisy.spread()[0]


def test_no_noise_has_no_spread() -> None:
    assert Pairs((6,) * 10, (2,) * 10).spread() == (3, 3)


@pytest.mark.parametrize(
    ("ratio", "measured", "promise", "holds"),
    [
        (1.05, 1, AtMostTimes(1.05), True),
        (1.06, 1, AtMostTimes(1.05), False),
        (None, 1, AtMostTimes(1.05), False),
        (9, 60e-6, AtMostSeconds(60e-6), True),
        (None, 300 << 20, AtMostBytes(300 << 20), True),
        (None, (300 << 20) + 1, AtMostBytes(300 << 20), False),
        (0, 61e-6, AtMostSeconds(60e-6), False),
        (9, 9, None, None),
    ],
)
def test_a_promise_is_kept_or_not(ratio: float | None, measured: float, promise: Promise | None, holds: object) -> None:
    assert row(measured, ratio, promise).holds is holds


def test_one_broken_promise_is_enough() -> None:
    kept, broken, none = row(1, 1, AtMostTimes(2)), row(1, 3, AtMostTimes(2)), row()
    assert all_hold([kept, none])
    assert not all_hold([kept, broken, none])


def test_a_compared_row_holds_medians() -> None:
    made = compared("this", "that", Pairs((2, 4, 9), (1, 2, 3)), AtMostTimes(2))
    assert (made.measured, made.floor, made.ratio, made.samples, made.holds) == (4, 2, 2, 3, True)


def test_a_row_of_percentiles_promises_nothing() -> None:
    made = at_percentile(90, "this", "that", Pairs(tuple(range(2, 204, 2)), tuple(range(1, 102))))
    assert (made.measured, made.floor, made.ratio, made.holds) == (182, 91, 2, None)


@pytest.mark.parametrize(
    ("value", "text"),
    [(48.25e-6, "48.2 us"), (1.234e-3, "1.23 ms"), (0.9996e-3, "1 ms"), (2.5, "2.5 s"), (-3e-3, "-3 ms")],
)
def test_times_are_shown_with_their_unit(value: float, text: str) -> None:
    assert seconds(value) == text


def test_promises_are_shown() -> None:
    assert [str(AtMostTimes(1.05)), str(AtMostSeconds(60e-6))] == ["<= 1.05 x", "<= 60 us"]


def test_a_line_has_a_cell_for_each_column() -> None:
    assert cells(compared("this", "that", Pairs((4,) * 5, (2,) * 5), AtMostTimes(1))) == [
        "5 x this", "4 s", "that", "2 s", "2.00", "2.00-2.00", "<= 1 x", "[bold red]NO[/]",
    ]  # fmt: skip
    assert cells(row()) == ["30 x a thing", "1 s", "", "", "", "", "", ""]


def test_the_table_says_what_does_not_hold(capsys: pytest.CaptureFixture[str]) -> None:
    show_table("entry", [row(1, 3, AtMostTimes(2)), row(2, 1, AtMostTimes(2))])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].strip() == "bench entry"
    assert [line.split()[-1] for line in lines if "a thing" in line] == ["NO", "yes"]


def test_machines_get_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    show_json("entry", [compared("this", "that", Pairs((4,) * 5, (2,) * 5), AtMostTimes(1))])
    assert json.loads(capsys.readouterr().out) == {
        "benchmark": "entry",
        "rows": [
            {
                "what": "this",
                "seconds": 4,
                "samples": 5,
                "floor": "that",
                "floor_seconds": 2,
                "ratio": 2,
                "ratio_95": [2, 2],
                "promise": "<= 1 x",
                "holds": False,
            }
        ],
    }


def shell(script: str, *, timed: bool = True) -> dict[str, object]:
    return {"argv": ["/bin/sh", "-c", script], "env": None, "timed": timed}


def test_contenders_run_in_turns_there_and_back(tmp_path_factory: pytest.TempPathFactory) -> None:
    log = tmp_path_factory.mktemp("turns") / "log"
    samples = compete(
        2,
        {
            "one": [shell(f"echo prepare >> {log}", timed=False), shell(f"echo one >> {log}")],
            "two": [shell(f"echo two >> {log}"), shell(f"echo more >> {log}")],
        },
    )
    assert log.read_text().split() == ["prepare", "one", "two", "more", "two", "more", "prepare", "one"]
    assert {name: [len(times) for times in found] for name, found in samples.items()} == {"one": [1, 1], "two": [2, 2]}
    assert all(time > 0 for found in samples.values() for times in found for time in times)


def test_a_contender_that_fails_ends_it_all() -> None:
    with pytest.raises(SystemExit, match="wait status"):
        compete(1, {"one": [shell("exit 3", timed=False)]})


def test_the_stopwatch_imports_nothing_that_a_node_lacks() -> None:
    """Its text alone is sent, to whatever Python a node has."""
    lines = inspect.getsource(stopwatch).splitlines()
    imported = {line.split()[1] for line in lines if line.startswith(("import ", "from "))}
    assert imported - {"__future__"} <= sys.stdlib_module_names


def test_a_row_of_memory() -> None:
    memory = row(94 << 20, promise=AtMostBytes(300 << 20))
    assert cells(memory) == ["30 x a thing", "94 MiB", "", "", "", "", "<= 300 MiB", "[green]yes[/]"]
    assert memory.to_json()["bytes"] == 94 << 20
