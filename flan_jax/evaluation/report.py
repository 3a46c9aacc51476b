"""Console table, `report.json` and `report.html` for one or several systems.

A report compares a subject (the first system, say "tuned") with other systems on the same caches
(say "pretrained", "random_answers", "all_clusters"), with chance and with the majority answer.
"""

import importlib.metadata
import json
import math
import platform
from collections.abc import Mapping, Sequence

import numpy as np
import rich.box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import flan_jax
from flan_jax import storage
from flan_jax.evaluation import averages, chance_adjusted, prompt_files, report_page
from flan_jax.evaluation.comparison import Findings, Report, find, label, percent, verdict
from flan_jax.evaluation.option_order import Consistency
from flan_jax.evaluation.results import (
    ROLES,
    ClusterSummary,
    Results,
    Score,
    Summary,
    TaskSummary,
)
from flan_jax.evaluation.significance import PairedTest

__all__ = ["Report", "print_table", "read_curve", "to_json", "write"]

_CURVE_POINTS = 300
_FILE_WIDTH = 120  # characters
_DIGEST_SHOWN = 8  # hexadecimal digits
_CAPTION = "scores in points; ± is half a 95% interval; test and dev clusters were held out"


def write(report: Report, output_dir: str, console: Console | None = None) -> dict:
    """Prints the table and writes `report.json` and `report.html`.

    Args:
      report: what to show.
      output_dir: folder, local or remote; made if absent.
      console: where the table goes; default the terminal.

    Returns:
      The content of `report.json`.

    Raises:
      ValueError: the report has no system, or a system lacks a cluster of the subject.
      JournalError: a journal is missing or damaged.
    """
    findings = find(report)
    record = to_json(report, findings)
    folder = storage.path(output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    page = report_page.render(report, findings, record)
    storage.write_atomically(folder / "report.json", text.encode())
    storage.write_atomically(folder / "report.html", page.encode())
    print_table(report, findings.summaries, console or default_console())
    return record


def to_json(report: Report, findings: Findings) -> dict:
    """The content of `report.json`: scores from 0 to 1, seconds, intervals, tasks, templates."""
    summaries = findings.summaries
    subject = next(iter(summaries.values()))
    means = {
        role: {key: _mean_to_json(summary, role) for key, summary in summaries.items()}
        for role in ROLES
        if subject.mean(role=role) is not None
    }
    return {
        "title": report.title,
        "verdict": verdict(report, summaries),
        "clusters": {
            name: _cluster_to_json({key: s.clusters[name] for key, s in summaries.items()})
            for name in subject.clusters
        },
        "means": means,
        "averages": averages.of_benchmarks(summaries),
        "upper_bound": report.upper_bound or None,
        "tests": {
            key: {
                "clusters": _tests_to_json(tests.clusters),
                "means": _tests_to_json(tests.roles),
                "tasks": _tests_to_json(tests.tasks),
                "unpaired": dict(tests.unpaired),
            }
            for key, tests in findings.tests.items()
        },
        "option_order": {
            key: {one.plain.name: _order_to_json(one) for one in found}
            for key, found in findings.option_order.items()
        },
        "ledgers": dict(report.ledgers),
        "seconds": {phase: round(value, 3) for phase, value in report.seconds.items()},
        "labels": {key: label(key) for key in summaries},
        "aside": list(report.aside),
        "notes": list(report.notes),
        "configuration": dict(report.configuration),
        "facts": {key: _facts(runs) for key, runs in report.systems.items()},
        "versions": _versions(),
    }


def _facts(runs: Results | Sequence[Results]) -> list[dict]:
    runs = [runs] if isinstance(runs, Results) else runs
    return [{**run.facts, "evaluation_seconds": round(run.seconds, 3)} for run in runs]


def _versions() -> dict[str, str]:
    versions = {"flan_jax": flan_jax.__version__, "python": platform.python_version()}
    names = ("jax", "flax", "optax", "numpy", "rouge-score", "sacrebleu")
    return {**versions, **{name: importlib.metadata.version(name) for name in names}}


def _score_to_json(score: Score) -> dict:
    return {"score": _rounded(score.value), "interval": [_rounded(x) for x in score.interval]}


def _mean_to_json(summary: Summary, role: str) -> dict:
    adjusted = chance_adjusted.role_score(summary, role)
    return _score_to_json(summary.mean(role=role)) | {"adjusted": _adjusted_to_json(adjusted)}


def _adjusted_to_json(score: Score | None) -> dict | None:
    return None if score is None else _score_to_json(score)


def _tests_to_json(tests: Mapping[str, PairedTest]) -> dict:
    return {
        name: {
            "difference": _rounded(test.difference.value),
            "interval": [_rounded(x) for x in test.difference.interval],
            "n": test.n,
            "p": _rounded(test.p),
            "exact": test.exact,
            "holm_p": None if test.adjusted_p is None else _rounded(test.adjusted_p),
            "bootstrap_p": _rounded(test.bootstrap_p),
            "wins": test.wins,
            "losses": test.losses,
            "mcnemar_p": None if test.mcnemar_p is None else _rounded(test.mcnemar_p),
        }
        for name, test in tests.items()
    }


def _order_to_json(found: Consistency) -> dict:
    return {
        "permuted": found.permuted.name,
        "same_choice": _score_to_json(found.same),
        "at_random": _rounded(found.chance),
        "scores": [_score_to_json(score) for score in found.scores],
        "n": found.n,
    }


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)


def _cluster_to_json(columns: Mapping[str, ClusterSummary]) -> dict:
    subject = next(iter(columns.values()))
    tasks = {
        name: {
            "chance": _rounded(task.scores.chance),
            "majority": _rounded(task.scores.majority),
            "n": task.n,
            **{key: _task_to_json(cluster.tasks[i]) for key, cluster in columns.items()},
        }
        for i, (name, task) in enumerate(subject.named_tasks().items())
    }
    return {
        "role": subject.role,
        **{key: _rounded(cluster.score.value) for key, cluster in columns.items()},
        "chance": _rounded(subject.chance),
        "majority": _rounded(subject.majority),
        "n": subject.n,
        "pooled": {key: _rounded(_pooled(c)) for key, c in columns.items()},
        "prompts": prompt_files.joint_digest(task.scores for task in subject.tasks),
        "intervals": {key: _score_to_json(c.score)["interval"] for key, c in columns.items()},
        "adjusted": {
            key: _adjusted_to_json(chance_adjusted.cluster_score(c)) for key, c in columns.items()
        },
        "seeds": {key: list(map(_rounded, c.seeds)) for key, c in columns.items()},
        "tasks": tasks,
    }


def _pooled(cluster: ClusterSummary) -> float:
    """The score with every example, rather than every task, of equal weight."""
    values = [task.score.value for task in cluster.tasks]
    return float(np.average(values, weights=[task.n for task in cluster.tasks]))


def _task_to_json(task: TaskSummary) -> dict:
    return {
        **_score_to_json(task.score),
        "form": task.scores.name,
        "metric": task.scores.metrics[0],
        "others": {name: _rounded(value) for name, value in task.others.items()},
        "adjusted": _adjusted_to_json(chance_adjusted.task_score(task)),
        "templates": list(map(_rounded, task.templates)),
        "spread": _rounded(task.spread),
        "best": task.best,
        "worst": task.worst,
        "seeds": list(map(_rounded, task.seeds)),
        "cache": task.scores.cache,
        "prompts": task.scores.prompts,
        "left_out": dict(task.scores.left_out),
    }


def default_console() -> Console:
    """The terminal, or a width that fits the table where the output goes to a file."""
    console = Console()
    return console if console.is_terminal else Console(width=_FILE_WIDTH)


def print_table(report: Report, summaries: Mapping[str, Summary], console: Console) -> None:
    """Prints a row a cluster, the mean of each role, and the verdict."""
    subject = next(iter(summaries.values()))
    table = Table(title=escape(report.title), caption=_CAPTION, box=rich.box.SIMPLE)
    table.add_column("cluster", no_wrap=True)
    digests = {
        cluster.name: prompt_files.joint_digest(task.scores for task in cluster.tasks)
        for cluster in subject.clusters.values()
    }
    prompts = ("prompts",) if any(digests.values()) else ()
    for name in (*summaries, "chance", "majority", "n", *prompts):
        table.add_column(name.replace("_", "\n"), justify="right", no_wrap=True)
    for role in ROLES:
        members = [cluster for cluster in subject.clusters.values() if cluster.role == role]
        if not members:
            continue
        table.add_section()
        table.add_row(f"[bold]{role}[/]")
        for cluster in members:
            scores = [summary.clusters[cluster.name].score for summary in summaries.values()]
            baselines = (percent(cluster.chance), percent(cluster.majority), f"{cluster.n:,}")
            shown = [digests[cluster.name][:_DIGEST_SHOWN] for _ in prompts]
            table.add_row(f"  {cluster.name}", *map(_cell, scores), *baselines, *shown)
        scores = [summary.mean(role=role) for summary in summaries.values()]
        chance = percent(np.mean([cluster.chance for cluster in members]))
        majority = percent(np.mean([cluster.majority for cluster in members]))
        total = f"{sum(cluster.n for cluster in members):,}"
        table.add_row("  [bold]mean[/]", *map(_cell, scores), chance, majority, total)
    for title, scores in averages.rows(summaries):
        table.add_row(f"  [bold]{title}[/]", *map(_cell, scores))
    console.print(table)
    for sentence in verdict(report, summaries):
        console.print(sentence, highlight=False, markup=False)


def _cell(score: Score) -> str:
    low, high = score.interval
    return f"{percent(score.value)} ±{50 * (high - low):.1f}"


def read_curve(path: str, metric: str = "loss") -> list[tuple[int, float]]:
    """(step, value) points of a metric in a JSON-lines log, averaged down to at most 300 points.

    Args:
      path: file with one JSON object a line; those without "step" or the metric are passed over.
      metric: key of the value.
    """
    text = storage.path(path).read_bytes().decode()
    records = [json.loads(line) for line in text.splitlines() if line]
    points = [
        (record["step"], record[metric])
        for record in records
        if "step" in record and record.get(metric) is not None
    ]
    if not points:
        return []
    groups = np.array_split(np.array(points, np.float64), min(len(points), _CURVE_POINTS))
    return [(int(group[-1, 0]), float(group[:, 1].mean())) for group in groups]
