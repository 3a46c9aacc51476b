"""Super-NaturalInstructions (Wang et al., 2022): the instances of its task files.

A clone of https://github.com/allenai/natural-instructions holds

    tasks/task002_quoref_answer_generation.json       plain or .json.gz, one a task
    splits/default/test_tasks.txt                     the 119 tasks of the English test track
    splits/default/train_tasks.txt                    the tasks to train on

and each file a definition, solved examples (positive and negative, with explanations) and instances
with one or more right outputs. `flan_jax.data.natural_instructions_index` lists the tasks, and
`flan_jax.data.tk_instruct` makes prompts of the rows.

What is scored may be among the examples that its prompt shows: the official set-up looks for no
such instance, and we keep to it; `shown_instances` counts them.
"""

import functools
import gzip
import hashlib
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from flan_jax import storage
from flan_jax.data.sources.protocol import LOCAL, MISSING, Availability, BadRow
from flan_jax.data.sources.split_rules import check_split

TRAIN, TEST = "train", "test"
# Tk-Instruct trains on 100 instances a task and scores 100 (scripts/train_tk_instruct.sh of
# yizhongw/Tk-Instruct). The first 100 of a test task are its test instances, label-balanced where
# they can be (splits/README.md of allenai/natural-instructions).
CAP = 100


class TaskFileError(ValueError):
    """A task file that cannot be used; the message names the file, the field and the remedy."""


@dataclass(frozen=True)
class NaturalInstructionsSource:
    """The instances of one task, each with its task's definition and examples.

    A row has the fields `id`, `definition`, `positive`, `negative` (lists of examples with `input`,
    `output` and perhaps `explanation`), `input`, and `output`, a list of right answers.

    Attributes:
      task: name of the task.
      split: `TRAIN` or `TEST`, the only split that it has.
      folder: name of the clone in the data folder; empty where that is the clone.
      cap: instances at most; None means all. A test task gives its first, a training task a seeded
        sample in the order of the file.
    """

    task: str
    split: str
    folder: str
    cap: int | None = CAP

    @property
    def splits(self) -> tuple[str, ...]:
        return (self.split,)

    @property
    def version(self) -> str:
        return f"natural_instructions:{self.task}:{self.split}:{self.cap}"

    @property
    def identities(self) -> frozenset[str]:
        return frozenset({f"natural_instructions:{self.task}"})

    def chosen(self, data_dir: str | None) -> "NaturalInstructionsSource":
        return self

    def availability(self, data_dir: str | None) -> Availability:
        try:
            path = self._path(data_dir)
        except FileNotFoundError as error:
            return Availability(MISSING, str(error), "name another --data_dir")
        return Availability(LOCAL, str(path), size=storage.size(path))

    def prepare(self, data_dir: str | None) -> None:
        """Does nothing: files are there, or reading says what is missing."""

    def rows(self, split: str, data_dir: str | None) -> Iterator[dict[str, Any] | BadRow]:
        """Reads a split.

        Raises:
          TaskFileError: the file is broken; one that is sound but for some instances gives a
            `BadRow` for each of these.
        """
        content, numbers = self._read(split, data_dir)
        shared = {
            "definition": content.definition,
            "positive": content.positive,
            "negative": content.negative,
        }
        for number in numbers:
            instance = content.instances[number]
            problem = _instance_problem(instance)
            if problem:
                yield BadRow(f"{self._path(data_dir)}: Instances[{number}]", problem)
            else:
                yield {
                    "id": instance.get("id", ""),
                    **shared,
                    "input": instance["input"],
                    "output": instance["output"],
                }

    def num_examples(self, split: str, data_dir: str | None) -> int:
        return len(self._read(split, data_dir)[1])

    def locate(self, split: str, index: int, data_dir: str | None) -> str:
        number = self._read(split, data_dir)[1][index]
        return f"{self._path(data_dir)}: Instances[{number}]"

    def fingerprint(self, split: str, data_dir: str | None) -> str:
        check_split(self.version, self.splits, split)
        digest = hashlib.sha256(self.version.encode())
        digest.update(read_bytes(self._path(data_dir)))
        return digest.hexdigest()

    def _path(self, data_dir: str | None) -> storage.AnyPath:
        if not data_dir:
            raise FileNotFoundError(
                f"source {self.version} reads files under a data folder, and none was given; "
                "register the collection with data_dir, or pass --data_dir"
            )
        tasks = root_folder(data_dir, self.folder) / "tasks"
        for ending in (".json", ".json.gz"):
            if (tasks / f"{self.task}{ending}").exists():
                return tasks / f"{self.task}{ending}"
        raise FileNotFoundError(f"source {self.version}: no {self.task}.json(.gz) is in {tasks}")

    def _read(self, split: str, data_dir: str | None) -> tuple["_Content", Sequence[int]]:
        """Gives the task, and the numbers of the instances that are meant."""
        check_split(self.version, self.splits, split)
        path = self._path(data_dir)
        content = _read_task(path, storage.last_change(path))
        count = len(content.instances)
        if self.cap is None or count <= self.cap:
            return content, range(count)
        if split == TEST:
            return content, range(self.cap)
        # Tk-Instruct shuffles before it cuts (src/ni_dataset.py); a text seed is hashed, so the
        # draws of two tasks are unrelated.
        drawn = random.Random(f"natural_instructions {self.task}").sample(range(count), self.cap)
        return content, sorted(drawn)


class _Content(NamedTuple):
    """A task file, checked but for its instances."""

    definition: str
    positive: list[dict[str, str]]
    negative: list[dict[str, str]]
    instances: list[Any]


# Counting, rendering and locating read a task in turn; files of all tasks would fill the memory.
@functools.lru_cache(maxsize=4)
def _read_task(path: storage.AnyPath, last_change: int) -> _Content:
    try:
        task = json.loads(read_bytes(path))
    except (ValueError, OSError, EOFError) as error:
        raise TaskFileError(
            f"{path}: no JSON ({error}); restore the file from the repository"
        ) from error
    if not isinstance(task, dict):
        raise TaskFileError(f"{path}: expected one JSON object, got a {type(task).__name__}")
    definition = _field(path, task, "Definition")
    # Older files have a text; of several Tk-Instruct takes the first (src/ni_collator.py).
    definition = definition[0] if isinstance(definition, list) else definition
    if not isinstance(definition, str) or not definition.strip():
        raise _fault(path, "Definition", "a text or a list of texts", definition)
    instances = _field(path, task, "Instances")
    if not isinstance(instances, list):
        raise _fault(path, "Instances", "a list of objects", instances)
    examples = [_examples(path, task, name) for name in ("Positive Examples", "Negative Examples")]
    return _Content(definition, *examples, instances)


def _field(path: storage.AnyPath, task: Mapping[str, Any], name: str) -> Any:
    if not task.get(name):
        state = "is empty" if name in task else "is missing"
        raise TaskFileError(
            f"{path}: field {name!r} {state}; restore the file from the repository, or leave the "
            "task out by name"
        )
    return task[name]


def _fault(path: storage.AnyPath, field: str, expected: str, value: Any) -> TaskFileError:
    return TaskFileError(
        f"{path}: field {field!r} should be {expected}, and is {str(value)[:60]!r}; restore the "
        "file from the repository, or leave the task out by name"
    )


def _examples(path: storage.AnyPath, task: Mapping[str, Any], name: str) -> list[dict[str, str]]:
    examples = task.get(name, [])
    if not isinstance(examples, list):
        raise _fault(path, name, "a list of objects", examples)
    for number, example in enumerate(examples):
        for part in ("input", "output", "explanation"):
            value = example.get(part, "") if isinstance(example, dict) else None
            if not isinstance(value, str) or (part != "explanation" and part not in example):
                raise _fault(path, f"{name}[{number}].{part}", "a text", value)
    return examples


def _instance_problem(instance: Any) -> str:
    """Says what is wrong with an instance; empty if nothing is."""
    if not isinstance(instance, dict) or not isinstance(instance.get("input"), str):
        return "instance without a text `input`"
    output = instance.get("output")
    if not isinstance(output, list) or not all(isinstance(text, str) for text in output):
        return "`output` is not a list of texts"
    return ""


def root_folder(data_dir: str, folder: str) -> storage.AnyPath:
    """Gives the folder of the clone."""
    root = storage.path(data_dir)
    return root / folder if folder else root


def read_bytes(path: storage.AnyPath) -> bytes:
    """Reads a file, unpacked if it ends in `.gz`."""
    data = path.read_bytes()
    return gzip.decompress(data) if path.name.endswith(".gz") else data


def shown_instances(source: NaturalInstructionsSource, data_dir: str | None) -> dict[str, int]:
    """Counts the instances whose input is also that of an example in the task's own file.

    Args:
      source: the task.
      data_dir: the data folder.

    Returns:
      Counts for `positive`, `negative` and `instances` (all that are read).
    """
    rows = [row for row in source.rows(source.split, data_dir) if not isinstance(row, BadRow)]
    counts = {"instances": len(rows)}
    for kind in ("positive", "negative"):
        shown = {example["input"].strip() for row in rows[:1] for example in row[kind]}
        counts[kind] = sum(row["input"].strip() in shown for row in rows)
    return counts
