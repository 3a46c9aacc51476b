"""Rows from text files: JSON lines, or plain lines of text."""

import fnmatch
import functools
import gzip
import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from flan_jax import storage
from flan_jax.data.sources import data_folder, split_rules
from flan_jax.data.sources.protocol import Adapt, Availability, BadRow, adapted


def jsonl(
    pattern: str,
    splits: Sequence[str] | Mapping[str, str] = split_rules.STANDARD_SPLITS,
    adapt: Adapt | None = None,
) -> "FileSource":
    """Rows from files of JSON lines, plain or compressed with gzip.

    Args:
      pattern: a folder under the data folder, whose splits are the files `<split>.jsonl`,
        `<split>.jsonl.gz` or `<split>-*.jsonl.gz`; or a path of files with `{split}` in it, whose
        last part may hold shell wildcards. A path that is absolute or a URL stands for itself.
      splits: names of the splits; or a mapping from names to rules about splits on disk, for
        example `{"validation": "train[-200:]"}`; see `flan_jax.data.sources.split_rules`.
      adapt: function from a row to one with the fields that the task reads, where the files have
        others.

    Returns:
      The source.
    """
    return FileSource("jsonl", pattern, split_rules.rules(splits), adapt)


def text_lines(
    pattern: str, splits: Sequence[str] | Mapping[str, str] = split_rules.STANDARD_SPLITS
) -> "FileSource":
    """Rows `{"text": line}` from text files, plain or compressed with gzip, less blank lines.

    Args:
      pattern: as for `jsonl`, with the ending `.txt`.
      splits: as for `jsonl`.

    Returns:
      The source.
    """
    return FileSource("txt", pattern, split_rules.rules(splits))


@dataclass(frozen=True)
class FileSource:
    """Rows from text files; made by `jsonl` and `text_lines`."""

    kind: str
    pattern: str
    rules: split_rules.Rules
    adapt: Adapt | None = None

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.rules)

    @property
    def version(self) -> str:
        return f"{self.kind}:{self.pattern}"

    @property
    def identities(self) -> frozenset[str]:
        return frozenset({self.version})

    def chosen(self, data_dir: str | None) -> "FileSource":
        return self

    def availability(self, data_dir: str | None) -> Availability:
        ending = f"<split>.{self.kind}[.gz]"
        where = self.pattern if "{split}" in self.pattern else f"{self.pattern}/{ending}"
        return data_folder.availability(
            where, self.splits, lambda split: self._files(split, data_dir)[0], data_dir
        )

    def prepare(self, data_dir: str | None) -> None:
        """Does nothing: files are there, or reading says what is missing."""

    def rows(self, split: str, data_dir: str | None) -> Iterator[dict[str, Any] | BadRow]:
        read = _json_row if self.kind == "jsonl" else _text_row
        return (
            adapted(self.adapt, read(*line), lambda line=line: f"{line.path}:{line.number}")
            for line in self._lines(split, data_dir)
        )

    def num_examples(self, split: str, data_dir: str | None) -> int:
        paths, rule = self._files(split, data_dir)
        return len(rule.rows(_count_lines(paths)))

    def locate(self, split: str, index: int, data_dir: str | None) -> str:
        path, number, _ = next(itertools.islice(self._lines(split, data_dir), index, None))
        return f"{path}:{number}"

    def fingerprint(self, split: str, data_dir: str | None) -> str:
        paths, rule = self._files(split, data_dir)
        digest = hashlib.sha256(f"{self.kind} {rule.parts}".encode())
        for path in paths:
            digest.update(path.read_bytes())
        return digest.hexdigest()

    def _lines(self, split: str, data_dir: str | None) -> Iterator["_Line"]:
        paths, rule = self._files(split, data_dir)
        lines = itertools.chain.from_iterable(map(_read_lines, paths))
        return rule.take(lines, lambda: _count_lines(paths))

    def _files(
        self, split: str, data_dir: str | None
    ) -> tuple[list[storage.AnyPath], split_rules.Rule]:
        text = split_rules.rule_of(self.version, self.rules, split)
        rule = split_rules.parse(self.version, text)
        patterns = [pattern for name in rule.names for pattern in self._patterns(name)]
        targets = [data_folder.place(self.version, pattern, data_dir) for pattern in patterns]
        folder = targets[0].parent
        found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        for target in targets:
            names = fnmatch.filter(found, target.name)
            if names:
                return [folder / name for name in names], rule
        raise FileNotFoundError(_missing(self.version, split, folder, found, patterns))

    def _patterns(self, on_disk: str) -> list[str]:
        if "{split}" in self.pattern:
            return [self.pattern.replace("{split}", on_disk)]
        endings = (f".{self.kind}", f".{self.kind}.gz", f"-*.{self.kind}", f"-*.{self.kind}.gz")
        return [f"{self.pattern}/{on_disk}{ending}" for ending in endings]


def _missing(
    version: str,
    split: str,
    folder: storage.AnyPath,
    found: Sequence[str],
    patterns: Sequence[str],
) -> str:
    if folder.is_dir():
        state = f"{folder} holds {', '.join(found[:10]) or 'nothing'}"
        remedy = "name the splits that exist with splits=..."
    else:
        state = f"there is no folder {folder}"
        remedy = "check --data_dir (the folder that holds one folder a data set)"
    expected = " or ".join(patterns)
    return f"source {version}, split {split!r}: expected {expected}; {state}; {remedy}"


class _Line(NamedTuple):
    path: storage.AnyPath
    number: int
    content: bytes


def _read_lines(path: storage.AnyPath) -> Iterator[_Line]:
    with path.open("rb") as file:
        lines = gzip.GzipFile(fileobj=file) if path.name.endswith(".gz") else file
        for number, content in enumerate(lines, start=1):
            if content.strip():
                yield _Line(path, number, content)


def _count_lines(paths: Sequence[storage.AnyPath]) -> int:
    """Counts lines that are not blank."""
    total = 0
    for path in paths:
        total += _count_lines_of(path, storage.last_change(path))
    return total


@functools.lru_cache(maxsize=4096)
def _count_lines_of(path: storage.AnyPath, last_change: int) -> int:
    return sum(1 for _ in _read_lines(path))


def _json_row(path: storage.AnyPath, number: int, line: bytes) -> dict[str, Any] | BadRow:
    try:
        row = json.loads(line)
    except UnicodeDecodeError:
        return BadRow(f"{path}:{number}", "not UTF-8")
    except ValueError as error:
        return BadRow(f"{path}:{number}", f"broken JSON line ({error})")
    if not isinstance(row, dict):
        return BadRow(f"{path}:{number}", "JSON line is not an object")
    return row


def _text_row(path: storage.AnyPath, number: int, line: bytes) -> dict[str, Any] | BadRow:
    try:
        return {"text": line.decode("utf-8").rstrip("\r\n")}
    except UnicodeDecodeError:
        return BadRow(f"{path}:{number}", "not UTF-8")
