"""What a report compares, and what it may claim: the systems, their scores, the verdict."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flan_jax.evaluation import chance_adjusted, option_order, paired
from flan_jax.evaluation.option_order import Consistency
from flan_jax.evaluation.paired import PairedTests
from flan_jax.evaluation.results import RESAMPLES, Results, Score, Summary, summarise
from flan_jax.evaluation.significance import PERMUTATIONS

LABELS = {
    "tuned": "instruction-tuned",
    "pretrained": "pretrained only",
    "random_answers": "tuned on random answers",
    "all_clusters": "all clusters trained",
}
ROLE_TITLES = {
    "test": "Test clusters (held out)",
    "dev": "Development clusters (held out, used for choices)",
    "trained": "Trained clusters",
}


@dataclasses.dataclass(frozen=True)
class Report:
    """What a report shows.

    Attributes:
      title: heading of the page.
      systems: results, or one result a seed, by system key; the first system is the subject. The
        keys of `LABELS` have readable names, any other is shown as it is.
      seconds: wall time of each phase of the run, in order.
      curves: (step, loss) points by training phase, see `read_curve`.
      ledgers: what each phase has seen of its mixture, as `ledger.json` has it, by phase.
      configuration: texts to show, by heading (an effective gin configuration, a command).
      notes: sentences added to the verdict, e.g. that the weights were random.
      aside: test clusters that are always shown, but whose mean is also given without them.
      resamples: number of bootstrap draws.
      permutations: number of random swaps of a test between two systems.
      journals: by system key the journal of each cached task, as `journal.files` gives them (of
        several seeds: the first's); the examples of the page come from there.
      upper_bound: key of a system that was trained on what is held out, or empty.
    """

    title: str
    systems: Mapping[str, Results | Sequence[Results]]
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    curves: Mapping[str, Sequence[tuple[int, float]]] = dataclasses.field(default_factory=dict)
    ledgers: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    configuration: Mapping[str, str] = dataclasses.field(default_factory=dict)
    notes: Sequence[str] = ()
    aside: Sequence[str] = ()
    resamples: int = RESAMPLES
    permutations: int = PERMUTATIONS
    journals: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)
    upper_bound: str = ""


@dataclasses.dataclass(frozen=True)
class Findings:
    """What a report finds out about its systems.

    Attributes:
      summaries: scores by system key.
      tests: of the first system against each other one, by key of the other.
      option_order: option-order consistency by system key, for those with journals.
    """

    summaries: Mapping[str, Summary]
    tests: Mapping[str, PairedTests]
    option_order: Mapping[str, Sequence[Consistency]]


def find(report: Report) -> Findings:
    """Summarises and tests the systems of a report.

    Raises:
      ValueError: there is no system, one lacks a cluster of the first, or the upper bound is none
        of them.
      JournalError: a journal is missing or damaged.
    """
    summaries = summarise_systems(report)
    if report.upper_bound and report.upper_bound not in summaries:
        raise ValueError(
            f"Report.upper_bound={report.upper_bound!r} is no system; there are "
            f"{', '.join(summaries)}"
        )
    (_, subject), *others = report.systems.items()
    tests = {
        key: paired.compare(subject, runs, report.permutations, report.resamples)
        for key, runs in others
    }
    order = {
        key: option_order.of_results(first_seed(runs), report.journals[key], report.resamples)
        for key, runs in report.systems.items()
        if key in report.journals
    }
    return Findings(summaries, tests, order)


def first_seed(runs: Results | Sequence[Results]) -> Results:
    """The results of a system's only, or first, seed."""
    return runs if isinstance(runs, Results) else runs[0]


def summarise_systems(report: Report) -> dict[str, Summary]:
    """The summary of each system, by system key; every system must have the subject's clusters."""
    if not report.systems:
        raise ValueError(f"report {report.title!r}: expected at least one system, got none")
    summaries = {key: summarise(runs, report.resamples) for key, runs in report.systems.items()}
    subject = next(iter(summaries.values()))
    for key, summary in summaries.items():
        if missing := [name for name in subject.clusters if name not in summary.clusters]:
            raise ValueError(
                f"system {key!r} has no score for cluster(s) {', '.join(missing)}; evaluate it on "
                "the caches of the first system"
            )
    return summaries


def label(key: str) -> str:
    """The readable name of a system key."""
    return LABELS.get(key, key)


def percent(value: float) -> str:
    """A score in points with one decimal: `percent(0.4567)` is "45.7"."""
    return "–" if math.isnan(value) else f"{100 * value:.1f}"


def verdict(report: Report, summaries: Mapping[str, Summary]) -> list[str]:
    """What was found, in plain sentences, the caveats included."""
    key, subject = next(iter(summaries.items()))
    sentences = []
    for role, title in (("test", "held-out test"), ("dev", "held-out development")):
        names = [name for name, cluster in subject.clusters.items() if cluster.role == role]
        kept = [name for name in names if name not in report.aside]
        if names:
            sentences.append(_compare(key, summaries, names, f"On the {title} clusters"))
            break
    else:
        names = kept = list(subject.clusters)
        sentences.append("No cluster was held out, so this says nothing about generalisation.")
        sentences.append(_compare(key, summaries, names, "On the trained clusters"))
    if kept and kept != names:
        without = " and ".join(name for name in names if name not in kept)
        sentences.append(_compare(key, summaries, kept, f"Without {without}"))
    sentences += _adjusted(report, summaries, names)
    sentences += _undistinguished(subject, names)
    sentences.append(_caveat(subject, names))
    return sentences + list(report.notes)


def _compare(key: str, summaries: Mapping[str, Summary], names: list[str], where: str) -> str:
    subject = summaries[key]
    score = subject.mean(names)
    chance = float(np.mean([subject.clusters[name].chance for name in names]))
    majority = float(np.mean([subject.clusters[name].majority for name in names]))
    others = {name: summary.mean(names) for name, summary in summaries.items() if name != key}
    parts = [_against(score - chance, "chance", chance)]
    parts += [_against(score - other, label(name), other.value) for name, other in others.items()]
    if not math.isnan(majority):
        parts.append(_against(score - majority, "the most frequent answer", majority))
    low, high = score.interval
    subject_name = f"the {label(key)} model" if key in LABELS else key
    return (
        f"{where} ({', '.join(names)}), {subject_name} scores {percent(score.value)} on average "
        f"(95% interval {percent(low)} to {percent(high)}): {'; '.join(parts)}."
    )


def _against(difference: Score, other: str, value: float) -> str:
    """A difference with its interval; says so where the interval includes zero."""
    low, high = difference.interval
    if low <= 0.0 <= high:
        return (
            f"not distinguishable from {other} ({percent(value)}; the difference is "
            f"{100 * difference.value:+.1f} points, interval {100 * low:+.1f} to {100 * high:+.1f})"
        )
    low, high = sorted((abs(low), abs(high)))
    side = "above" if difference.value > 0 else "below"
    return (
        f"{percent(abs(difference.value))} points ({percent(low)} to {percent(high)}) {side} "
        f"{other} ({percent(value)})"
    )


def _adjusted(report: Report, summaries: Mapping[str, Summary], names: list[str]) -> list[str]:
    """What the mean is with chance taken out, and of the way to the upper bound."""
    key, subject = next(iter(summaries.items()))
    score = chance_adjusted.mean_score(subject, names)
    if score is None:
        return []
    low, high = score.interval
    sentence = (
        f"With chance taken out, task by task, the mean is {percent(score.value)} "
        f"({percent(low)} to {percent(high)})"
    )
    bound = report.upper_bound
    upper = chance_adjusted.mean_score(summaries[bound], names) if bound else None
    if upper is None or bound == key or upper.interval[0] <= 0.0:
        return [sentence + "."]
    share = 100 * score.value / upper.value
    return [
        f"{sentence}, which is {share:.0f}% of the upper bound's ({label(bound)}: "
        f"{percent(upper.value)})."
    ]


def _undistinguished(subject: Summary, names: Sequence[str]) -> list[str]:
    at_chance = [
        name
        for name in names
        if (gap := (subject.clusters[name].score - subject.clusters[name].chance).interval)[0]
        <= 0.0
        <= gap[1]
    ]
    if not at_chance:
        return []
    return [f"The interval includes chance in: {', '.join(at_chance)}."]


def _caveat(subject: Summary, names: Sequence[str]) -> str:
    clusters = [subject.clusters[name] for name in names]
    seeds = np.mean([cluster.seeds for cluster in clusters], axis=0)
    count = sum(cluster.n for cluster in clusters)
    sentence = f"Intervals resample the {count:,} source examples"
    if len(seeds) == 1:
        return sentence + "; they come from one training seed and do not show how seeds vary."
    return sentence + f"; the {len(seeds)} seeds scored {', '.join(map(percent, seeds))}."
