"""From scored examples to task, cluster and role scores with bootstrap intervals.

A task's score is the mean over its templates, a cluster's the mean over its tasks, a role's (test,
dev, trained) the mean over its clusters (Wei et al., 2022, section 2). Intervals resample source
examples, not renderings: the ten templates of one example stand or fall together, and so do the
examples of a group where a metric knows groups (MultiRC's questions). Draw r of a task uses the
same resampled examples for every system, so differences between systems are paired.

Axes: N source examples of a task, T templates, K statistics of a metric, R bootstrap resamples.
"""

import dataclasses
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from flan_jax import storage
from flan_jax.evaluation import metrics

ROLES = ("test", "dev", "trained")
RESAMPLES = 1000
_CHUNK = 4_000_000  # entries of a [R, N] weight matrix drawn at a time: 32 MB


@dataclasses.dataclass(frozen=True)
class TaskScores:
    """Every example's statistics for one task under one system.

    Attributes:
      name: the cached task, e.g. "rte:zero_shot:rank".
      task: the declared task, e.g. "rte".
      cluster: the cluster it belongs to.
      metrics: names of the metrics; the first is the headline.
      templates: the templates' texts, in the order of axis T.
      examples: source indices, in the order of axis N.
      statistics: for each metric float64 [N, T, K]; NaN where a template did not render an example.
      chance: expected score of picking an option at random; 0 for free generation.
      majority: score of always giving the most frequent answer text; NaN where references are no
        answers, as IFEval's are not.
      samples: a few scored examples to show.
      cache: name of the cache that was scored.
      left_out: what the cache could not hold (see `examples.ExampleSet`), by kind.
      prompts: SHA-256 of the prompts, see `flan_jax.evaluation.prompt_files`; hexadecimal.
    """

    name: str
    task: str
    cluster: str
    metrics: tuple[str, ...]
    templates: tuple[str, ...]
    examples: tuple[int, ...]
    statistics: Mapping[str, Float[np.ndarray, "N T K"]]
    chance: float
    majority: float
    samples: tuple[dict, ...] = ()
    cache: str = ""
    left_out: Mapping[str, int] = dataclasses.field(default_factory=dict)
    prompts: str = ""


@dataclasses.dataclass(frozen=True)
class Results:
    """What one system (one set of weights, one prompt form) scored.

    Attributes:
      system: label of the column it fills, e.g. "tuned".
      tasks: one entry a scored cache.
      roles: role of each cluster: "test", "dev" or "trained".
      seconds: wall time of the evaluation.
      facts: whatever else should be on record: checkpoint, step, seed, settings.
    """

    system: str
    tasks: tuple[TaskScores, ...]
    roles: Mapping[str, str]
    seconds: float = 0.0
    facts: Mapping[str, object] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Score:
    """A score from 0 to 1 (a difference from -1 to 1) with its bootstrap draws.

    Attributes:
      value: the score of the examples as they are.
      draws: float64 [R], the score of each resample.
    """

    value: float
    draws: Float[np.ndarray, " R"]

    @property
    def interval(self) -> tuple[float, float]:
        """The central 95% of the draws."""
        low, high = np.quantile(self.draws, (0.025, 0.975))
        return float(low), float(high)

    def __sub__(self, other: "Score | float") -> "Score":
        if isinstance(other, Score):
            return Score(self.value - other.value, self.draws - other.draws)
        return Score(self.value - other, self.draws - other)


@dataclasses.dataclass(frozen=True)
class TaskSummary:
    """A task's score over its templates, averaged over seeds.

    Attributes:
      scores: the task as it was scored, for the first seed.
      score: mean over templates.
      templates: score of each template; NaN for one that rendered no example.
      spread: standard deviation over templates (mean over seeds).
      others: score under the metrics that are not the headline.
      seeds: the score for each seed.
    """

    scores: TaskScores
    score: Score
    templates: tuple[float, ...]
    spread: float
    others: Mapping[str, float]
    seeds: tuple[float, ...]

    @property
    def n(self) -> int:
        return len(self.scores.examples)

    @property
    def best(self) -> int:
        """Index of the template with the highest score."""
        return int(np.nanargmax(self.templates))

    @property
    def worst(self) -> int:
        """Index of the template with the lowest score."""
        return int(np.nanargmin(self.templates))


@dataclasses.dataclass(frozen=True)
class ClusterSummary:
    """A cluster's score: the mean over its tasks; `n` counts source examples of all of them."""

    name: str
    role: str
    score: Score
    tasks: tuple[TaskSummary, ...]
    seeds: tuple[float, ...]

    def named_tasks(self) -> dict[str, TaskSummary]:
        """The tasks by name, or by cached name where one task was scored in several forms."""
        names = [task.scores.task for task in self.tasks]
        return {
            task.scores.name if names.count(name) > 1 else name: task
            for name, task in zip(names, self.tasks, strict=True)
        }

    @property
    def n(self) -> int:
        return sum(task.n for task in self.tasks)

    @property
    def chance(self) -> float:
        return float(np.mean([task.scores.chance for task in self.tasks]))

    @property
    def majority(self) -> float:
        """The mean over tasks; NaN where one has none, as it then compares with no score."""
        return float(np.mean([task.scores.majority for task in self.tasks]))


@dataclasses.dataclass(frozen=True)
class Summary:
    """One system over all clusters and seeds; clusters in the order test, dev, trained."""

    system: str
    clusters: Mapping[str, ClusterSummary]

    def mean(self, clusters: Iterable[str] | None = None, role: str | None = None) -> Score | None:
        """The mean over the named clusters (default: all), or those of a role; None if none."""
        names = self.clusters if clusters is None else clusters
        chosen = [self.clusters[name] for name in names if name in self.clusters]
        scores = [cluster.score for cluster in chosen if role in (None, cluster.role)]
        return mean(scores) if scores else None


def mean(scores: Sequence[Score]) -> Score:
    """The unweighted mean of scores, draw by draw."""
    return Score(
        float(np.mean([score.value for score in scores])),
        np.mean([score.draws for score in scores], axis=0),
    )


def template_scores(task: TaskScores, metric: str = "") -> Float[np.ndarray, " T"]:
    """The score of each template, NaN where it rendered nothing; metric: default the headline."""
    weights = np.ones((1, len(task.examples)))
    return weighted_scores(task, metric or task.metrics[0], weights)[0]


def task_score(task: TaskScores, resamples: int = RESAMPLES, seed: int = 0) -> Score:
    """The headline score of a task, the mean over templates, with its bootstrap draws.

    Args:
      task: scored examples.
      resamples: R, the number of bootstrap draws.
      seed: of the draws; equal seeds draw the same examples for every system.
    """
    metric, units = task.metrics[0], resampling_units(task)
    count = int(units.max()) + 1
    generator = np.random.default_rng([seed, zlib.crc32(task.task.encode()), count])
    draws = []
    for size in chunk_sizes(resamples, len(units)):
        drawn = generator.multinomial(count, np.full(count, 1 / count), size=size)
        weights = drawn.astype(np.float64)
        if count < len(units):
            weights = weights[:, units]
        draws.append(mean_over_templates(weighted_scores(task, metric, weights)))
    value = float(mean_over_templates(template_scores(task)[None])[0])
    return Score(value, np.concatenate(draws))


def chunk_sizes(total: int, examples: int) -> list[int]:
    """Splits this many draws into chunks whose weights over the examples fit in memory."""
    chunk = max(1, _CHUNK // max(examples, 1))
    return [min(chunk, total - start) for start in range(0, total, chunk)]


def weighted_scores(
    task: TaskScores, metric: str, weights: Float[np.ndarray, "R N"]
) -> Float[np.ndarray, "R T"]:
    """Each template's score with each example counted as often as its weight says.

    Args:
      task: scored examples.
      metric: name of one of the task's metrics.
      weights: at least 0; of draw r for example n.

    Returns:
      From 0 to 1; NaN where a draw has no example that the template rendered.
    """
    statistics = np.asarray(task.statistics[metric], np.float64)
    found = metrics.lookup(metric, task.name)
    columns = [found.score(statistics[:, i], weights) for i in range(statistics.shape[1])]
    return np.stack(columns, axis=1)


def resampling_units(task: TaskScores) -> Int[np.ndarray, " N"]:
    """What is drawn together, such as the candidates of a question: a number from 0 an example."""
    chosen = [metrics.lookup(name, task.name) for name in task.metrics]
    return metrics.resampling_units(chosen, task.statistics)


def mean_over_templates(scores: Float[np.ndarray, "R T"]) -> Float[np.ndarray, " R"]:
    """The mean over the templates that rendered something; 0 where none did."""
    present = ~np.isnan(scores)
    return np.where(present, scores, 0.0).sum(1) / np.maximum(present.sum(1), 1)


def summarise(
    runs: Results | Sequence[Results], resamples: int = RESAMPLES, seed: int = 0
) -> Summary:
    """The scores of one system, averaged over its seeds.

    Args:
      runs: one `Results`, or one for each seed, of the same caches.
      resamples: number of bootstrap draws.
      seed: of the draws.

    Raises:
      ValueError: there are no runs, the runs scored different tasks, or a cluster has no role.
    """
    runs = [runs] if isinstance(runs, Results) else list(runs)
    if not runs:
        raise ValueError("expected the results of at least one run, got none")
    _check_same_tasks(runs)
    first = runs[0]
    columns = [[run.tasks[i] for run in runs] for i in range(len(first.tasks))]
    tasks = [_summarise_task(column, resamples, seed) for column in columns]
    names = sorted({task.scores.cluster for task in tasks}, key=_role_order(first))
    clusters = {}
    for name in names:
        members = tuple(task for task in tasks if task.scores.cluster == name)
        seeds = tuple(np.mean([task.seeds for task in members], axis=0).tolist())
        score = mean([task.score for task in members])
        clusters[name] = ClusterSummary(name, first.roles[name], score, members, seeds)
    return Summary(first.system, clusters)


def _check_same_tasks(runs: Sequence[Results]) -> None:
    """Seeds of a system must have scored the same tasks, in whichever prompt form."""
    expected = [(task.task, len(task.templates)) for task in runs[0].tasks]
    for run in runs[1:]:
        if (found := [(task.task, len(task.templates)) for task in run.tasks]) != expected:
            raise ValueError(
                f"the seeds of system {runs[0].system!r} scored different (task, templates): "
                f"{expected} and {found}; evaluate every seed on the same caches in one order"
            )


def _role_order(results: Results):
    order = list(dict.fromkeys(task.cluster for task in results.tasks))
    for name in order:
        if results.roles.get(name) not in ROLES:
            raise ValueError(
                f"cluster {name!r} of system {results.system!r} has role "
                f"{results.roles.get(name)!r}; expected one of {', '.join(ROLES)}"
            )
    return lambda name: (ROLES.index(results.roles[name]), order.index(name))


def _summarise_task(column: Sequence[TaskScores], resamples: int, seed: int) -> TaskSummary:
    scores = [task_score(task, resamples, seed) for task in column]
    by_template = np.array([template_scores(task) for task in column])
    others = {
        name: float(np.mean([np.nanmean(template_scores(task, name)) for task in column]))
        for name in column[0].metrics[1:]
    }
    return TaskSummary(
        scores=column[0],
        score=mean(scores),
        templates=tuple(by_template.mean(axis=0).tolist()),
        spread=float(np.nanstd(by_template, axis=1).mean()),
        others=others,
        seeds=tuple(score.value for score in scores),
    )


def best_of(system: str, candidates: Sequence[Results]) -> Results:
    """For each cluster the candidate with the higher score, as one system.

    Used for a baseline that may be prompted in several ways (options shown or not): taking the
    better one for each cluster favours the baseline.

    Args:
      system: label of the result.
      candidates: results of the same tasks in different prompt forms.
    """
    summaries = [summarise(candidate, resamples=1) for candidate in candidates]
    tasks = []
    for cluster in summaries[0].clusters:
        values = [summary.clusters[cluster].score.value for summary in summaries]
        chosen = candidates[int(np.argmax(values))]
        tasks += [task for task in chosen.tasks if task.cluster == cluster]
    return dataclasses.replace(
        candidates[0],
        system=system,
        tasks=tuple(tasks),
        seconds=sum(candidate.seconds for candidate in candidates),
    )


def save(results: Results, path: str) -> None:
    """Writes results as JSON, every example's statistics included, so that they can be merged."""
    tasks = [_task_to_json(task) for task in results.tasks]
    record = {
        "system": results.system,
        "roles": dict(results.roles),
        "seconds": results.seconds,
        "facts": dict(results.facts),
        "tasks": tasks,
    }
    text = json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"
    storage.write_atomically(path, text.encode())


def load(path: str) -> Results:
    """Reads what `save` wrote."""
    record = json.loads(storage.path(path).read_bytes())
    tasks = tuple(_task_from_json(task) for task in record.pop("tasks"))
    return Results(tasks=tasks, **record)


def _task_to_json(task: TaskScores) -> dict:
    record = {field.name: getattr(task, field.name) for field in dataclasses.fields(task)}
    statistics = {
        name: np.where(np.isnan(values), None, values.astype(object)).tolist()
        for name, values in task.statistics.items()
    }
    majority = None if np.isnan(task.majority) else task.majority
    return {**record, "majority": majority, "statistics": statistics}


def _task_from_json(record: dict) -> TaskScores:
    statistics = {
        name: np.array(values, dtype=np.float64) for name, values in record["statistics"].items()
    }
    majority = float("nan") if record["majority"] is None else record["majority"]
    listed = ("metrics", "templates", "examples", "samples")
    tuples = {name: tuple(record[name]) for name in listed}
    return TaskScores(**{**record, **tuples, "majority": majority, "statistics": statistics})
