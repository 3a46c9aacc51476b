"""Which prompt has which row of a batch, and when: the host's part of continuous batching.

All of it follows from the prompts' lengths and the steps at which answers end. So what was killed
finds its rows again without the model, from the answers that it has: `RowSchedule.take_up`.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from flan_jax.evaluation import batching

Unit = tuple[int, int]  # number of the prompt, number of the sample


class Shrink(NamedTuple):
    """A smaller batch goes on, of these rows."""

    rows: list[int]


class Narrow(NamedTuple):
    """So many positions for prompt tokens are dropped from all rows."""

    dropped: int


class Refill(NamedTuple):
    """Prompts are read into rows."""

    units: list[Unit]
    rows: list[int]


Change = Shrink | Narrow | Refill
Past = tuple[int, list[Change]]  # decode steps, and what was changed behind them


class RowSchedule:
    """The rows of a batch while the answers to some prompts are generated.

    Attributes:
      first: whose answers the first rows had at first.
      owners: whose answer each row has; None for a free row.
      step: decode steps that were run.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        samples: int,
        batch_size: int,
        refill: int,
        smaller: Sequence[int] = (),
    ):
        """Gives the rows to the longest prompts.

        Args:
          lengths: of the prompts, at least one.
          samples: answers to each.
          batch_size: rows.
          refill: rows that are read together when so many have ended.
          smaller: sizes, the largest first, of batches in which the last rows go on when no prompt
            waits and so few are left.
        """
        self._lengths, self._refill, self._smaller = lengths, refill, smaller
        order = sorted(range(len(lengths)), key=lambda at: lengths[at], reverse=True)
        self._waiting = deque((at, sample) for at in order for sample in range(samples))
        self.owners: list[Unit | None] = [
            self._waiting.popleft() if self._waiting else None for _ in range(batch_size)
        ]
        self.first, self.step = self.units, 0
        self._entered = dict.fromkeys(self.first, 0)
        self._width = batching.prompt_width(lengths[order[0]])

    @property
    def units(self) -> list[Unit]:
        """Who has a row, in the order of rows."""
        return [unit for unit in self.owners if unit]

    @property
    def wanted(self) -> int:
        """How many more rows must end before any of them is looked at."""
        active = len(self.units)
        if self._waiting:
            return min(self._refill, len(self._waiting), active)
        fewer = self._fewer()
        return active - (fewer if fewer < active else 0)

    def _fewer(self) -> int:
        """Rows of the next smaller batch, or as many where there is none."""
        rows = len(self.owners)
        return next((size for size in self._smaller if size < rows), rows)

    def count(self, row: int, tokens: int) -> None:
        """Notes the steps that were run by the tokens that an owned row has now.

        One token comes with the prompt and one with each step until the answer ends, and of the
        rows at least one was in the last step.
        """
        self.step = max(self.step, self._entered[self.owners[row]] + tokens - 1)

    def changes(self) -> list[Change]:
        """What happens to the rows at first, and after answers were taken out of `owners`."""
        return list(self._changes())

    def _changes(self) -> Iterator[Change]:
        while self._waiting and (free := [i for i, unit in enumerate(self.owners) if not unit]):
            count = min(self._refill, len(self._waiting))
            if len(free) < count and self.units:
                break
            units = [self._waiting.popleft() for _ in free[:count]]
            self._entered |= dict.fromkeys(units, self.step)
            for row, unit in zip(free, units, strict=False):
                self.owners[row] = unit
            # A narrower cache is faster, but another program to compile.
            needed = batching.prompt_width(max(self._lengths[at] for at, _ in self.units))
            if 2 * needed <= self._width:
                yield Narrow(self._width - needed)
                self._width = needed
            yield Refill(units, free[: len(units)])
        while not self._waiting and 0 < len(self.units) <= self._fewer() < len(self.owners):
            rows = sorted(range(len(self.owners)), key=lambda row: self.owners[row] is None)
            rows = rows[: self._fewer()]
            self.owners = [self.owners[row] for row in rows]
            yield Shrink(rows)

    def take_up(self, ended: Mapping[Unit, int], most: int) -> list[Past]:
        """Goes on to where it was when something was killed.

        Args:
          ended: the step at which each answer that is known was taken out of its row. Of the last
            step's answers some may not be known.
          most: steps after which rows are looked at, if not earlier.

        Returns:
          What was done up to there.

        Raises:
          ValueError: these are no steps of this schedule; it is then of no more use.
        """
        last, past = max(ended.values(), default=0), [(0, self.changes())]
        while True:
            due = min((ended[unit] for unit in self.units if unit in ended), default=last)
            if due >= last:
                return past
            steps = min(due - self.step, most)
            now = self.step + steps
            rows = [row for row, one in enumerate(self.owners) if one and ended.get(one) == now]
            if steps < 0 or (steps < most and len(rows) < self.wanted):
                raise ValueError(f"answers ended at step {due} in another order of prompts")
            self.step = now
            for row in rows:
                self.owners[row] = None
            past.append((steps, self.changes()))
