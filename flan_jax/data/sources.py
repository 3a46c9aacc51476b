"""Sources: where raw rows come from.

A source is plain data until its rows are asked for, so that declaring and registering read
nothing. Rows come in a fixed order. A row that cannot be read comes as a `BadRow` in its place.

A split may be part of another: `splits={"train": "train[:-200]", "validation": "train[-200:]"}`
keeps the last 200 rows of the training file for validation.
"""

import fnmatch
import functools
import gzip
import hashlib
import itertools
import json
import os
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from flan_jax import storage

_SPLIT = re.compile(r"^(\w+)(?:\[(-?\d+)?:(-?\d+)?\])?$")
_STANDARD_SPLITS = ("train", "validation", "test")
# Rows of a generated source that enter its fingerprint: enough to see a changed generator.
_FINGERPRINT_ROWS = 16


class BadRow(NamedTuple):
    """A row that could not be read.

    Attributes:
      location: where it is, `file:line` for files.
      reason: what is wrong with it.
    """

    location: str
    reason: str


class Source(Protocol):
    """What every source can do."""

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of its splits."""

    @property
    def version(self) -> str:
        """What is read, in words: kind, name and, where there is one, version."""

    @property
    def identity(self) -> tuple:
        """Equal for two sources that read the same data set, whatever the splits."""

    def rows(self, split: str, data_dir: str | None) -> Iterator[dict[str, Any] | BadRow]:
        """Reads a split in order."""

    def num_examples(self, split: str, data_dir: str | None) -> int:
        """Counts the rows of a split, bad ones included."""

    def locate(self, split: str, index: int, data_dir: str | None) -> str:
        """Says where row `index` of a split is, `file:line` for files."""

    def fingerprint(self, split: str, data_dir: str | None) -> str:
        """Hex digest that changes with the content of a split."""


def jsonl(
    pattern: str, splits: Sequence[str] | Mapping[str, str] = _STANDARD_SPLITS
) -> "FileSource":
    """Rows from files of JSON lines, plain or compressed with gzip.

    Args:
      pattern: a folder under the data folder, whose splits are the files `<split>.jsonl`,
        `<split>.jsonl.gz` or `<split>-*.jsonl.gz`; or a path of files with `{split}` in it, whose
        last part may hold shell wildcards. A path that is absolute or a URL stands for itself.
      splits: names of the splits; or a mapping from names to splits or parts of splits on disk,
        for example `{"validation": "train[-200:]"}`.

    Returns:
      The source.
    """
    return FileSource("jsonl", pattern, _split_rules(splits))


def text_lines(
    pattern: str, splits: Sequence[str] | Mapping[str, str] = _STANDARD_SPLITS
) -> "FileSource":
    """Rows `{"text": line}` from text files, plain or compressed with gzip, less blank lines.

    Args:
      pattern: as for `jsonl`, with the ending `.txt`.
      splits: as for `jsonl`.

    Returns:
      The source.
    """
    return FileSource("txt", pattern, _split_rules(splits))


def tfds(name: str, splits: Sequence[str] | Mapping[str, str] = _STANDARD_SPLITS) -> "TfdsSource":
    """Rows from TensorFlow Datasets, which is imported when rows are first asked for.

    Texts come as `str`, numbers and booleans as Python's own, sequences as lists. TFDS finds the
    data in its own folder (`TFDS_DATA_DIR`), not in the data folder of the other sources.

    Args:
      name: name of a data set, with configuration and version if wanted, for example
        `"super_glue/rte:1.0.2"`.
      splits: names of the splits; or a mapping from names to TFDS splits, sliced if wanted.

    Returns:
      The source.
    """
    return TfdsSource(name, _split_rules(splits))


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
class FileSource:
    """Rows from text files; made by `jsonl` and `text_lines`."""

    kind: str
    pattern: str
    rules: tuple[tuple[str, str], ...]

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.rules)

    @property
    def version(self) -> str:
        return f"{self.kind}:{self.pattern}"

    @property
    def identity(self) -> tuple:
        return (self.kind, self.pattern)

    def rows(self, split: str, data_dir: str | None) -> Iterator[dict[str, Any] | BadRow]:
        read = _json_row if self.kind == "jsonl" else _text_row
        return (read(*line) for line in self._lines(split, data_dir))

    def num_examples(self, split: str, data_dir: str | None) -> int:
        paths, part = self._files(split, data_dir)
        return len(range(_count_lines(paths))[part])

    def locate(self, split: str, index: int, data_dir: str | None) -> str:
        path, number, _ = next(itertools.islice(self._lines(split, data_dir), index, None))
        return f"{path}:{number}"

    def fingerprint(self, split: str, data_dir: str | None) -> str:
        paths, part = self._files(split, data_dir)
        digest = hashlib.sha256(f"{self.kind} {part}".encode())
        for path in paths:
            digest.update(path.read_bytes())
        return digest.hexdigest()

    def _lines(self, split: str, data_dir: str | None) -> Iterator["_Line"]:
        paths, part = self._files(split, data_dir)
        lines = itertools.chain.from_iterable(map(_read_lines, paths))
        if part == slice(None):
            return lines
        start, stop, _ = part.indices(_count_lines(paths))
        return itertools.islice(lines, start, max(start, stop))

    def _files(self, split: str, data_dir: str | None) -> tuple[list[storage.AnyPath], slice]:
        on_disk, part = _parse_split(self.version, _rule(self, split))
        if "{split}" in self.pattern:
            patterns = [self.pattern.replace("{split}", on_disk)]
        else:
            endings = (f".{self.kind}", f".{self.kind}.gz", f"-*.{self.kind}", f"-*.{self.kind}.gz")
            patterns = [f"{self.pattern}/{on_disk}{ending}" for ending in endings]
        if os.path.isabs(self.pattern) or storage.is_remote(self.pattern):
            targets = [storage.path(pattern) for pattern in patterns]
        elif data_dir:
            targets = [storage.path(data_dir) / pattern for pattern in patterns]
        else:
            raise ValueError(
                f"source {self.version} reads files under a data folder, and none was given; "
                "register the collection with data_dir, or pass --data_dir"
            )
        folder = targets[0].parent
        found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        for target in targets:
            names = fnmatch.filter(found, target.name)
            if names:
                return [folder / name for name in names], part
        raise FileNotFoundError(_missing(self, split, folder, found, patterns))


@dataclass(frozen=True)
class TfdsSource:
    """Rows from TensorFlow Datasets; made by `tfds`."""

    name: str
    rules: tuple[tuple[str, str], ...]

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.rules)

    @property
    def version(self) -> str:
        return f"tfds:{self.name}"

    @property
    def identity(self) -> tuple:
        return ("tfds", self.name.split(":")[0])

    def rows(self, split: str, data_dir: str | None) -> Iterator[dict[str, Any] | BadRow]:
        import tensorflow_datasets

        dataset = tensorflow_datasets.load(self.name, split=_rule(self, split))
        return map(_to_python, tensorflow_datasets.as_numpy(dataset))

    def num_examples(self, split: str, data_dir: str | None) -> int:
        rule = _rule(self, split)
        builder = self._builder()
        if not builder.info.splits:
            builder.download_and_prepare()
        return builder.info.splits[rule].num_examples

    def locate(self, split: str, index: int, data_dir: str | None) -> str:
        return f"{self.name} {_rule(self, split)}:{index}"

    def fingerprint(self, split: str, data_dir: str | None) -> str:
        text = f"{self._builder().info.full_name} {_rule(self, split)}"
        return hashlib.sha256(text.encode()).hexdigest()

    def _builder(self) -> Any:
        import tensorflow_datasets

        return tensorflow_datasets.builder(self.name)


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
    def identity(self) -> tuple:
        return ("generated", self.fn, self.seed)

    def rows(self, split: str, data_dir: str | None) -> Iterator[dict[str, Any] | BadRow]:
        return (self._row(split, index) for index in range(self.num_examples(split, data_dir)))

    def num_examples(self, split: str, data_dir: str | None) -> int:
        if split not in self.splits:
            raise ValueError(_unknown_split(self, split))
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


def _split_rules(splits: Sequence[str] | Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    if isinstance(splits, Mapping):
        return tuple(splits.items())
    return tuple((name, name) for name in splits)


def _rule(source: FileSource | TfdsSource, split: str) -> str:
    rules = dict(source.rules)
    if split not in rules:
        raise ValueError(_unknown_split(source, split))
    return rules[split]


def _unknown_split(source: Source, split: str) -> str:
    return (
        f"source {source.version} has no split {split!r}; it has {', '.join(source.splits)}. "
        "Declare it with splits=..."
    )


def _parse_split(version: str, rule: str) -> tuple[str, slice]:
    match = _SPLIT.match(rule)
    if not match:
        raise ValueError(
            f"source {version}: split {rule!r} is not understood; write a name, or a part by row "
            "numbers such as 'train[:-200]'"
        )
    start, stop = (int(bound) if bound else None for bound in match.group(2, 3))
    return match.group(1), slice(start, stop)


def _missing(
    source: FileSource,
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
    return f"source {source.version}, split {split!r}: expected {expected}; {state}; {remedy}"


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
        # The time of the last change makes a changed file another entry.
        stamp = 0 if storage.is_remote(path) else os.stat(path).st_mtime_ns
        total += _count_lines_of(path, stamp)
    return total


@functools.lru_cache(maxsize=4096)
def _count_lines_of(path: storage.AnyPath, stamp: int) -> int:
    return sum(1 for _ in _read_lines(path))


def _json_row(path: storage.AnyPath, number: int, line: bytes) -> dict[str, Any] | BadRow:
    try:
        row = json.loads(line)
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


def _to_python(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _to_python(item) for key, item in value.items()}
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if hasattr(value, "tolist"):
        return _to_python(value.tolist())
    if isinstance(value, list | tuple):
        return [_to_python(item) for item in value]
    return value
