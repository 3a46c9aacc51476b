"""What is counted of the tokens of a cache, for its manifest."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flan_jax.data.ragged import Ragged
from flan_jax.data.rendering import Drops

SIDES = ("inputs", "targets")
# Places that are named for each reason.
SHOWN_PLACES = 5
_COUNTS = ("dropped", "dropped_renderings", "truncated", "unknown")
# Upper bounds of the bins of the length histogram: powers of two, and halfway between them.
_BOUNDS = sorted({*(2**i for i in range(3, 16)), *(3 * 2**i for i in range(2, 14))})


@dataclass
class Statistics:
    """What a cache's manifest says of its tokens; statistics of parts can be added up.

    Attributes:
      tokens: tokens of inputs and of targets.
      lengths: number of rows by length, for inputs and for targets.
      max_token_id: highest token id.
      truncated_tokens: tokens that were cut off.
      unknown_tokens: tokens for what the vocabulary does not know.
      dropped: examples of which nothing was left, and rows of the source that gave none.
      dropped_renderings: renderings and chunks that were left out.
      truncated: rows whose inputs were cut.
      unknown: rows with unknown tokens.
    """

    tokens: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SIDES, 0))
    lengths: dict[str, Counter] = field(default_factory=lambda: {side: Counter() for side in SIDES})
    max_token_id: int = 0
    truncated_tokens: int = 0
    unknown_tokens: int = 0
    dropped: Drops = field(default_factory=Drops)
    dropped_renderings: Drops = field(default_factory=Drops)
    truncated: Drops = field(default_factory=Drops)
    unknown: Drops = field(default_factory=Drops)

    def add(self, row: dict[str, Any]) -> None:
        """Counts the tokens of a row."""
        for side in SIDES:
            self.tokens[side] += len(row[side])
            self.lengths[side][len(row[side])] += 1
            self.max_token_id = max(self.max_token_id, max(row[side], default=0))

    def add_all(self, inputs: Ragged, targets: Ragged) -> None:
        """Counts the tokens of many rows."""
        for side, rows in zip(SIDES, (inputs, targets), strict=True):
            self.tokens[side] += len(rows.flat)
            lengths, counts = np.unique(rows.lengths, return_counts=True)
            self.lengths[side].update(dict(zip(lengths.tolist(), counts.tolist(), strict=True)))
            self.max_token_id = max(self.max_token_id, int(rows.flat.max(initial=0)))

    def add_part(self, part: "Statistics", locate: Callable[[str], str] = str) -> None:
        """Adds those of the next part of a cache.

        Args:
          part: the statistics of the part.
          locate: gives the place for what stands for it in those of the part.
        """
        for side in SIDES:
            self.tokens[side] += part.tokens[side]
            self.lengths[side] += part.lengths[side]
        self.max_token_id = max(self.max_token_id, part.max_token_id)
        self.truncated_tokens += part.truncated_tokens
        self.unknown_tokens += part.unknown_tokens
        for name in _COUNTS:
            _add_counts(getattr(self, name), getattr(part, name), locate)

    def facts(self) -> dict[str, Any]:
        """Gives all of it as values that JSON holds."""
        counts = {name: dataclasses.asdict(getattr(self, name)) for name in _COUNTS}
        return {
            "tokens": self.tokens,
            "lengths": {side: list(counts.items()) for side, counts in self.lengths.items()},
            "max_token_id": self.max_token_id,
            "truncated_tokens": self.truncated_tokens,
            "unknown_tokens": self.unknown_tokens,
            "drops": {name: one | {"wanted": list(one["wanted"])} for name, one in counts.items()},
        }

    @classmethod
    def from_facts(cls, facts: dict[str, Any]) -> "Statistics":
        """Makes them of what `facts` gave."""
        values = {**facts, "lengths": {}}
        for side, counts in facts["lengths"].items():
            values["lengths"][side] = Counter({length: count for length, count in counts})
        for name, one in values.pop("drops").items():
            values[name] = Drops(**{**one, "wanted": set(one["wanted"])})
        return cls(**values)

    def as_dict(self) -> dict[str, Any]:
        """Gives the manifest's entries."""
        counts = {name: getattr(self, name).as_dict() for name in _COUNTS}
        return counts | {
            "tokens": self.tokens,
            "truncated_tokens": self.truncated_tokens,
            "unknown_tokens": self.unknown_tokens,
            "max_token_id": self.max_token_id,
            "longest": {side: max(counts, default=0) for side, counts in self.lengths.items()},
            "histogram": {side: _histogram(counts) for side, counts in self.lengths.items()},
        }


def merged(parts: Iterable[Statistics]) -> Statistics:
    """Adds up the statistics of parts of a cache."""
    total = Statistics()
    for part in parts:
        total.add_part(part)
    return total


def _add_counts(total: Drops, part: Drops, locate: Callable[[str], str]) -> None:
    total.wanted |= part.wanted
    for reason, count in part.counts.items():
        total.counts[reason] = total.counts.get(reason, 0) + count
        places = total.locations.setdefault(reason, [])
        places += map(locate, part.locations[reason][: SHOWN_PLACES - len(places)])


def _histogram(lengths: Counter) -> dict[str, int]:
    """Counts rows by length, as {"<=8": n, "<=12": n, ...}, without empty bins."""
    bins: dict[str, int] = {}
    for length, count in sorted(lengths.items()):
        bound = next((f"<={bound}" for bound in _BOUNDS if length <= bound), f">{_BOUNDS[-1]}")
        bins[bound] = bins.get(bound, 0) + count
    return bins
