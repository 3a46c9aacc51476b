"""Prompts on disk, as they are scored, with a hash that a report carries beside the score.

A file has a line for each prompt, a JSON object:

    {"example": 0, "template": 0, "prompt": "...", "options": ["A", "B"], "answer": 1,
     "references": ["B"]}

`example` is the row of the source and `template` the template's index; `options` is empty and
`answer` -1 where the answer is written freely. Calibrated scores add `content_free`, the prompts
without content behind which the options are scored too. The hash is the SHA-256 of the file, so
that `sha256sum` finds it too. It says what was asked, whatever the model and its vocabulary: a
prompt that did not fit is there whole, and the report counts those that were cut (`left_out`).
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator

from flan_jax import storage
from flan_jax.evaluation.examples import Example, ExampleSet
from flan_jax.evaluation.results import TaskScores


def write(examples: ExampleSet, folder: str) -> str:
    """Writes the prompts of a task to `<folder>/<file_name(task)>`.

    Args:
      examples: the prompts.
      folder: local or remote; made if absent.

    Returns:
      The SHA-256 of the file, in hexadecimal.
    """
    target = storage.path(folder) / file_name(examples.name)
    target.parent.mkdir(parents=True, exist_ok=True)
    storage.write_atomically(target, b"".join(_lines(examples)))
    return digest(examples)


def file_name(task: str) -> str:
    """Names the file of a task: for `rte:zero_shot:rank` `rte.zero_shot.rank.jsonl`."""
    return re.sub(r"[^\w.-]", ".", task) + ".jsonl"


def digest(examples: ExampleSet) -> str:
    """Gives the SHA-256 of the file that `write` writes, in hexadecimal."""
    found = hashlib.sha256()
    for line in _lines(examples):
        found.update(line)
    return found.hexdigest()


def joint_digest(tasks: Iterable[TaskScores]) -> str:
    """Gives one hash for the prompts of several tasks.

    Args:
      tasks: the tasks that were scored.

    Returns:
      The hash of a single task; of more, the SHA-256 of what `sha256sum` prints of their files in
      order of name. Empty if some task has none.
    """
    found = {file_name(task.name): task.prompts for task in tasks}
    if not all(found.values()):
        return ""
    if len(found) == 1:
        return next(iter(found.values()))
    listed = "".join(f"{found[name]}  {name}\n" for name in sorted(found))
    return hashlib.sha256(listed.encode()).hexdigest()


def _lines(examples: ExampleSet) -> Iterator[bytes]:
    return (_line(example) for example in examples.examples)


def _line(example: Example) -> bytes:
    record = {
        "example": example.example,
        "template": example.template,
        "prompt": example.prompt,
        "options": list(example.options),
        "answer": example.answer,
        "references": list(example.references),
    }
    if example.content_free_prompts:
        record["content_free"] = list(example.content_free_prompts)
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"
