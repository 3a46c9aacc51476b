"""Stopping a run cleanly when it is asked to: SIGTERM, or Ctrl-C once."""

import signal
import threading

import jax
from jax.experimental import multihost_utils


class Interruption:
    """Listens for SIGTERM and SIGINT while a run trains; a context manager.

    With one process the first signal asks the loop to save and stop, a second SIGINT interrupts at
    once. With several processes JAX's coordination service takes SIGTERM and chooses one step at
    which all of them stop, since a checkpoint needs every process.
    """

    def __init__(self):
        self._received: int | None = None
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "Interruption":
        # Python only lets the main thread listen; a run in another thread has no signals.
        on_main_thread = threading.current_thread() is threading.main_thread()
        if jax.process_count() == 1 and on_main_thread:
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def requested(self, step: int) -> bool:
        """Whether the run shall save and stop after this step.

        Args:
          step: updates done; every process asks after each step.
        """
        if jax.process_count() > 1:
            return multihost_utils.reached_preemption_sync_point(step)
        return self._received is not None

    @property
    def name(self) -> str:
        """The signal that was received, for the console."""
        return "SIGTERM" if self._received is None else signal.Signals(self._received).name

    def _receive(self, number: int, _) -> None:
        if number == signal.SIGINT and self._received is not None:
            raise KeyboardInterrupt
        self._received = number
