"""Items that are made in a background thread while others are used."""

import queue
import threading
import weakref
from collections.abc import Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


def prefetch(items: Iterator[Item], depth: int = 2) -> "Prefetch[Item]":
    """Makes items in a background thread, so that they are ready when asked for.

    Args:
      items: where they come from; used by the thread alone from here on.
      depth: how many are kept ready.

    Returns:
      An iterator over the items, and a context manager that ends the thread. An exception in the
      thread is raised where the item would have come.
    """
    return Prefetch(items, depth)


class Prefetch(Generic[Item]):
    """An iterator whose items are made in a background thread; see `prefetch`."""

    def __init__(self, items: Iterator[Item], depth: int):
        """Starts the thread."""
        self._queue: queue.Queue = queue.Queue(max(depth, 1))
        stop = threading.Event()
        # A daemon, so that an abandoned feed does not keep the program from ending.
        thread = threading.Thread(
            target=_fill, args=(items, self._queue, stop), name="feed", daemon=True
        )
        # The thread holds no reference to this object: dropping it ends the thread too.
        self._close = weakref.finalize(self, _stop, stop, self._queue, thread)
        thread.start()

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        if not self._close.alive:
            raise StopIteration
        kind, value = self._queue.get()
        if kind == "item":
            return value
        self._close()
        raise StopIteration if kind == "end" else value

    def close(self) -> None:
        """Ends the thread and waits for it; items that were kept ready are lost."""
        self._close()

    def __enter__(self) -> "Prefetch[Item]":
        return self

    def __exit__(self, *_) -> None:
        self.close()


def _fill(items, ready, stop):
    try:
        for item in items:
            ready.put(("item", item))
            if stop.is_set():
                return
        ready.put(("end", None))
    except BaseException as error:  # whatever it is belongs to the thread that asks
        ready.put(("error", error))


def _stop(stop, ready, thread):
    stop.set()
    # The collector may drop the last reference in the thread itself.
    while thread.is_alive() and thread is not threading.current_thread():
        # The thread may wait for room in the queue; give it some until it sees the event.
        try:
            ready.get(timeout=0.01)
        except queue.Empty:
            continue
