"""The journal of an evaluation: every scored example on disk as soon as it is scored.

    <output_dir>/journal/rte.zero_shot.rank.<identity>.jsonl    a file for each task
    <output_dir>/journal/current.json                           which file each task has now

The first line of a file is the header, `{"journal": 1, "task": ..., "identity": {...}}`, which says
all that the scores depend on: prompts, templates, weights, vocabulary, settings. The name has the
first 12 hexadecimal digits of its SHA-256, so that another checkpoint or template has another
file. Then comes a line for each example:

    {"task": "rte:zero_shot:rank", "example": 0, "template": 0, "prompt": "...",
     "prediction": "yes", "options": ["yes", "no"], "option_scores": [-0.1, -2.4],
     "compared_scores": [-0.1, -2.4], "choice": 0, "answer": 0, "references": ["yes"],
     "scores": {"accuracy": 1.0}}

`options` to `answer` are there for ranked tasks alone, and behind `option_scores` where scores are
calibrated `content_free_scores`, a list for each content-free prompt. Generated ones have instead
`step`, how far their round had come when the answer ended (`predictions.STEP`). Log-probabilities
are in nats, scores from 0 to 1. Lines stand in the order in which they were scored; `read` sorts
them.

A killed evaluation leaves at most one torn line, the last, which is dropped. Object stores cannot
append, so there the lines of every half minute are an object of their own, in
`<name>.jsonl.parts/`, until the last example is scored and they become one file.
"""

import contextlib
import fcntl
import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping

import jax
import numpy as np
from jax.experimental import multihost_utils

from flan_jax import storage
from flan_jax.evaluation import prompt_files

FOLDER, CURRENT = "journal", "current.json"
_VERSION = 1
_DIGITS = 12  # of the identity's hash in a file's name
_PART_SECONDS = 30.0  # what an evaluation that is killed loses at most on an object store
# What a record says beside the model's answer; all of it follows from the example.
_OF_THE_EXAMPLE = ("task", "example", "template", "prompt", "references", "scores")

Place = tuple[int, int]  # example and template


class JournalError(ValueError):
    """A journal that cannot be read or written; the message says which, why and what to do."""


def read(path: str) -> tuple[dict, list[dict]]:
    """Reads a journal, finished or not.

    Args:
      path: the file; on remote storage it may still be in parts.

    Returns:
      The header, and the records by example and template.

    Raises:
      JournalError: there is no such journal, or it is damaged.
    """
    lines = _parsed(storage.path(path))
    header = next(lines, None)
    if header is None:
        raise JournalError(f"{path} holds no journal: expected a header in its first line")
    return header, sorted(lines, key=lambda record: (record["example"], record["template"]))


def files(output_dir: str) -> dict[str, str]:
    """Gives the journal of each task that was last scored into a folder, by cached task.

    Args:
      output_dir: `EvaluateRun.output_dir`, or a run's folder in an experiment.

    Returns:
      For example `{"rte:zero_shot:rank": "<output_dir>/journal/rte.zero_shot.rank.<id>.jsonl"}`;
      nothing where no journal was begun.
    """
    folder = storage.path(output_dir) / FOLDER
    if not (folder / CURRENT).exists():
        return {}
    current = json.loads((folder / CURRENT).read_text())
    return {task: str(folder / name) for task, name in current.items()}


class Journal:
    """The journal of one task while it is scored.

    Attributes:
      answers: what the model answered to the examples that are in the journal already.
    """

    def __init__(self, answers: Mapping[Place, dict], sink: "_File | _Parts | None" = None):
        self.answers = answers
        self._sink = sink

    def append(self, records: Iterable[dict]) -> None:
        """Writes the records of examples that have just been scored; they are then on disk."""
        if self._sink:
            lines = [json.dumps(one, ensure_ascii=False).encode() + b"\n" for one in records]
            self._sink.append(b"".join(lines))


@contextlib.contextmanager
def begin(output_dir: str | None, task: str, identity: Mapping[str, object]) -> Iterator[Journal]:
    """Opens the journal of a task, to go on with it or to begin it.

    Every process must come here. Only the first one reads and writes the file; the others get its
    answers from it, so that all agree on what is left to score.

    Args:
      output_dir: where `journal/` is or shall be; None for a journal that is kept nowhere.
      task: the cached task.
      identity: JSON values that tell all that scores depend on.

    Raises:
      JournalError: the journal is damaged, or another process is writing it.
    """
    if output_dir is None:
        yield Journal({})
        return
    sink, answers, error = None, {}, None
    with contextlib.ExitStack() as resources:
        if jax.process_index() == 0:
            try:
                folder = storage.path(output_dir) / FOLDER
                folder.mkdir(parents=True, exist_ok=True)
                path = folder / file_name(task, identity)
                sink = (_Parts if storage.is_remote(path) else _File)(path)
                resources.enter_context(contextlib.closing(sink))
                _check_header(sink, {"journal": _VERSION, "task": task, "identity": identity})
                _make_current(path, task)
                answers = _answers(path)
            except (JournalError, OSError) as caught:
                error = caught  # raised by all processes: none may wait for one that has gone
        told = _from_first([str(error or ""), [[*at, one] for at, one in answers.items()]])
        if told[0]:
            raise JournalError(told[0]) from error
        yield Journal({(at, template): one for at, template, one in told[1]}, sink)
        if sink:
            sink.finish()


def file_name(task: str, identity: Mapping[str, object]) -> str:
    """Names the file of a task: its name and the first digits of its identity's hash."""
    text = json.dumps(identity, sort_keys=True, ensure_ascii=False)
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
    return f"{prompt_files.file_name(task).removesuffix('.jsonl')}.{digest}.jsonl"


class _File:
    """Appends to a local file, which no other process may write to meanwhile."""

    def __init__(self, path: storage.AnyPath):
        self.path = path
        self._handle = open(path, "ab")
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._handle.close()
            raise JournalError(
                f"{path} is being written by another process: wait for its end, or choose another "
                "output_dir"
            ) from error
        whole = sum(len(line) for line in _lines(path) if line.endswith(b"\n"))
        if whole < self._handle.tell():  # a killed process left a part of its last line
            self._handle.truncate(whole)

    def append(self, data: bytes) -> None:
        with storage.disk_full_explained(self.path):
            self._handle.write(data)
            self._handle.flush()

    def finish(self) -> None:
        """There is nothing left to do."""

    def close(self) -> None:
        self._handle.close()


class _Parts:
    """Collects lines, and makes an object of those of half a minute."""

    def __init__(self, path: storage.AnyPath):
        self.path = path
        self._folder = _parts(path)
        self._number = sum(1 for _ in self._folder.iterdir()) if self._folder.exists() else 0
        self._lines: list[bytes] = []
        self._since = time.monotonic()

    def append(self, data: bytes) -> None:
        self._lines.append(data)
        if time.monotonic() - self._since >= _PART_SECONDS:
            self._upload()

    def finish(self) -> None:
        """Makes one file of all parts."""
        self._upload()
        if self._number:
            self.path.write_bytes(b"".join(_lines(self.path)))
            self._folder.rmtree()

    def close(self) -> None:
        self._upload()

    def _upload(self) -> None:
        if self._lines:
            self._folder.mkdir(parents=True, exist_ok=True)  # some file systems need it
            (self._folder / f"{self._number:06d}").write_bytes(b"".join(self._lines))
            self._number += 1
        self._lines, self._since = [], time.monotonic()


def _check_header(sink: _File | _Parts, header: dict) -> None:
    """Writes the header of a new journal, or compares that of an older one."""
    found = next(_parsed(sink.path), None)
    if found is None:
        sink.append(json.dumps(header, ensure_ascii=False).encode() + b"\n")
    elif found != json.loads(json.dumps(header)):
        raise JournalError(
            f"{sink.path} begins with {found}, expected {header}; remove the file, and its "
            "examples are scored anew"
        )


def _make_current(path: storage.AnyPath, task: str) -> None:
    current = path.parent / CURRENT
    named = json.loads(current.read_text()) if current.exists() else {}
    if named.get(task) != path.name:
        text = json.dumps(dict(sorted({**named, task: path.name}.items())), indent=1) + "\n"
        storage.write_atomically(current, text.encode())


def _answers(path: storage.AnyPath) -> dict[Place, dict]:
    """What the model answered, by example and template."""
    records = _parsed(path)
    next(records, None)
    return {
        (record["example"], record["template"]): {
            name: value for name, value in record.items() if name not in _OF_THE_EXAMPLE
        }
        for record in records
    }


def _from_first(value: list) -> list:
    """Gives every process the JSON value of the first one."""
    if jax.process_count() == 1:
        return value
    data = np.frombuffer(json.dumps(value).encode(), np.uint8)
    size = int(multihost_utils.broadcast_one_to_all(np.int32(len(data))))
    sent = data if jax.process_index() == 0 else np.zeros(size, np.uint8)
    return json.loads(bytes(multihost_utils.broadcast_one_to_all(sent)))


def _parsed(path: storage.AnyPath) -> Iterator[dict]:
    """Yields the lines of a journal as JSON, without a torn last one."""
    for number, line in enumerate(_lines(path), 1):
        if not line.endswith(b"\n"):
            return
        try:
            parsed = json.loads(line)
        except ValueError as error:
            raise JournalError(
                f"{path}, line {number}: expected a JSON object, got {line[:40]!r} ({error}); "
                "remove the file, and its examples are scored anew"
            ) from error
        if number == 1 and parsed.get("journal") != _VERSION:
            raise JournalError(
                f'{path}, line 1: expected a header with "journal": {_VERSION}, got '
                f"{line[:80]!r}; use the version of flan_jax that wrote it"
            )
        yield parsed


def _lines(path: storage.AnyPath) -> Iterator[bytes]:
    if path.exists():
        with path.open("rb") as reader:
            yield from reader
        return
    parts = _parts(path)
    for part in sorted(parts.iterdir(), key=str) if parts.exists() else ():
        yield from part.read_bytes().splitlines(keepends=True)


def _parts(path: storage.AnyPath) -> storage.AnyPath:
    return path.parent / f"{path.name}.parts"
