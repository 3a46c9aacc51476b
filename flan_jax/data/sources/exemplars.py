"""Sources whose rows carry solved examples: those that a published protocol shows in every prompt.

    ShownSource(jsonl("gsm8k", ("train", "test")), split="train", number=8)

has the split `test` alone, and each of its rows the first eight training rows under `exemplars`.
What is shown can thus be neither scored nor, by any mixture of these tasks, trained on.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from flan_jax.data.sources.protocol import Availability, BadRow, Source
from flan_jax.data.sources.split_rules import check_split

Rows = Iterator[dict[str, Any] | BadRow]


@dataclass(frozen=True)
class ShownSource:
    """The splits of a source but one, the first rows of which every row carries as `exemplars`.

    Attributes:
      source: the source.
      split: the split that is shown.
      number: how many of its rows, from the first.
    """

    source: Source
    split: str
    number: int

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(split for split in self.source.splits if split != self.split)

    @property
    def version(self) -> str:
        return f"{self.source.version}:shown={self.split}[:{self.number}]"

    @property
    def identities(self) -> frozenset[str]:
        return self.source.identities

    def chosen(self, data_dir: str | None) -> "ShownSource":
        return replace(self, source=self.source.chosen(data_dir))

    def availability(self, data_dir: str | None) -> Availability:
        return self.source.availability(data_dir)

    def prepare(self, data_dir: str | None) -> None:
        self.source.prepare(data_dir)

    def rows(self, split: str, data_dir: str | None) -> Rows:
        self._check(split)
        exemplars = self.exemplars(data_dir)
        for row in self.source.rows(split, data_dir):
            yield row if isinstance(row, BadRow) else {**row, "exemplars": exemplars}

    def exemplars(self, data_dir: str | None) -> list[dict[str, Any]]:
        """Reads the rows that are shown.

        Raises:
          ValueError: there are not enough, or one is broken.
        """
        shown: list[dict[str, Any]] = []
        for row in self.source.rows(self.split, data_dir):
            if len(shown) == self.number:
                break
            if isinstance(row, BadRow):
                raise ValueError(
                    f"{row.location}: {row.reason}; the first {self.number} rows of split "
                    f"{self.split!r} are shown in every prompt, so mend it"
                )
            shown.append(row)
        if len(shown) < self.number:
            raise ValueError(
                f"source {self.source.version}: split {self.split!r} has {len(shown)} rows, and "
                f"{self.number} are shown in every prompt; get the file anew"
            )
        return shown

    def num_examples(self, split: str, data_dir: str | None) -> int:
        self._check(split)
        return self.source.num_examples(split, data_dir)

    def locate(self, split: str, index: int, data_dir: str | None) -> str:
        return self.source.locate(split, index, data_dir)

    def fingerprint(self, split: str, data_dir: str | None) -> str:
        self._check(split)
        digests = [self.source.fingerprint(one, data_dir) for one in (split, self.split)]
        return hashlib.sha256(f"shown {self.number} {digests}".encode()).hexdigest()

    def _check(self, split: str) -> None:
        check_split(self.version, self.splits, split)


@dataclass(frozen=True)
class MatchingSource:
    """The rows of a source that have a certain text in a field: one subject of many in a file.

    Attributes:
      source: the source.
      field: name of the field.
      text: what it must be.
    """

    source: Source
    field: str
    text: str

    @property
    def splits(self) -> tuple[str, ...]:
        return self.source.splits

    @property
    def version(self) -> str:
        return f"{self.source.version}:{self.field}={self.text}"

    @property
    def identities(self) -> frozenset[str]:
        return self.source.identities

    def chosen(self, data_dir: str | None) -> "MatchingSource":
        return replace(self, source=self.source.chosen(data_dir))

    def availability(self, data_dir: str | None) -> Availability:
        return self.source.availability(data_dir)

    def prepare(self, data_dir: str | None) -> None:
        self.source.prepare(data_dir)

    def rows(self, split: str, data_dir: str | None) -> Rows:
        return (row for _, row in self._numbered(split, data_dir))

    def num_examples(self, split: str, data_dir: str | None) -> int:
        return sum(1 for _ in self._numbered(split, data_dir))

    def locate(self, split: str, index: int, data_dir: str | None) -> str:
        numbers = [number for number, _ in self._numbered(split, data_dir)]
        return self.source.locate(split, numbers[index], data_dir)

    def fingerprint(self, split: str, data_dir: str | None) -> str:
        text = f"{self.field}={self.text} {self.source.fingerprint(split, data_dir)}"
        return hashlib.sha256(text.encode()).hexdigest()

    def _numbered(
        self, split: str, data_dir: str | None
    ) -> Iterator[tuple[int, dict[str, Any] | BadRow]]:
        # A row that cannot be read may be one of these, so it is not passed over in silence.
        for number, row in enumerate(self.source.rows(split, data_dir)):
            if isinstance(row, BadRow) or row.get(self.field) == self.text:
                yield number, row
