"""An evaluation: caches in, scored examples and results out."""

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence

import jax

import flan_jax
from flan_jax import storage
from flan_jax.evaluation import examples as examples_module
from flan_jax.evaluation import journal, prompt_files, report
from flan_jax.evaluation.examples import ExampleSet
from flan_jax.evaluation.predictions import (
    Decode,
    EvaluationConfig,
    influences,
    iterate_predictions,
)
from flan_jax.evaluation.progress import progress_bar
from flan_jax.evaluation.results import Results, TaskScores, save
from flan_jax.evaluation.tally import Tally
from flan_jax.model.config import ModelConfig
from flan_jax.model.layers import Params
from flan_jax.parallel.digest import params_digest
from flan_jax.parallel.mesh import MeshConfig

__all__ = [
    "Decode", "EvaluateRun", "EvaluationConfig", "evaluate", "evaluate_run", "score_set",
]  # fmt: skip

# Settings of a model that change how its scores are computed, but not which they are.
_HOW_ONLY = ("remat", "scan_layers", "dropout_rate", "attention_dropout_rate")


@dataclasses.dataclass(frozen=True)
class EvaluateRun:
    """One evaluation, the root of its configuration.

    Attributes:
      checkpoint: a training run's folder, or one checkpoint in it.
      caches: folders of evaluation caches, or lists of them (`<cache_dir>/<collection>.json`).
      output_dir: where prompts, journal, results and report go. What the journal there holds is
        not scored again.
      form: prompt form that is taken from lists.
      step: which checkpoint of the run; None for the latest.
      settings: how examples are scored.
      mesh: devices along each mesh axis.
      system: key of the results' column in reports.
      test_clusters: held-out clusters that are reported.
      dev_clusters: held-out clusters on which choices were made; all others count as trained.
      local_dir: where remote caches are staged.
      notes: sentences to add to the report's verdict.
    """

    checkpoint: str
    caches: Sequence[str]
    output_dir: str
    form: str = "zero_shot"
    step: int | None = None
    settings: EvaluationConfig = EvaluationConfig()
    mesh: MeshConfig = MeshConfig()
    system: str = "tuned"
    test_clusters: Sequence[str] = ()
    dev_clusters: Sequence[str] = ()
    local_dir: str = "cache"
    notes: Sequence[str] = ()

    @property
    def roles(self) -> dict[str, str]:
        """Role of each held-out cluster."""
        dev = dict.fromkeys(self.dev_clusters, "dev")
        return dev | dict.fromkeys(self.test_clusters, "test")


def evaluate_run(
    run: EvaluateRun,
    config: ModelConfig,
    params: Params,
    decode: Decode,
    configuration: Mapping[str, str] | None = None,
    weights: str | None = None,
    vocabulary: str | None = None,
) -> Results:
    """Scores a model; writes prompts/, journal/, results.json, report.json, report.html.

    Args:
      run: what to score and where to write.
      config: the model of the checkpoint.
      params: its parameters.
      decode: token ids to text.
      configuration: texts to show in the report, by heading.
      weights: digest of the parameters; None to compute it.
      vocabulary: digest of the model's vocabulary; None where none is known.
    """
    weights = weights or params_digest(params)
    facts = {"checkpoint": run.checkpoint, "step": run.step, "weights": weights}
    results = evaluate(
        config,
        params,
        examples_module.expand(run.caches, run.form),
        run.settings,
        decode=decode,
        output_dir=run.output_dir,
        prompts_dir=f"{run.output_dir}/prompts",
        system=run.system,
        roles=run.roles,
        facts=facts | dataclasses.asdict(run.settings),
        local_dir=run.local_dir,
        weights=weights,
        vocabulary=vocabulary,
    )
    if jax.process_index() == 0:
        save(results, f"{run.output_dir}/results.json")
        shown = report.Report(
            title=f"Evaluation of {run.checkpoint}",
            systems={run.system: results},
            seconds={"evaluation": results.seconds},
            configuration=configuration or {},
            notes=(*run.notes, *_unknown_clusters(run, results)),
            journals={run.system: journal.files(run.output_dir)},
        )
        report.write(shown, run.output_dir)
    return results


def _unknown_clusters(run: EvaluateRun, results: Results) -> list[str]:
    """Says which clusters are called held out that nothing was scored of: one may be misspelt."""
    scored = {task.cluster for task in results.tasks}
    return [
        f"Nothing was scored of {name!r}, which is named as a {role} cluster; the caches are of "
        f"{', '.join(sorted(scored))}."
        for name, role in run.roles.items()
        if name not in scored
    ]


def evaluate(
    config: ModelConfig,
    params: Params,
    caches: Sequence[str],
    settings: EvaluationConfig = EvaluationConfig(),  # noqa: B008 (frozen)
    decode: Decode | None = None,
    output_dir: str | None = None,
    progress: bool = True,
    *,
    system: str = "tuned",
    roles: Mapping[str, str] | None = None,
    facts: Mapping[str, object] | None = None,
    local_dir: str = "cache",
    prompts_dir: str | None = None,
    weights: str | None = None,
    vocabulary: str | None = None,
) -> Results:
    """Scores a model on evaluation caches.

    Args:
      config: the model.
      params: its parameters, on the mesh of `jax.set_mesh` if there is one.
      caches: folders of evaluation caches, at least one.
      settings: how examples are scored.
      decode: token ids to text; needed for caches whose answers are generated.
      output_dir: folder of the journal (`flan_jax.evaluation.journal`), which gets each example as
        it is scored. What it holds already is not scored again. None for no journal.
      progress: whether to show a progress bar on a terminal.
      system: key of the results' column in reports.
      roles: "test", "dev" or "trained" for each cluster; clusters it lacks count as trained.
      facts: what else to record with the results.
      local_dir: where remote caches are staged.
      prompts_dir: folder that gets a file of prompts for each cache; None for none.
      weights: digest of the parameters (`parallel.digest`), for the journal; None to compute it.
      vocabulary: digest of the model's vocabulary, which caches must be of; None to believe it.

    Raises:
      CacheError: a cache is missing or damaged.
      JournalError: a journal is damaged, or another process is writing it.
      ValueError: there are no caches, one does not fit the model or has no examples, a metric is
        unknown, a score is not finite, or calibrated scores are asked for and a cache has no
        content-free prompts.
    """
    if not caches:
        raise ValueError("expected at least one evaluation cache, got none; build ':rank' caches")
    local = [str(storage.stage(path, local_dir)) for path in caches]
    free = settings.needs_content_free
    for path in local if free else ():  # before any is scored
        examples_module.check_content_free(path)
    for path in local if vocabulary else ():
        examples_module.check_vocabulary(path, vocabulary)
    total = sum(examples_module.count_rows(path, settings.max_examples) for path in local)
    primary = jax.process_index() == 0
    start = time.monotonic()
    if output_dir is not None:
        weights = weights or params_digest(params)
    scored = []
    with progress_bar(total, progress and primary) as advance:
        for path in local:
            examples = examples_module.load(path, settings.max_examples, content_free=free)
            if prompts_dir and primary:
                prompt_files.write(examples, prompts_dir)
            where = output_dir, weights
            scored.append(score_set(config, params, examples, settings, decode, *where, advance))
    all_roles = {task.cluster: (roles or {}).get(task.cluster, "trained") for task in scored}
    return Results(
        system=system,
        tasks=tuple(scored),
        roles=all_roles,
        seconds=time.monotonic() - start,
        facts=dict(facts or {}),
    )


def score_set(
    config: ModelConfig,
    params: Params,
    examples: ExampleSet,
    settings: EvaluationConfig,
    decode: Decode | None = None,
    output_dir: str | None = None,
    weights: str | None = None,
    advance: Callable[[str, int], None] = lambda name, count: None,
) -> TaskScores:
    """Scores the examples of one task.

    Args:
      config: the model.
      params: its parameters.
      examples: at least one, see `examples.check`.
      settings: how examples are scored.
      decode: token ids to text; needed if answers are generated.
      output_dir: folder of the journal, or None.
      weights: digest of the parameters, for the journal.
      advance: called with the task's name and the number of examples just scored.
    """
    tally = Tally(examples)
    prompts = prompt_files.digest(examples)
    identity = _identity(config, examples, settings, prompts, weights)
    with journal.begin(output_dir, examples.name, identity) as log:
        keys = [(example.example, example.template) for example in examples.examples]
        done = {at: log.answers[key] for at, key in enumerate(keys) if key in log.answers}
        for position, answer in done.items():
            tally.add(position, answer)
        advance(examples.name, len(done))
        every = config, params, examples, settings, decode, done
        for positions, answers in iterate_predictions(*every):
            new = [pair for pair in zip(positions, answers, strict=True) if pair[0] not in done]
            log.append([tally.add(position, answer) for position, answer in new])
            advance(examples.name, len(new))
    return tally.scores(prompts)


def _identity(
    config: ModelConfig,
    examples: ExampleSet,
    settings: EvaluationConfig,
    prompts: str,
    weights: str | None,
) -> dict[str, object]:
    """All that the scores depend on; neither the batch size nor the mesh is of them."""
    # Without defaults: a field that is new has as its default what was computed before it was.
    model = {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(config)
        if field.name not in _HOW_ONLY and getattr(config, field.name) != field.default
    }
    return {
        "version": flan_jax.__version__,
        "cache": examples.cache,
        "prompts": prompts,
        "templates": _digest(examples.templates),
        "vocabulary": examples.vocabulary,
        "weights": weights,
        "model": _digest(model),
        "metrics": list(examples.metrics),
        "settings": influences(examples, settings),
    }


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
