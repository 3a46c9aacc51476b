"""Two evaluations side by side: are they comparable, and where do they differ?"""

import dataclasses
from collections.abc import Sequence

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from flan_jax import storage
from flan_jax.evaluation import journal, report
from flan_jax.evaluation.comparison import Report
from flan_jax.evaluation.paired import match
from flan_jax.evaluation.results import ROLES, Results, TaskScores, load

_NAMED_AT_MOST = 8  # tasks in an error message
_DIGEST_SHOWN = 8


class ComparisonError(ValueError):
    """Two evaluations that cannot be compared; the message says why and what to do."""


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """One side of a comparison.

    Attributes:
      results: its scores.
      folder: where they and the journal lie.
      file: name of the file of results.
    """

    results: Results
    folder: str
    file: str


def read(location: str) -> Evaluation:
    """Reads an evaluation.

    Args:
      location: `EvaluateRun.output_dir`, a run's folder in an experiment, or a file of results in
        either.

    Raises:
      ComparisonError: there are no results, or those of several prompt forms.
    """
    place = storage.path(location)
    if place.name.endswith(".json"):
        if not place.exists():
            raise ComparisonError(f"{location}: there is no such file of results")
        return Evaluation(load(str(place)), str(place.parent), place.name)
    found = sorted(
        one.name
        for one in (place.iterdir() if place.exists() else ())
        if one.name.startswith("results") and one.name.endswith(".json")
    )
    if not found:
        raise ComparisonError(
            f"{location} holds no results.json or results-<form>.json; name the output_dir of "
            "scripts/evaluate.py, or a run's folder in that of scripts/experiment.py"
        )
    if len(found) > 1 and "results.json" not in found:
        raise ComparisonError(
            f"{location} holds results in several prompt forms: {', '.join(found)}; name one of "
            "these files"
        )
    file = "results.json" if "results.json" in found else found[0]
    return Evaluation(load(str(place / file)), str(place), file)


def compare(
    first: str,
    second: str,
    output_dir: str,
    allow_different_prompts: bool = False,
    upper_bound: str = "",
    console: Console | None = None,
) -> dict:
    """Writes `report.json` and `report.html` of two evaluations, and prints their differences.

    Args:
      first: where the first evaluation lies, see `read`.
      second: where the second lies; differences are the first less this one.
      output_dir: folder, local or remote; made if absent.
      allow_different_prompts: whether to compare tasks that were asked in other words, such as two
        prompt forms.
      upper_bound: where the evaluation of a model lies that was trained on what is held out; empty
        for none.
      console: where the tables go; default the terminal.

    Returns:
      The content of `report.json`.

    Raises:
      ComparisonError: there is no task in common, or the prompts differ and may not.
      JournalError: a journal is damaged.
    """
    sides = [read(place) for place in (first, second, upper_bound) if place]
    names = _names([side.folder for side in sides], [side.file for side in sides])
    notes: list[str] = []
    shared, others = sides[0].results, []
    for side, name in zip(sides[1:], names[1:], strict=True):
        notes += check_prompts(shared, side.results, allow_different_prompts, (names[0], name))
        shared = _restrict(shared, side.results)
    for side in sides[1:]:
        partners = match(shared.tasks, side.results.tasks)
        tasks = tuple(
            dataclasses.replace(partners[task.name], cluster=task.cluster) for task in shared.tasks
        )
        others.append(dataclasses.replace(side.results, tasks=tasks, roles=shared.roles))
    shown = Report(
        title=f"{names[0]} against {names[1]}",
        systems=dict(zip(names, (shared, *others), strict=True)),
        notes=tuple(dict.fromkeys(notes)),
        journals={
            name: journal.files(side.folder) for name, side in zip(names, sides, strict=True)
        },
        upper_bound=names[2] if upper_bound else "",
    )
    console = console or report.default_console()
    record = report.write(shown, output_dir, console)
    console.print(difference_table(record, names[1]))
    return record


def _names(folders: Sequence[str], files: Sequence[str]) -> list[str]:
    """What tells evaluations apart: the ends of their folders, without what all end with."""
    parts = [folder.split("/") for folder in folders]
    if len({*folders}) < len(folders):
        parts = [
            [*part, file.removesuffix(".json")] for part, file in zip(parts, files, strict=True)
        ]
    if len({*map(tuple, parts)}) < len(parts):
        return [f"{chr(ord('A') + i)}: {part[-1]}" for i, part in enumerate(parts)]
    while min(map(len, parts)) > 1 and len({part[-1] for part in parts}) == 1:
        parts = [part[:-1] for part in parts]
    lengths = range(1, max(map(len, parts)) + 1)
    candidates = (["/".join(part[-length:]) for part in parts] for length in lengths)
    return next(names for names in candidates if len({*names}) == len(names))


def _restrict(first: Results, second: Results) -> Results:
    partners = match(first.tasks, second.tasks)
    return dataclasses.replace(first, tasks=tuple(t for t in first.tasks if t.name in partners))


def check_prompts(
    first: Results, second: Results, allowed: bool, names: tuple[str, str]
) -> list[str]:
    """Compares the hashes of the prompts of two evaluations.

    Args:
      first: the first one.
      second: the other.
      allowed: whether prompts may differ.
      names: what the two are called.

    Returns:
      What to say beside the scores: tasks whose prompts differ, and tasks that only one scored.

    Raises:
      ComparisonError: no task was scored by both, or prompts differ and may not.
    """
    partners = match(first.tasks, second.tasks)
    if not partners:
        raise ComparisonError(
            f"{names[0]} and {names[1]} have no task in common; they scored "
            f"{_listed([task.name for task in first.tasks])}, and "
            f"{_listed([task.name for task in second.tasks])}"
        )
    differing = [
        _difference(task, partners[task.name])
        for task in first.tasks
        if task.name in partners and not _same_prompts(task, partners[task.name])
    ]
    if differing and not allowed:
        raise ComparisonError(
            f"{names[0]} and {names[1]} were asked different prompts, or ones without a hash, in "
            f"{len(differing)} of {len(partners)} tasks: {_listed(differing)}. Score both on the "
            "same caches, or say --allow_different_prompts to compare them all the same"
        )
    notes = []
    if differing:
        notes.append(f"The prompts differ, or have no hash, in: {_listed(differing)}.")
    found = {task.name for task in partners.values()}
    for name, tasks, known in (
        (names[0], first.tasks, {*partners}),
        (names[1], second.tasks, found),
    ):
        if alone := [task.name for task in tasks if task.name not in known]:
            notes.append(f"Only {name} was scored on, and left out are: {_listed(alone)}.")
    return notes


def _same_prompts(first: TaskScores, second: TaskScores) -> bool:
    return bool(first.prompts) and first.prompts == second.prompts


def _difference(first: TaskScores, second: TaskScores) -> str:
    hashes = [task.prompts[:_DIGEST_SHOWN] or "no hash" for task in (first, second)]
    both = first.name if first.name == second.name else f"{first.name} and {second.name}"
    return f"{both} ({hashes[0]}, {hashes[1]})"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED_AT_MOST])
    more = len(names) - _NAMED_AT_MOST
    return f"{shown} and {more} more" if more > 0 else shown


def difference_table(record: dict, other: str) -> Table:
    """The differences by cluster with their tests, to print.

    Args:
      record: content of `report.json`.
      other: key of the second system.
    """
    tests = record["tests"][other]
    table = Table(title=f"less {other}", box=SIMPLE)
    for i, head in enumerate(("", "difference", "95% interval", "p", "won, lost", "McNemar p")):
        table.add_column(head, justify="right" if i else "left", no_wrap=True)
    for role in ROLES:
        members = [n for n, cluster in record["clusters"].items() if cluster["role"] == role]
        found = [(name, tests["clusters"].get(name)) for name in members]
        found.append((f"[bold]mean {role}[/]", tests["means"].get(role)))
        for name, test in found if members else ():
            table.add_row(name, *_cells(test))
        table.add_section()
    return table


def _cells(test: dict | None) -> list[str]:
    if test is None:
        return ["–"] * 5
    low, high = test["interval"]
    won = "–" if test["wins"] is None else f"{test['wins']:,}, {test['losses']:,}"
    mcnemar = "–" if test["mcnemar_p"] is None else f"{test['mcnemar_p']:.4f}"
    return [
        f"{100 * test['difference']:+.1f}",
        f"{100 * low:+.1f} to {100 * high:+.1f}",
        f"{test['p']:.4f}",
        won,
        mcnemar,
    ]
