"""Work ahead and side by side: order, errors, and that nothing goes on when nobody wants it any more."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from spank_container.images.threads import ahead, side_by_side

if TYPE_CHECKING:
    from collections.abc import Generator


class Source:
    """Numbers, how many were taken, and whether it was closed."""

    def __init__(self, count: int, error: Exception | None = None) -> None:
        self.count, self.error = count, error
        self.taken, self.closed = 0, False

    def items(self) -> Generator[int, None, None]:
        try:
            for number in range(self.count):
                self.taken = number + 1
                yield number
            if self.error:
                raise self.error
        finally:
            self.closed = True


def test_all_items_come_in_order() -> None:
    source = Source(1000)
    with ahead(source.items(), 3) as items:
        assert list(items) == list(range(1000))
    assert source.closed


def test_it_works_ahead_but_not_far() -> None:
    source = Source(1000)
    with ahead(source.items(), 5) as items:
        assert next(items) == 0
        deadline = time.monotonic() + 10
        while source.taken < 7 and time.monotonic() < deadline:
            time.sleep(0.001)
        assert source.taken == 7  # the one taken here, five that wait, one that waits for room


def test_an_error_comes_in_its_place() -> None:
    with ahead(Source(3, ValueError("broken")).items(), 2) as items:
        assert [next(items), next(items), next(items)] == [0, 1, 2]
        with pytest.raises(ValueError, match="broken"):
            next(items)


def test_who_leaves_early_leaves_nothing_behind() -> None:
    before = threading.active_count()
    source = Source(10_000)
    with ahead(source.items(), 2) as items:
        next(items)
    assert source.closed
    assert source.taken < 10
    assert threading.active_count() == before


def test_side_by_side_keeps_the_order() -> None:
    assert list(side_by_side(lambda number: number * 2, range(50), effort=lambda number: number)) == [
        number * 2 for number in range(50)
    ]
    assert list(side_by_side(str, [], effort=len)) == []


def test_the_first_error_in_order_ends_it() -> None:
    def work(number: int) -> int:
        if number in {3, 5}:
            raise ValueError(str(number))
        return number

    found = side_by_side(work, range(200), effort=lambda number: number)
    assert [next(found), next(found), next(found)] == [0, 1, 2]
    with pytest.raises(ValueError, match="3"):
        next(found)
