"""Rows from one JSON file: an array of objects, or an object a line."""

import codecs
import functools
import gzip
import hashlib
import io
import itertools
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, NamedTuple

from flan_jax import storage
from flan_jax.data.sources import split_rules
from flan_jax.data.sources.protocol import LOCAL, MISSING, Availability, BadRow

_BLOCK = 2**20  # characters read at a time
_BUFFER = 2**16  # bytes
# An error this far before the end of what was read is not for want of the rest.
_CERTAIN = 64


class JsonFileError(ValueError):
    """A file that is not JSON; the message names it, with the line."""


def json_file(
    path: str, splits: Mapping[str, str] | None = None, each: str = ""
) -> "JsonFileSource":
    """Rows from one JSON file, plain or compressed with gzip.

    Unlike `jsonl` it reads arrays too, a row after the other, and a file of any name.

    Args:
      path: path or URL of the file.
      splits: rules about the split `train`, which is the whole file; for example `{"train":
        "train[:-100]", "validation": "train[-100:]"}`. None means `train` alone.
      each: field that holds a list, of whose elements each becomes a row of its own.

    Returns:
      The source.
    """
    rules = split_rules.rules(splits or {"train": "train"})
    return JsonFileSource(str(path), rules, each)


@dataclass(frozen=True)
class JsonFileSource:
    """Rows from one JSON file; made by `json_file`."""

    path: str
    rules: split_rules.Rules
    each: str = ""

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.rules)

    @property
    def version(self) -> str:
        return f"json:{self.path}" + (f":{self.each}" if self.each else "")

    @property
    def identities(self) -> frozenset[str]:
        return frozenset({f"json:{self.path}"})

    def chosen(self, data_dir: str | None) -> "JsonFileSource":
        return self

    def availability(self, data_dir: str | None) -> Availability:
        file = storage.path(self.path)
        if not file.exists():
            return Availability(MISSING, f"there is no file {self.path}", "check the path")
        return Availability(LOCAL, self.path, size=storage.size(file))

    def prepare(self, data_dir: str | None) -> None:
        """Does nothing: the file is there, or reading says that it is missing."""

    def rows(self, split: str, data_dir: str | None) -> Iterator[dict[str, Any] | BadRow]:
        for line, value in self._picked(split):
            bad = isinstance(value, BadRow)
            yield value._replace(location=f"{self.path}:{line}") if bad else value

    def num_examples(self, split: str, data_dir: str | None) -> int:
        return len(self._rule(split).rows(self._count()))

    def locate(self, split: str, index: int, data_dir: str | None) -> str:
        line, _ = next(itertools.islice(self._picked(split), index, None))
        return f"{self.path}:{line}"

    def fingerprint(self, split: str, data_dir: str | None) -> str:
        digest = hashlib.sha256(f"json {self.each} {self._rule(split).parts}".encode())
        digest.update(storage.path(self.path).read_bytes())
        return digest.hexdigest()

    def _rule(self, split: str) -> split_rules.Rule:
        text = split_rules.rule_of(self.version, self.rules, split)
        return split_rules.parse(self.version, text)

    def _count(self) -> int:
        return _count_elements(self.path, self.each, storage.last_change(self.path))

    def _picked(self, split: str) -> Iterator["_Element"]:
        return self._rule(split).take(_expanded(self.path, self.each), self._count)


class _Element(NamedTuple):
    """A row, or a `BadRow` that says what is wrong with it; and the line that it begins on."""

    line: int
    value: dict[str, Any] | BadRow


@functools.lru_cache(maxsize=256)
def _count_elements(path: str, each: str, last_change: int) -> int:
    return sum(1 for _ in _expanded(path, each))


def _expanded(path: str, each: str) -> Iterator[_Element]:
    """Gives every row; of one with a list in the field `each`, a row for each of its elements."""
    for line, value in _elements(path):
        parts = value.get(each) if each and isinstance(value, dict) else None
        if not isinstance(parts, list) or not parts:
            yield _Element(line, value)
            continue
        yield from (_Element(line, {**value, each: [part]}) for part in parts)


def _elements(path: str) -> Iterator[_Element]:
    with _opened(path) as file:
        begin = file.peek(_BUFFER).removeprefix(codecs.BOM_UTF8).lstrip()
        read = _array if begin.startswith(b"[") else _lines
        for line, value in read(path, file):
            if not isinstance(value, dict | BadRow):
                value = BadRow("", "not a JSON object")
            yield _Element(line, value)


@contextmanager
def _opened(path: str) -> Iterator[io.BufferedReader]:
    file = storage.path(path)
    if not file.exists():
        raise FileNotFoundError(f"there is no file {path}; check the path")
    with file.open("rb") as raw:
        plain: IO[bytes] = gzip.GzipFile(fileobj=raw) if file.name.endswith(".gz") else raw
        yield io.BufferedReader(plain, _BUFFER)


def _lines(path: str, file: io.BufferedReader) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
        except UnicodeDecodeError:
            yield number, BadRow("", "not UTF-8")
        except ValueError as error:
            yield number, BadRow("", f"broken JSON line ({error})")


def _array(path: str, file: io.BufferedReader) -> Iterator[tuple[int, Any]]:
    """Reads an array, a block at a time: files of conversations are larger than memory likes."""
    text = _Text(path, file)
    text.expect("[")
    if text.next() != "]":
        while True:
            yield text.value()
            if text.next() != ",":
                break
            text.expect(",")
    text.expect("]")
    if text.next():
        text.fail("text after the end of the array")


class _Text:
    """JSON text that is read as it is needed."""

    def __init__(self, path: str, file: io.BufferedReader):
        self._path = path
        self._file = io.TextIOWrapper(file, encoding="utf-8-sig")
        self._decoder = json.JSONDecoder()
        self._buffer, self._place, self._line = "", 0, 1

    def next(self) -> str:
        """Gives the next character that is not blank, without taking it; empty at the end."""
        while True:
            rest = len(self._buffer)
            while self._place < rest and self._buffer[self._place] in " \t\r\n":
                self._line += self._buffer[self._place] == "\n"
                self._place += 1
            if self._place < rest:
                return self._buffer[self._place]
            if not self._read(_BLOCK):
                return ""

    def expect(self, mark: str) -> None:
        """Takes a character."""
        found = self.next()
        if found != mark:
            self.fail(f"expected {mark!r}, found {found!r}" if found else f"{mark!r} is missing")
        self._place += 1

    def value(self) -> tuple[int, Any]:
        """Takes a value, and gives the line on which it begins."""
        self.next()
        size = _BLOCK
        while True:
            try:
                value, end = self._decoder.raw_decode(self._buffer, self._place)
                break
            except json.JSONDecodeError as error:
                rest = len(self._buffer) - error.pos
                # An unfinished string is reported where it begins.
                certain = rest > _CERTAIN and not error.msg.startswith("Unterminated")
                if certain or not self._read(size):
                    self._line += self._buffer.count("\n", self._place, error.pos)
                    self.fail(error.msg)
                size *= 2
        line = self._line
        self._line += self._buffer.count("\n", self._place, end)
        self._place = end
        return line, value

    def fail(self, what: str) -> None:
        raise JsonFileError(
            f"{self._path}:{self._line}: malformed JSON array ({what}); mend the file, or write an "
            "object a line"
        )

    def _read(self, size: int) -> bool:
        try:
            more = self._file.read(size)
        except UnicodeDecodeError as error:
            self._line += self._buffer.count("\n", self._place)
            raise JsonFileError(f"{self._path}: not UTF-8 after line {self._line}") from error
        self._buffer, self._place = self._buffer[self._place :] + more, 0
        return bool(more)
