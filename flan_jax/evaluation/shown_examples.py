"""Which scored examples a page shows, out of journals that may be a thousand times as long.

Every task gets an equal part of the page; what a small one leaves goes to those behind it. Within a
task the outcomes ("both right", "only the first right" ...) take turns, so that rare ones are not
lost, and each outcome is spread evenly over the task's examples and templates.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence

import numpy as np

from flan_jax.evaluation import journal
from flan_jax.evaluation.paired import match
from flan_jax.evaluation.results import Results, TaskScores

PROMPT_CHARACTERS = 6000  # of one prompt or answer; the rest is in the journal
_GOLDEN = (5**0.5 - 1) / 2
_SEPARATOR = 1  # byte between two elements of a JSON array


@dataclasses.dataclass(frozen=True)
class TaskExamples:
    """The examples of one task that are shown.

    Attributes:
      task: the task as the first system scored it.
      examples: JSON objects, by source example and template.
      total: how many renderings the journal has.
      outcomes: for each outcome, by system whether it is right ("+-"), how many renderings have it.
    """

    task: TaskScores
    examples: Sequence[dict]
    total: int
    outcomes: Mapping[str, int]

    def to_json(self) -> dict:
        """What the page's script reads."""
        return {
            "name": self.task.name,
            "metric": self.task.metrics[0],
            "templates": list(self.task.templates),
            "total": self.total,
            "outcomes": dict(self.outcomes),
            "examples": list(self.examples),
        }


def choose(
    systems: Mapping[str, Results], journals: Mapping[str, Mapping[str, str]], limit: int
) -> list[TaskExamples]:
    """Chooses the examples to show.

    Args:
      systems: what each system scored; the first says which tasks are shown.
      journals: by system key the journal of each cached task; systems and tasks without one are
        passed over.
      limit: size of all tasks with their examples as JSON, in bytes; at least the tasks are
        returned, be it without examples.

    Raises:
      JournalError: a journal is missing or damaged.
    """
    first = next(iter(systems.values()))
    partners = [match(first.tasks, results.tasks) for results in systems.values()]
    listed = []
    for task in first.tasks:
        files = [
            journals.get(key, {}).get(found[task.name].name, "") if task.name in found else ""
            for key, found in zip(systems, partners, strict=True)
        ]
        if files[0]:
            listed.append((task, files))
    chosen, left = [], limit
    for i, (task, files) in enumerate(listed):
        found = _choose_of_task(task, files, left // (len(listed) - i))
        left -= size(found.to_json())
        chosen.append(found)
    return chosen


def size(value: dict) -> int:
    """The bytes that a task or an example takes on the page."""
    return len(to_script(value).encode()) + _SEPARATOR


def to_script(value: object) -> str:
    """JSON that may stand in a script element: no text of it can end that element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _choose_of_task(task: TaskScores, files: Sequence[str], limit: int) -> TaskExamples:
    metric = task.metrics[0]
    columns = [_by_place(path) for path in files]
    groups: dict[str, list[tuple[int, int]]] = {}
    for place in columns[0]:
        marks = (_mark(column.get(place), metric) for column in columns)
        groups.setdefault("".join(marks), []).append(place)
    counts = {outcome: len(members) for outcome, members in sorted(groups.items())}
    bare = TaskExamples(task, (), len(columns[0]), counts)
    examples, left = [], limit - size(bare.to_json())
    for place in _in_turn(list(groups.values())):
        example = _example(place, [column.get(place) for column in columns])
        left -= size(example)
        if left < 0:
            break
        examples.append(example)
    examples.sort(key=lambda one: (one["example"], one["template"]))
    return dataclasses.replace(bare, examples=examples)


def _by_place(path: str) -> dict[tuple[int, int], dict]:
    if not path:
        return {}
    return {(record["example"], record["template"]): record for record in journal.read(path)[1]}


def _mark(record: dict | None, metric: str) -> str:
    if record is None or metric not in record["scores"]:
        return "?"
    return "+" if record["scores"][metric] >= 1.0 else "-"


def _in_turn(groups: Sequence[Sequence[tuple[int, int]]]) -> list[tuple[int, int]]:
    """One of each group, then the next of each; every beginning of a group is evenly spread."""
    spread = [[group[i] for i in _evenly(len(group))] for group in groups]
    longest = max(map(len, spread), default=0)
    return [group[i] for i in range(longest) for group in spread if i < len(group)]


def _evenly(count: int) -> list[int]:
    """An order of 0 to count - 1 of which every beginning is spread over the whole range.

    Multiples of the golden ratio, modulo 1, are as even as a sequence can be at every length
    (Knuth, The Art of Computer Programming, volume 3, section 6.4).
    """
    return np.argsort(np.arange(count) * _GOLDEN % 1.0, kind="stable").tolist()


def _example(place: tuple[int, int], records: Sequence[dict | None]) -> dict:
    """What the page shows of one rendering: the first system's question, everyone's answers."""
    first = records[0]
    shown = {
        "example": place[0],
        "template": place[1],
        "prompt": _cut(first["prompt"]),
        "references": [_cut(text) for text in first["references"]],
    }
    if "options" in first:
        shown |= {"options": first["options"], "answer": first["answer"]}
    shown["systems"] = [record and _answer(record, first) for record in records]
    return shown


def _answer(record: dict, first: dict) -> dict:
    shown = {"prediction": _cut(record["prediction"]), "scores": record["scores"]}
    if "option_scores" in record:
        shown |= {"choice": record["choice"], "option_scores": record["option_scores"]}
        compared = record.get("compared_scores", record["option_scores"])
        if compared != record["option_scores"]:
            shown["compared_scores"] = compared
    # Another form of the task asks the same in other words.
    for name in ("prompt", "options", "answer"):
        if name in record and record[name] != first.get(name):
            shown[name] = _cut(record[name]) if name == "prompt" else record[name]
    return shown


def _cut(text: str) -> str:
    if len(text) <= PROMPT_CHARACTERS:
        return text
    half = PROMPT_CHARACTERS // 2
    dropped = len(text) - 2 * half
    return f"{text[:half]}\n[… {dropped:,} characters, which the journal has …]\n{text[-half:]}"
