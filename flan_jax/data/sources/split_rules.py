"""Split rules: which part of which published split is ours.

train                     the whole split
train[:-200]              all rows but the last 200
train[:-200][:30000]      of these the first 30,000, if there are so many
validation|test           `validation` where there is one, else `test`
"""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

STANDARD_SPLITS = ("train", "validation", "test")

_RULE = re.compile(r"^(\w+(?:\|\w+)*)((?:\[-?\d*:-?\d*\])*)$")
_PART = re.compile(r"\[(-?\d*):(-?\d*)\]")

Rules = tuple[tuple[str, str], ...]


class Rule(NamedTuple):
    """A split rule in parts.

    Attributes:
      names: published splits, of which the first that exists is meant.
      parts: slices, each of what the one before it leaves.
    """

    names: tuple[str, ...]
    parts: tuple[slice, ...]

    def rows(self, count: int) -> range:
        """Numbers of the rows that are meant, of `count` published ones.

        Args:
          count: rows of the published split.

        Returns:
          For `train[:-200][:30000]` and 1,000 rows, `range(0, 800)`.
        """
        rows = range(count)
        for part in self.parts:
            rows = rows[part]
        return rows

    def take(self, rows: Iterable[Any], count: Callable[[], int]) -> Iterator[Any]:
        """Takes the rows that are meant.

        Args:
          rows: those of the published split.
          count: counts them; asked only where the rule has parts.
        """
        if not self.parts:
            return iter(rows)
        wanted = self.rows(count())
        return itertools.islice(rows, wanted.start, max(wanted.start, wanted.stop))


def rules(splits: Sequence[str] | Mapping[str, str]) -> Rules:
    """Gives pairs of a split's name and its rule."""
    if isinstance(splits, Mapping):
        return tuple(splits.items())
    return tuple((name, name) for name in splits)


def parse(version: str, rule: str) -> Rule:
    """Reads a rule.

    Args:
      version: name of the source, for the error.
      rule: the rule.

    Raises:
      ValueError: it is none.
    """
    match = _RULE.match(rule)
    if not match:
        raise ValueError(
            f"source {version}: split {rule!r} is not understood; write a name, or a part by row "
            "numbers such as 'train[:-200]'"
        )
    bounds = [[int(bound) if bound else None for bound in pair] for pair in _PART.findall(rule)]
    return Rule(tuple(match.group(1).split("|")), tuple(slice(*pair) for pair in bounds))


def rule_of(version: str, known: Rules, split: str) -> str:
    """Finds the rule of a split.

    Raises:
      ValueError: there is no such split.
    """
    table = dict(known)
    check_split(version, tuple(table), split)
    return table[split]


def check_split(version: str, splits: Sequence[str], split: str) -> None:
    """Raises a ValueError if a source has no split of that name."""
    if split not in splits:
        raise ValueError(
            f"source {version} has no split {split!r}; it has {', '.join(splits)}. Declare it with "
            "splits=..."
        )
