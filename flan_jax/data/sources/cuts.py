"""Sources cut so that no row is on both sides: by groups of rows, or without recurring ones."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flan_jax.data.sources.protocol import Availability, BadRow, Source
from flan_jax.data.sources.split_rules import check_split

Rows = Iterator[dict[str, Any] | BadRow]


@dataclass(frozen=True)
class GroupedSource:
    """A single training file cut into splits so that rows of one group stay together.

    Cut by row number, a passage with several questions would be trained on and scored.

    Attributes:
      source: the file, as split `train`.
      group: field whose text says which rows belong together.
      shares: per cent of the groups in each split, 100 in all.
    """

    source: Source
    group: str
    shares: tuple[tuple[str, int], ...] = (("train", 80), ("validation", 10), ("test", 10))

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(split for split, _ in self.shares)

    @property
    def version(self) -> str:
        shares = ",".join(f"{split}={share}" for split, share in self.shares)
        return f"{self.source.version}:{self.group}:{shares}"

    @property
    def identities(self) -> frozenset[str]:
        return self.source.identities

    def chosen(self, data_dir: str | None) -> "GroupedSource":
        return self

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
        return self.source.locate("train", numbers[index], data_dir)

    def fingerprint(self, split: str, data_dir: str | None) -> str:
        text = f"{self.version} {split} {self.source.fingerprint('train', data_dir)}"
        return hashlib.sha256(text.encode()).hexdigest()

    def _numbered(self, split: str, data_dir: str | None) -> Iterator[tuple[int, Any]]:
        check_split(self.version, self.splits, split)
        for number, row in enumerate(self.source.rows("train", data_dir)):
            if self._split_of(row) == split:
                yield number, row

    def _split_of(self, row: Mapping[str, Any] | BadRow) -> str:
        # A row that cannot be read is counted where most rows are.
        text = "" if isinstance(row, BadRow) else str(row.get(self.group))
        place = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % 100
        for split, share in self.shares:
            if place < share:
                return split
            place -= share
        raise ValueError(f"source {self.version}: the shares must add up to 100")


@dataclass(frozen=True)
class ApartSource:
    """A source without the training rows that recur in its other splits.

    Such rows are dropped and counted. They are few, and published so.

    Attributes:
      source: the source, with a split `train`.
      text: field by which rows are the same, but for case and blanks; or several, whose order does
        not matter then.
    """

    source: Source
    text: str | tuple[str, ...]

    @property
    def splits(self) -> tuple[str, ...]:
        return self.source.splits

    @property
    def version(self) -> str:
        return f"{self.source.version}:apart={','.join(self._names)}"

    @property
    def identities(self) -> frozenset[str]:
        return self.source.identities

    def chosen(self, data_dir: str | None) -> "ApartSource":
        return self

    def availability(self, data_dir: str | None) -> Availability:
        return self.source.availability(data_dir)

    def prepare(self, data_dir: str | None) -> None:
        self.source.prepare(data_dir)

    def rows(self, split: str, data_dir: str | None) -> Rows:
        if split != "train":
            return self.source.rows(split, data_dir)
        return self._training_rows(data_dir)

    def num_examples(self, split: str, data_dir: str | None) -> int:
        return self.source.num_examples(split, data_dir)

    def locate(self, split: str, index: int, data_dir: str | None) -> str:
        return self.source.locate(split, index, data_dir)

    def fingerprint(self, split: str, data_dir: str | None) -> str:
        lacking = self.source.availability(data_dir).lacking
        present = tuple(one for one in self.splits if one not in lacking)
        splits = present if split == "train" else (split,)
        digests = [self.source.fingerprint(one, data_dir) for one in splits]
        return hashlib.sha256(f"{self.version} {split} {digests}".encode()).hexdigest()

    def _training_rows(self, data_dir: str | None) -> Rows:
        # A split that is not there cannot be scored.
        lacking = self.source.availability(data_dir).lacking
        others = (split for split in self.splits if split != "train" and split not in lacking)
        scored = {self._key(row) for split in others for row in self.source.rows(split, data_dir)}
        for index, row in enumerate(self.source.rows("train", data_dir)):
            if not isinstance(row, BadRow) and self._key(row) in scored:
                yield BadRow(
                    self.source.locate("train", index, data_dir),
                    "row is also in another split",
                    wanted=True,
                )
            else:
                yield row

    @property
    def _names(self) -> tuple[str, ...]:
        return (self.text,) if isinstance(self.text, str) else self.text

    def _key(self, row: Mapping[str, Any] | BadRow) -> frozenset[str] | None:
        if isinstance(row, BadRow):
            return None
        texts = (str(row.get(name)).lower() for name in self._names)
        return frozenset(" ".join(text.split()) for text in texts)
