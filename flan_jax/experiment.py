"""An experiment: caches, a chain of training runs, zero-shot scores of each, one report.

Each stage trains one model ("pretrained", "tuned", a control ...) and is scored on the same
caches. Everything is kept under `output_dir`; the same command goes on where an earlier one was
stopped, and what is complete costs nothing.

    <output_dir>/caches/             unless CacheRun.cache_dir says otherwise
    <output_dir>/seed0/<stage>/      the training run, ledger.json, and results-<form>.json
    <output_dir>/prompts/            what was asked, a file a cache
    <output_dir>/report.{html,json}
"""

import dataclasses
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import jax

from flan_jax import storage
from flan_jax.data import ledger
from flan_jax.data.mixture import open_mixture
from flan_jax.data.preparation import CacheRun, prepare_in_subprocess
from flan_jax.evaluation import journal, report, results
from flan_jax.evaluation.evaluate import EvaluationConfig, evaluate
from flan_jax.evaluation.results import Results
from flan_jax.parallel.mesh import make_mesh
from flan_jax.train import checkpoint, loop, run_folder, run_ledger
from flan_jax.train.run import TrainRun


@dataclasses.dataclass(frozen=True)
class Stage:
    """One model of an experiment.

    Attributes:
      name: its name in the report; `flan_jax.evaluation.comparison.LABELS` has readable ones.
      mixture: SeqIO mixture that it is trained on.
      train: the training run; the experiment sets its folder, mixture and seed.
      init_from: name of the earlier stage whose weights it starts from; empty for those of
        `train.init_from`, or random ones.
      scored_forms: prompt forms it is scored in; of several, the best for each cluster counts.
      sees_held_out: trains on held-out clusters on purpose (the ceiling).
    """

    name: str
    mixture: str
    train: TrainRun
    init_from: str = ""
    scored_forms: tuple[str, ...] = ("zero_shot",)
    sees_held_out: bool = False


@dataclasses.dataclass(frozen=True)
class Experiment:
    """The root of the configuration of `scripts/experiment.py`.

    Attributes:
      title: heading of the report.
      output_dir: folder of all that is written.
      caches: what to cache; the experiment adds its mixtures, clusters and forms.
      stages: in the order in which they are trained.
      subject: the stage that the report is about.
      evaluation: how models are scored.
      test_clusters: held out, and reported.
      dev_clusters: held out, and used for choices.
      trained_clusters: trained on, and scored.
      aside: test clusters without which the mean is given as well.
      seeds: each one repeats all stages.
    """

    title: str
    output_dir: str
    caches: CacheRun
    stages: tuple[Stage, ...]
    evaluation: EvaluationConfig
    subject: str = "tuned"
    test_clusters: tuple[str, ...] = ()
    dev_clusters: tuple[str, ...] = ()
    trained_clusters: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)

    def __post_init__(self):
        names = [stage.name for stage in self.stages]
        if len({*names}) < len(names):
            raise ValueError(f"Experiment.stages: each needs a name of its own; they are {names}")
        if self.subject not in names:
            raise ValueError(f"Experiment.subject={self.subject!r} is no stage; there are {names}")
        for i, stage in enumerate(self.stages):
            if stage.init_from and stage.init_from not in names[:i]:
                raise ValueError(
                    f"stage {stage.name!r} starts from {stage.init_from!r}, which is no earlier "
                    f"stage; before it come {names[:i]}"
                )

    @property
    def roles(self) -> dict[str, str]:
        """Role of each cluster that is scored."""
        return {
            **dict.fromkeys(self.test_clusters, "test"),
            **dict.fromkeys(self.dev_clusters, "dev"),
            **dict.fromkeys(self.trained_clusters, "trained"),
        }


class Interrupted(RuntimeError):
    """A signal ended a training run; it is saved, and the same command goes on."""


def run(experiment: Experiment, configuration: str) -> dict:
    """Runs what is not complete yet, and writes the report.

    Args:
      experiment: what to run.
      configuration: its text, shown in the report.

    Returns:
      The content of `report.json`.

    Raises:
      ValueError: a stage that must not trains on a held-out cluster.
      Interrupted: a signal came while a stage was training.
    """
    seconds = _Seconds(storage.path(experiment.output_dir))
    with seconds.measure("caches"):
        prepared = prepare_in_subprocess(_all_caches(experiment))
    for stage in experiment.stages:
        _check_held_out(experiment, stage, prepared["mixtures"][stage.mixture])
    systems = {
        stage.name: [
            _run_stage(experiment, stage, seed, prepared, seconds) for seed in experiment.seeds
        ]
        for stage in experiment.stages
    }
    subject = {experiment.subject: systems.pop(experiment.subject)}
    first = _folder(experiment, experiment.seeds[0])
    shown = report.Report(
        title=experiment.title,
        systems=subject | systems,
        seconds=seconds.phases,
        curves={
            stage.name: report.read_curve(str(first / stage.name / "metrics.jsonl"))
            for stage in experiment.stages
        },
        ledgers={
            stage.name: ledger.to_json(run_ledger.read(str(first / stage.name)))
            for stage in experiment.stages
        },
        configuration={"effective configuration": configuration},
        notes=_notes(experiment),
        aside=experiment.aside,
        journals={
            stage.name: journal.files(str(first / stage.name)) for stage in experiment.stages
        },
        upper_bound=_upper_bound(experiment),
    )
    return report.write(shown, experiment.output_dir)


def _all_caches(experiment: Experiment) -> CacheRun:
    """The experiment's caches: the mixtures of its stages, and what is scored."""
    forms = [form for stage in experiment.stages for form in stage.scored_forms]
    return dataclasses.replace(
        experiment.caches,
        mixtures=tuple(dict.fromkeys(stage.mixture for stage in experiment.stages)),
        scored_clusters=tuple(experiment.roles),
        scored_forms=tuple(dict.fromkeys(forms)),
    )


def _check_held_out(experiment: Experiment, stage: Stage, mixture: str) -> None:
    """Refuses a training mixture that holds a task of a held-out cluster."""
    held_out = {*experiment.test_clusters, *experiment.dev_clusters}
    for member in open_mixture(mixture).members:
        cluster = member.cache.manifest["cluster"]
        if cluster in held_out and not stage.sees_held_out:
            raise ValueError(
                f"stage {stage.name!r} trains on {member.task!r} of the held-out cluster "
                f"{cluster!r}: take it out of mixture {stage.mixture!r}, or set "
                "Stage.sees_held_out if that is the point of it"
            )


def _run_stage(
    experiment: Experiment, stage: Stage, seed: int, prepared: dict, seconds: "_Seconds"
) -> Results:
    """Trains a stage for one seed and scores it in each of its prompt forms."""
    folder = _folder(experiment, seed)
    init_from = str(folder / stage.init_from) if stage.init_from else stage.train.init_from
    train = dataclasses.replace(
        stage.train,
        output_dir=str(folder / stage.name),
        mixture=prepared["mixtures"][stage.mixture],
        seed=seed,
        init_from=init_from,
    )
    with seconds.measure(f"{stage.name}, seed {seed}: training"):
        if loop.train(train).interrupted:
            raise Interrupted(f"stage {stage.name!r}, seed {seed}, is saved; run the same again")
    candidates = []
    for form in stage.scored_forms:
        with seconds.measure(f"{stage.name}, seed {seed}: scoring {form}"):
            caches = prepared["evaluation"][form]
            candidates.append(_score(experiment, stage.name, train, form, caches))
    return results.best_of(stage.name, candidates)


def _score(
    experiment: Experiment, system: str, train: TrainRun, form: str, caches: Sequence[str]
) -> Results:
    """Scores a trained stage, unless the same weights were scored on the same caches before."""
    target = storage.path(train.output_dir) / f"results-{form}.json"
    facts = {
        "form": form,
        "seed": train.seed,
        "steps": train.steps,
        "caches": sorted(storage.path(cache).name for cache in caches),
        "settings": dataclasses.asdict(experiment.evaluation),
    }
    facts = json.loads(json.dumps(facts))  # as a file has them: tuples become lists
    if target.exists():
        scored = results.load(str(target))
        if {**scored.facts} == facts and scored.roles == experiment.roles:
            return scored
    mesh = make_mesh(train.mesh)
    with jax.set_mesh(mesh):
        params, weights = checkpoint.load_identified(train.output_dir, train.model, mesh)
        vocabulary = run_folder.read_vocabulary(train.output_dir)
        scored = evaluate(
            train.model,
            params,
            caches,
            experiment.evaluation,
            decode=vocabulary.decode,
            output_dir=train.output_dir,
            prompts_dir=f"{experiment.output_dir}/prompts",
            system=system,
            roles=experiment.roles,
            facts=facts,
            weights=weights,
            vocabulary=vocabulary.digest,
        )
    results.save(scored, str(target))
    return scored


def _notes(experiment: Experiment) -> list[str]:
    subject = next(stage for stage in experiment.stages if stage.name == experiment.subject)
    if subject.init_from or subject.train.init_from:
        return []
    return [
        "The model was trained on instructions from random weights, without pretraining: scores "
        "about chance are what is to be expected, and they say nothing about instruction tuning."
    ]


def _upper_bound(experiment: Experiment) -> str:
    """The last stage that was trained on what the others were not; empty if there is none."""
    names = [stage.name for stage in experiment.stages if stage.sees_held_out]
    return names[-1] if names else ""


def _folder(experiment: Experiment, seed: int) -> storage.AnyPath:
    return storage.path(experiment.output_dir) / f"seed{seed}"


class _Seconds:
    """Wall time of each phase, summed over the commands that it took to complete it."""

    def __init__(self, folder: storage.AnyPath):
        self._file = folder / "seconds.json"

    @property
    def phases(self) -> dict[str, float]:
        """Seconds by phase, in the order in which phases were begun."""
        return json.loads(self._file.read_text()) if self._file.exists() else {}

    @contextmanager
    def measure(self, phase: str) -> Iterator[None]:
        """Adds the time that the block takes."""
        start = time.monotonic()
        try:
            yield
        finally:
            # Read again: another process may be running other seeds of the same experiment.
            phases = self.phases
            phases[phase] = round(phases.get(phase, 0.0) + time.monotonic() - start, 1)
            self._file.parent.mkdir(parents=True, exist_ok=True)
            storage.write_atomically(self._file, json.dumps(phases).encode())
