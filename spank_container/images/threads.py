"""Work in threads: ahead of who needs it, or side by side. Knows nothing of images.

It pays because inflating, hashing and writing let go of the interpreter's lock.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from queue import Queue
from threading import Event, Thread
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

_T = TypeVar("_T")
_R = TypeVar("_R")
_MOST = 8


@contextmanager
def ahead(source: Generator[_T, None, None], depth: int) -> Iterator[Iterator[_T]]:
    """What `source` yields, up to `depth` items before they are asked for; what it raises, in its place.

    After the body `source` is closed, whether or not all of it was wanted.
    """
    worker = _Worker(source, depth)
    worker.start()
    try:
        yield worker.items()
    finally:
        worker.stop()


class _Worker(Thread, Generic[_T]):
    def __init__(self, source: Generator[_T, None, None], depth: int) -> None:
        super().__init__(daemon=True)
        self._source = source
        self._done: Queue[tuple[_T] | BaseException | None] = Queue(depth)
        self._unwanted = Event()

    def run(self) -> None:
        end: BaseException | None = None
        try:
            with closing(self._source):
                for item in self._source:
                    self._done.put((item,))
                    if self._unwanted.is_set():
                        return
        except BaseException as error:  # noqa: BLE001  # the other thread raises it
            end = error
        self._done.put(end)

    def items(self) -> Iterator[_T]:
        while isinstance(item := self._done.get(), tuple):
            yield item[0]
        if item:
            raise item

    def stop(self) -> None:
        self._unwanted.set()
        while self.is_alive():
            while not self._done.empty():
                self._done.get()
            self.join(0.001)


def side_by_side(work: Callable[[_T], _R], items: Sequence[_T], effort: Callable[[_T], int]) -> Iterator[_R]:
    """`work` of every item, in their order; what takes the most effort is begun first, an error ends it all."""
    workers = min(_MOST, len(os.sched_getaffinity(0)), max(1, len(items)))
    with ThreadPoolExecutor(workers) as pool:
        order = sorted(range(len(items)), key=lambda number: -effort(items[number]))
        waiting = {number: pool.submit(work, items[number]) for number in order}
        try:
            for number in range(len(items)):
                yield waiting.pop(number).result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
