"""Rows from files of comma-separated values, where a field may hold commas and line breaks."""

import csv
import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flan_jax import storage
from flan_jax.data.sources import data_folder, split_rules
from flan_jax.data.sources.protocol import Adapt, Availability, BadRow, adapted


def csv_table(
    pattern: str,
    columns: Sequence[str],
    splits: Sequence[str] | Mapping[str, str] = split_rules.STANDARD_SPLITS,
    adapt: Adapt | None = None,
) -> "CsvSource":
    """Rows from files of comma-separated values without a line of names.

    Args:
      pattern: path of a file under the data folder, with `{split}` in it; one that is absolute or a
        URL stands for itself.
      columns: names of the columns. A row with more or fewer is a bad one.
      splits: names of the splits; or a mapping from names to those in the files' paths.
      adapt: function from a row to one with the fields that the task reads.

    Returns:
      The source. Its rows are texts by column: with columns `("question", "answer")` the line
      `"2, 3 or 5?",2` is `{"question": "2, 3 or 5?", "answer": "2"}`.
    """
    return CsvSource(pattern, tuple(columns), split_rules.rules(splits), adapt)


@dataclass(frozen=True)
class CsvSource:
    """Rows from files of comma-separated values; made by `csv_table`."""

    pattern: str
    columns: tuple[str, ...]
    rules: split_rules.Rules
    adapt: Adapt | None = None

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.rules)

    @property
    def version(self) -> str:
        return f"csv:{self.pattern}"

    @property
    def identities(self) -> frozenset[str]:
        return frozenset({self.version})

    def chosen(self, data_dir: str | None) -> "CsvSource":
        return self

    def availability(self, data_dir: str | None) -> Availability:
        return data_folder.availability(
            self.pattern, self.splits, lambda split: [self._file(split, data_dir)], data_dir
        )

    def prepare(self, data_dir: str | None) -> None:
        """Does nothing: files are there, or reading says what is missing."""

    def rows(self, split: str, data_dir: str | None) -> Iterator[dict[str, Any] | BadRow]:
        for line, values in self._records(split, data_dir):
            location = f"{self._path(split, data_dir)}:{line}"
            if len(values) == len(self.columns):
                row = dict(zip(self.columns, values, strict=True))
                yield adapted(self.adapt, row, lambda location=location: location)
            else:
                reason = f"{len(values)} columns where {len(self.columns)} are expected"
                yield BadRow(location, reason)

    def num_examples(self, split: str, data_dir: str | None) -> int:
        return sum(1 for _ in self._records(split, data_dir))

    def locate(self, split: str, index: int, data_dir: str | None) -> str:
        for number, (line, _) in enumerate(self._records(split, data_dir)):
            if number == index:
                return f"{self._path(split, data_dir)}:{line}"
        raise IndexError(f"source {self.version}, split {split!r} has no row {index}")

    def fingerprint(self, split: str, data_dir: str | None) -> str:
        digest = hashlib.sha256(f"csv {self.columns}".encode())
        digest.update(self._file(split, data_dir).read_bytes())
        return digest.hexdigest()

    def _path(self, split: str, data_dir: str | None) -> storage.AnyPath:
        on_disk = split_rules.rule_of(self.version, self.rules, split)
        return data_folder.place(self.version, self.pattern.replace("{split}", on_disk), data_dir)

    def _file(self, split: str, data_dir: str | None) -> storage.AnyPath:
        """Gives the path of a split that is there."""
        path = self._path(split, data_dir)
        if not path.is_file():
            raise FileNotFoundError(
                f"source {self.version}, split {split!r}: there is no {path}; check --data_dir "
                "(the folder that holds one folder a data set)"
            )
        return path

    def _records(self, split: str, data_dir: str | None) -> Iterator[tuple[int, list[str]]]:
        """Yields the line on which each record ends, and its values; passes over blank lines."""
        try:
            text = self._file(split, data_dir).read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            path = self._path(split, data_dir)
            raise ValueError(f"{path} is not UTF-8 ({error}); get the file anew") from error
        reader = csv.reader(io.StringIO(text, newline=""))
        for values in reader:
            if values:
                yield reader.line_num, values
