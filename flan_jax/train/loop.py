"""The training run: its configuration, and the loop from a mixture to a checkpoint.

    result = train(TrainRun(output_dir="runs/x", mixture="cache/flan-train.json", ...))

A folder that holds a checkpoint is resumed; the batches, the dropout and so the parameters are
then bit for bit those of a run that was never interrupted, on the same mesh.
"""

import collections
import contextlib
import dataclasses
import functools
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import jax
import optax

import flan_jax
from flan_jax.batch import Batch
from flan_jax.data import feed
from flan_jax.data.mixture import Mixture, open_mixture
from flan_jax.model import transformer
from flan_jax.model.config import ModelConfig
from flan_jax.model.layers import Output
from flan_jax.parallel import rules
from flan_jax.parallel.mesh import MeshConfig, make_mesh, torus_note
from flan_jax.train import (
    checkpoint,
    fingerprint,
    flops,
    mesh_fit,
    metrics_log,
    partial_run,
    run_folder,
    run_ledger,
    trainable,
)
from flan_jax.train.checkpoint import CheckpointConfig, Checkpoints
from flan_jax.train.interruption import Interruption
from flan_jax.train.losses import LossConfig
from flan_jax.train.metrics_log import LoggingConfig, MetricsLog
from flan_jax.train.optimizer import OptimizerConfig, make_optimizer, make_schedule
from flan_jax.train.partial_run import Base
from flan_jax.train.run_folder import RunFolder
from flan_jax.train.state import TrainState, abstract_state, create_state, state_from_params
from flan_jax.train.step import make_train_step
from flan_jax.train.trainable import Adaptation

PyTree = Any
Evaluate = Callable[[PyTree, int], Mapping[str, float]]

# Steps that are dispatched before the device has finished an earlier one: enough to keep it busy,
# few enough that batches do not pile up on it.
_RUN_AHEAD = 2


@dataclasses.dataclass(frozen=True)
class TrainRun:
    """One training run, the root of its configuration.

    Attributes:
      output_dir: the run's folder, local or remote; resumed if it holds a checkpoint.
      mixture: path of the mixture file that the caches were built for.
      model: the transformer.
      feed: lengths, batch size and packing.
      optimizer: optimiser and learning rate.
      loss: what is added to cross-entropy.
      trainable: what is trained beside frozen weights: low-rank adapters (`LoraConfig`) or a soft
        prompt (`PromptTuningConfig`); None for all parameters.
      mesh: devices along each mesh axis.
      checkpoint: when to save and what to keep.
      logging: what to report.
      steps: updates of the whole run, resumed parts included.
      seed: of initialisation, data order and dropout.
      gradient_accumulation: microbatches a step; divides the batch.
      init_from: a run's folder or a checkpoint whose weights this run starts from, with a fresh
        optimiser, at step 0; None for random weights. A resume does not read it again, unless
        these weights are frozen (`trainable`): then checkpoints do not hold them.
      evaluate_every: steps between two evaluations, the last step included; 0 for none.
      max_skipped_steps: a step whose loss or gradient is not finite is skipped; with this many of
        them in a row the run ends.
      compilation_cache_dir: folder that keeps compiled programs between runs; None for none.
    """

    output_dir: str
    mixture: str
    model: ModelConfig
    feed: feed.FeedConfig
    optimizer: OptimizerConfig
    loss: LossConfig = LossConfig()
    trainable: Adaptation | None = None
    mesh: MeshConfig = MeshConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    logging: LoggingConfig = LoggingConfig()
    steps: int = 1000
    seed: int = 0
    gradient_accumulation: int = 1
    init_from: str | None = None
    evaluate_every: int = 0
    max_skipped_steps: int = 10
    compilation_cache_dir: str | None = None

    def __post_init__(self):
        for name in ("steps", "gradient_accumulation", "max_skipped_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"TrainRun.{name}: expected at least 1, got {getattr(self, name)}")
        if self.feed.batch_size % self.gradient_accumulation:
            raise ValueError(
                f"TrainRun.gradient_accumulation={self.gradient_accumulation} does not divide "
                f"FeedConfig.batch_size={self.feed.batch_size}"
            )
        if self.feed.architecture != self.model.architecture:
            raise ValueError(
                f"the feed makes {self.feed.architecture} batches but the model is "
                f"{self.model.architecture}: set FeedConfig.architecture to the model's"
            )


class DivergedError(RuntimeError):
    """Loss or gradient were not finite in too many steps in a row."""


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """How a run ended.

    Attributes:
      step: updates done, those before a resume included.
      params: what was trained, on the run's mesh: all parameters, or as `TrainRun.trainable` says.
      metrics: the last training record (loss, accuracy, ...); empty if no step was left to do.
      interrupted: a signal ended the run before its last step; the same command resumes it.
    """

    step: int
    params: PyTree
    metrics: dict[str, float]
    interrupted: bool


def train(
    run: TrainRun, evaluate: Evaluate | None = None, score_names: Collection[str] = ()
) -> TrainResult:
    """Trains, or goes on training, until `run.steps` or a signal.

    Args:
      run: the run.
      evaluate: function of (parameters, step) to numbers by name; called inside the run's mesh
        every `run.evaluate_every` steps.
      score_names: the names of these numbers, if the best checkpoint is kept by one of them.

    Returns:
      How it ended; the last checkpoint is complete by then.

    Raises:
      DivergedError: `max_skipped_steps` steps in a row were not finite.
      FingerprintMismatch: the folder holds a run with other mathematics.
      CheckpointError: checkpoints cannot be written or read.
      RunFolderError: there are no weights to start from, or frozen ones are not the run's.
      ValueError: a configuration that does not fit the mixture or the devices.
    """
    if run.evaluate_every and evaluate is None:
        raise ValueError("TrainRun.evaluate_every is set, but train() got no evaluate function")
    checkpoint.check_best(run.checkpoint, score_names if run.evaluate_every else ())
    if run.compilation_cache_dir:
        jax.config.update("jax_compilation_cache_dir", run.compilation_cache_dir)
    mesh = make_mesh(run.mesh)
    mixture = _open_mixture(run)
    stream = trainable.feed_mixture(run.trainable, mixture, run.feed)
    axes = trainable.logical_axes(run.trainable, run.model)
    mesh_fit.check(mesh, run.model, run.feed)
    optimizer = make_optimizer(run.optimizer, run.steps, axes)
    abstract = abstract_state(trainable.abstract(run.trainable, run.model), optimizer, axes, mesh)
    console = metrics_log.make_console()
    say = functools.partial(metrics_log.say, console)
    if note := torus_note(run.mesh):
        say(note)

    with contextlib.ExitStack() as resources:
        resources.enter_context(jax.set_mesh(mesh))
        folder = resources.enter_context(contextlib.closing(RunFolder(run.output_dir)))
        checkpoints = Checkpoints(folder, run.checkpoint, say)
        resources.enter_context(contextlib.closing(checkpoints))
        base, frozen = _open_base(run, mesh, checkpoints.latest)
        describe_run(run, mixture, folder, checkpoints.latest, base)
        state, feed_state, start = _starting_state(
            run, optimizer, abstract, mesh, checkpoints, frozen
        )
        step_flops = flops.frozen_step_flops if run.trainable else flops.train_step_flops
        log = MetricsLog(
            folder.local, run.logging, console, start, run.steps,
            step_flops(run.model, run.feed), flops.peak_flops(mesh),
        )  # fmt: skip
        resources.enter_context(contextlib.closing(log))
        interruption = resources.enter_context(Interruption())
        train_step = _train_step(run, optimizer, abstract, frozen)
        batches = resources.enter_context(
            feed.prefetch(_device_batches(run, stream, feed_state, mesh))
        )
        in_flight, skipped = collections.deque(), 0
        # Simulated CPU devices deadlock when several steps wait for the same threads.
        run_ahead = 0 if mesh.devices.flat[0].platform == "cpu" and mesh.size > 1 else _RUN_AHEAD

        step, stopping = start, False
        while step < run.steps and not stopping:
            step += 1
            batch, feed_state = next(batches)
            log.profile(step)
            state, metrics = train_step(state, batch)
            log.train(step, metrics)
            in_flight.append(metrics["skipped"])
            if len(in_flight) > run_ahead:
                skipped = skipped + 1 if in_flight.popleft() else 0
                if skipped == run.max_skipped_steps:
                    log.flush()
                    raise _diverged(run, step - run_ahead, checkpoints.latest)

            ending = step == run.steps
            stopping = interruption.requested(step) and not ending
            scores = None
            if run.evaluate_every and (ending or step % run.evaluate_every == 0):
                log.flush()
                scores = evaluate(_in_use(run, frozen, state), step)
                log.evaluation(step, scores)
                log.restart_clock()
            due = ending or stopping or step % run.checkpoint.interval == 0
            if due or checkpoints.shall_keep(scores):
                log.flush()
                progress = {"step": step, "feed": list(feed_state)}
                if base:
                    progress["base"] = base.digest
                save = checkpoints.save_final if ending or stopping else checkpoints.save
                save(state, step, progress, scores)
                log.restart_clock()
        if stopping:
            say(f"{interruption.name}: saved at step {step}; the same command resumes the run")
        run_ledger.write(folder.root, stream, run.feed, run.seed, feed_state, step, console)
    return TrainResult(step, state.params, log.last, stopping)


def _diverged(run: TrainRun, step: int, latest: int | None) -> DivergedError:
    return DivergedError(
        f"{run.output_dir}: loss or gradient were not finite in the {run.max_skipped_steps} steps "
        f"up to {step}, which were skipped. Lower OptimizerConfig.learning_rate, warm it up for "
        "longer, or look at the rows that these steps read; what was learned until then is in "
        f"checkpoint {latest}"
    )


def describe_run(
    run: TrainRun,
    mixture: Mixture,
    folder: RunFolder,
    latest: int | None,
    base: Base | None = None,
) -> None:
    """Writes `run.json`, `model.json` and the vocabulary, or refuses another run's folder.

    Args:
      run: the run.
      mixture: its mixture.
      folder: its folder.
      latest: step of the latest checkpoint there, or None.
      base: what is frozen, or None.

    Raises:
      FingerprintMismatch: the folder holds a run with other mathematics.
      RunFolderError: it holds checkpoints of an unknown run.
      ValueError: its checkpoint is beyond the run's last step.
    """
    recorded = None
    if latest is not None:
        recorded = run_folder.read_run(folder.root)["fingerprint"]["fields"]
    fields = _fields(run, mixture, (recorded or {}).get("init_from"), base)
    if recorded is not None:
        defaults = fingerprint.default_fields(**_configurations(run))
        fingerprint.check(recorded, fields, str(folder.root), defaults)
        if latest > run.steps:
            raise ValueError(
                f"{folder.root} holds a checkpoint at step {latest}, beyond TrainRun.steps="
                f"{run.steps}: raise steps, or choose another output_dir"
            )
    about = {
        "fingerprint": {"digest": fingerprint.digest(fields), "fields": fields},
        "vocabulary": mixture.vocabulary,
        "mixture": run.mixture,
        "init_from": run.init_from,
        "steps": run.steps,
        "versions": {"flan_jax": flan_jax.__version__, "jax": jax.__version__},
    }
    if base:
        about |= partial_run.describe(run.trainable, base)
    run_folder.write_json(folder.root, "model.json", dataclasses.asdict(run.model))
    run_folder.write_json(folder.root, "run.json", about)
    run_folder.keep_vocabulary(folder.root, mixture.vocabulary)


def _configurations(run: TrainRun) -> dict[str, Any]:
    """The parts of a run that its mathematics depends on, by name."""
    return {"model": run.model, "feed": run.feed, "optimizer": run.optimizer, "loss": run.loss}


def _fields(
    run: TrainRun, mixture: Mixture, recorded_source: str | None, base: Base | None
) -> fingerprint.Fields:
    """All that the run's mathematics depends on."""
    fields = {
        **fingerprint.configuration_fields(**_configurations(run)),
        **fingerprint.schedule_fields(run.optimizer, run.steps),
        **fingerprint.mixture_fields(mixture),
        "seed": run.seed,
        "gradient_accumulation": run.gradient_accumulation,
        "init_from": fingerprint.source_identity(run.init_from, recorded_source),
    }
    if base:
        settings = trainable.to_json(run.trainable)
        fields |= {f"trainable.{name}": value for name, value in settings.items()}
        fields["base"] = base.digest
    return fields


def _open_base(
    run: TrainRun, mesh: jax.sharding.Mesh, latest: int | None
) -> tuple[Base | None, PyTree]:
    """The frozen weights and their name in `run.json`; neither for full tuning."""
    if run.trainable is None:
        return None, None
    if run.init_from is None:
        raise ValueError(
            f"TrainRun.trainable={run.trainable} trains beside frozen weights: set "
            "TrainRun.init_from to the run folder that holds them"
        )
    resumed = None if latest is None else run.output_dir
    return partial_run.open_base(run.init_from, run.trainable, run.model, mesh, resumed)


def _in_use(run: TrainRun, frozen: PyTree, state: TrainState) -> PyTree:
    """The parameters of the whole model, for its evaluation."""
    if run.trainable is None:
        return state.params
    return trainable.in_use(run.trainable, frozen, state.params)


def _open_mixture(run: TrainRun) -> Mixture:
    """Opens the mixture, which must have the vocabulary of the weights that the run starts from."""
    digest = None
    if run.init_from and not run_folder.committed_steps(run.output_dir):
        source, _ = run_folder.locate(run.init_from)
        digest = run_folder.read_run(source)["vocabulary"]["digest"]
    mixture = open_mixture(run.mixture, vocabulary=digest)
    if mixture.vocabulary["size"] > run.model.vocab_size:
        raise ValueError(
            f"the vocabulary of mixture {mixture.name!r} has {mixture.vocabulary['size']} tokens, "
            f"more than the {run.model.vocab_size} embedding rows of the model: raise "
            f"ModelConfig.vocab_size"
        )
    return mixture


def _starting_state(
    run: TrainRun,
    optimizer: optax.GradientTransformation,
    abstract: TrainState,
    mesh: jax.sharding.Mesh,
    checkpoints: Checkpoints,
    frozen: PyTree,
) -> tuple[TrainState, feed.FeedState, int]:
    """The state to train from: the latest checkpoint, another run's weights, or random ones."""
    restored = checkpoints.restore(abstract)
    if restored:
        state, progress = restored
        return state, feed.FeedState(*progress["feed"]), progress["step"]
    if run.trainable:
        init = functools.partial(trainable.init, run.trainable, run.model)
        shardings = jax.tree.map(lambda leaf: leaf.sharding, abstract.params)
        params = jax.jit(init, out_shardings=shardings)(frozen, _key(run, "init"))
        return state_from_params(params, optimizer, abstract), feed.FeedState(), 0
    if run.init_from:
        params = checkpoint.load_params(run.init_from, run.model, mesh)
        partial_run.refuse_prompt(params, run.init_from)
        return state_from_params(params, optimizer, abstract), feed.FeedState(), 0
    init = functools.partial(transformer.init, run.model)
    return create_state(init, optimizer, abstract, _key(run, "init")), feed.FeedState(), 0


def _train_step(
    run: TrainRun, optimizer: optax.GradientTransformation, abstract: TrainState, frozen: PyTree
):
    def beside_frozen(trained: PyTree, batch: Batch, key: jax.Array, frozen: PyTree) -> Output:
        params = trainable.in_training(run.trainable, frozen, trained)
        return transformer.output(run.model, params, batch, key)

    step = make_train_step(
        beside_frozen if run.trainable else functools.partial(transformer.output, run.model),
        optimizer,
        make_schedule(run.optimizer, run.steps),
        run.loss,
        _key(run, "dropout"),
        run.gradient_accumulation,
        jax.tree.map(lambda leaf: leaf.sharding, abstract),
    )
    return (lambda state, batch: step(state, batch, frozen)) if run.trainable else step


def _key(run: TrainRun, use: str) -> jax.Array:
    return jax.random.fold_in(jax.random.key(run.seed), ("init", "dropout").index(use))


def _device_batches(
    run: TrainRun, mixture: Mixture, start: feed.FeedState, mesh: jax.sharding.Mesh
) -> Iterator[tuple[Batch, feed.FeedState]]:
    """Batches on the devices, each with the data state to save after it."""
    host, hosts = rules.host_share(mesh)
    for batch, state in feed.batches(mixture, run.feed, run.seed, start, host, hosts):
        yield rules.global_batch(batch, mesh), state
