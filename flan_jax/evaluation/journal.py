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

`options` to `answer` are there for ranked tasks alone. Log-probabilities are in nats, scores from
0 to 1. Lines stand in the order in which they were scored; `read` sorts them.

A killed evaluation leaves at most one torn line, the last, which is dropped. Object stores cannot
append, so there the lines of every half minute are an object of their own, in
`<name>.jsonl.parts/`, until the last example is scored and they become one file.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping

from flan_jax import storage
from flan_jax.evaluation import prompt_files

FOLDER, CURRENT = "journal", "current.json"
_VERSION = 1
_DIGITS = 12  # of the identity's hash in a file's name


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


def file_name(task: str, identity: Mapping[str, object]) -> str:
    """Names the file of a task: its name and the first digits of its identity's hash."""
    text = json.dumps(identity, sort_keys=True, ensure_ascii=False)
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
    return f"{prompt_files.file_name(task).removesuffix('.jsonl')}.{digest}.jsonl"


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
