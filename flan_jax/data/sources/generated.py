"""Rows made by a Python function."""

import hashlib
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flan_jax.data.sources.protocol import LOCAL, Availability, BadRow
from flan_jax.data.sources.split_rules import check_split

# Rows that enter the fingerprint: enough to see a changed generator.
_FINGERPRINT_ROWS = 16


def generated(
    fn: Callable[[random.Random, int], dict[str, Any]],
    sizes: Mapping[str, int],
    seed: int = 0,
) -> "GeneratedSource":
    """Rows made by a Python function.

    Args:
      fn: function of a random generator and the row's index that gives a row. The generator's state
        depends on the seed, the split and the index alone.
      sizes: number of rows of each split.
      seed: seed of all splits.

    Returns:
      The source.
    """
    return GeneratedSource(fn, tuple(sizes.items()), seed)


@dataclass(frozen=True)
class GeneratedSource:
    """Rows made by a function; made by `generated`."""

    fn: Callable[[random.Random, int], dict[str, Any]]
    sizes: tuple[tuple[str, int], ...]
    seed: int

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.sizes)

    @property
    def version(self) -> str:
        name = getattr(self.fn, "__qualname__", type(self.fn).__name__)
        return f"generated:{name}:seed={self.seed}"

    @property
    def identities(self) -> frozenset[str]:
        # Two functions may have one name.
        return frozenset({f"{self.version}:{id(self.fn)}"})

    def chosen(self, data_dir: str | None) -> "GeneratedSource":
        return self

    def availability(self, data_dir: str | None) -> Availability:
        return Availability(LOCAL, "made by a function")

    def prepare(self, data_dir: str | None) -> None:
        """Does nothing."""

    def rows(self, split: str, data_dir: str | None) -> Iterator[dict[str, Any] | BadRow]:
        return (self._row(split, index) for index in range(self.num_examples(split, data_dir)))

    def num_examples(self, split: str, data_dir: str | None) -> int:
        check_split(self.version, self.splits, split)
        return dict(self.sizes)[split]

    def locate(self, split: str, index: int, data_dir: str | None) -> str:
        return f"{self.version} {split}:{index}"

    def fingerprint(self, split: str, data_dir: str | None) -> str:
        size = self.num_examples(split, data_dir)
        rows = [self._row(split, index) for index in range(min(size, _FINGERPRINT_ROWS))]
        return hashlib.sha256(repr((self.version, split, size, rows)).encode()).hexdigest()

    def _row(self, split: str, index: int) -> dict[str, Any]:
        # A text seed is hashed with SHA-512, so neighbouring rows are unrelated.
        return self.fn(random.Random(f"{self.seed} {split} {index}"), index)
