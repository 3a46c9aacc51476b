"""The training loop, from a mixture to a checkpoint.

    result = train(TrainRun(output_dir="runs/x", mixture="cache/flan-train.json", ...))

A folder that holds a checkpoint is resumed; the batches, the dropout and so the parameters are
then bit for bit those of a run that was never interrupted, on the same mesh.
"""

import collections
import contextlib
import dataclasses
import functools
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import optax
from jaxtyping import Array, Float
from rich.console import Console

from flan_jax.batch import Batch
from flan_jax.data import feed
from flan_jax.data.mixture import Mixture, open_mixture
from flan_jax.model import transformer
from flan_jax.model.layers import Output
from flan_jax.parallel import rules
from flan_jax.parallel.mesh import make_mesh, torus_note
from flan_jax.train import (
    checkpoint,
    flops,
    mesh_fit,
    metrics_log,
    partial_run,
    run_description,
    run_folder,
    run_ledger,
    trainable,
)
from flan_jax.train.checkpoint import Checkpoints
from flan_jax.train.interruption import Interruption
from flan_jax.train.metrics_log import MetricsLog
from flan_jax.train.optimizer import make_optimizer, make_schedule
from flan_jax.train.partial_run import Base
from flan_jax.train.run import TrainRun
from flan_jax.train.run_folder import RunFolder
from flan_jax.train.state import TrainState, abstract_state, create_state, state_from_params
from flan_jax.train.step import Metrics, make_train_step

PyTree = Any
Evaluate = Callable[[PyTree, int], Mapping[str, float]]

# Steps that are dispatched before the device has finished an earlier one: enough to keep it busy,
# few enough that batches do not pile up on it.
_RUN_AHEAD = 2


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
    run: TrainRun,
    evaluate: Evaluate | None = None,
    score_names: Collection[str] = (),
    configuration: str | None = None,
) -> TrainResult:
    """Trains, or goes on training, until `run.steps` or a signal.

    Args:
      run: the run.
      evaluate: function of (parameters, step) to numbers by name; called inside the run's mesh
        every `run.evaluate_every` steps.
      score_names: the names of these numbers, if the best checkpoint is kept by one of them.
      configuration: text of the run's `config.gin`; None for none.

    Returns:
      How it ended; the last checkpoint is complete by then.

    Raises:
      DivergedError: `max_skipped_steps` steps in a row were not finite.
      FingerprintMismatch: the folder holds a run with other mathematics.
      CheckpointError: checkpoints cannot be written or read.
      RunFolderError: there are no weights to start from, or frozen ones are not the run's.
      ValueError: a configuration that does not fit the mixture or the devices.
    """
    _check(run, evaluate, score_names)
    with contextlib.ExitStack() as resources:
        opened, state, feed_state, step = _open(run, resources, configuration)
        log, checkpoints = opened.log, opened.checkpoints
        skipped, stopping = _SkippedInARow(opened.mesh), False
        while step < run.steps and not stopping:
            step += 1
            batch, feed_state = next(opened.batches)
            log.profile(step)
            state, metrics = opened.train_step(state, batch)
            log.train(step, metrics)
            if skipped.after(metrics["skipped"]) == run.max_skipped_steps:
                log.flush()
                raise _diverged(run, step - skipped.run_ahead, checkpoints.latest)

            ending = step == run.steps
            stopping = opened.interruption.requested(step) and not ending
            scores = None
            if run.evaluate_every and (ending or step % run.evaluate_every == 0):
                log.flush()
                scores = evaluate(_in_use(run, opened.frozen, state), step)
                log.evaluation(step, scores)
                log.restart_clock()
            due = ending or stopping or step % run.checkpoint.interval == 0
            if due or checkpoints.shall_keep(scores):
                log.flush()
                save = checkpoints.save_final if ending or stopping else checkpoints.save
                save(state, step, _progress(step, feed_state, opened.base), scores)
                log.restart_clock()
        if stopping:
            name = opened.interruption.name
            opened.say(f"{name}: saved at step {step}; the same command resumes the run")
        opened.write_ledger(feed_state, step)
    return TrainResult(step, state.params, log.last, stopping)


class _Opened(NamedTuple):
    """What a run has open while it steps.

    Attributes:
      mesh: its devices; current.
      checkpoints: those in its folder.
      base: what is frozen, as `run.json` names it; None for full tuning.
      frozen: these parameters; None for full tuning.
      log: of its metrics.
      interruption: signals that end it.
      train_step: function of (state, batch) to (state, metrics).
      batches: those that are left, on the devices, each with the feed's state after it.
      say: prints a line on the console.
      write_ledger: function of the feed's state and the step.
    """

    mesh: jax.sharding.Mesh
    checkpoints: Checkpoints
    base: Base | None
    frozen: PyTree
    log: MetricsLog
    interruption: Interruption
    train_step: Callable[[TrainState, Batch], tuple[TrainState, Metrics]]
    batches: Iterator[tuple[Batch, feed.FeedState]]
    say: Callable[[str], None]
    write_ledger: Callable[[feed.FeedState, int], None]


def _open(
    run: TrainRun, resources: contextlib.ExitStack, configuration: str | None
) -> tuple[_Opened, TrainState, feed.FeedState, int]:
    """Opens all that a run needs, and finds the states and the step that it goes on from."""
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

    resources.enter_context(jax.set_mesh(mesh))
    folder = resources.enter_context(contextlib.closing(RunFolder(run.output_dir)))
    checkpoints = Checkpoints(folder, run.checkpoint, say)
    resources.enter_context(contextlib.closing(checkpoints))
    base, frozen = _open_base(run, mesh, checkpoints.latest)
    run_description.write(run, mixture, folder, checkpoints.latest, base, configuration)
    state, feed_state, start = _starting_state(run, optimizer, abstract, mesh, checkpoints, frozen)
    log = _open_log(run, folder, console, start, mesh)
    resources.enter_context(contextlib.closing(log))
    opened = _Opened(
        mesh=mesh,
        checkpoints=checkpoints,
        base=base,
        frozen=frozen,
        log=log,
        interruption=resources.enter_context(Interruption()),
        train_step=_train_step(run, optimizer, abstract, frozen),
        batches=resources.enter_context(
            feed.prefetch(_device_batches(run, stream, feed_state, mesh))
        ),
        say=say,
        write_ledger=lambda after, step: run_ledger.write(
            folder.root, stream, run.feed, run.seed, after, step, console
        ),
    )
    return opened, state, feed_state, start


class _SkippedInARow:
    """Counts the steps in a row that were skipped, without waiting for those that are dispatched.

    Attributes:
      run_ahead: by how many steps the count is behind.
    """

    def __init__(self, mesh: jax.sharding.Mesh):
        # Simulated CPU devices deadlock when several steps wait for the same threads.
        simulated = mesh.devices.flat[0].platform == "cpu" and mesh.size > 1
        self.run_ahead = 0 if simulated else _RUN_AHEAD
        self._in_flight = collections.deque()
        self._count = 0

    def after(self, skipped: Float[Array, ""]) -> int:
        """Takes what a step says, waits until there are few in flight, and returns the count."""
        self._in_flight.append(skipped)
        if len(self._in_flight) > self.run_ahead:
            self._count = self._count + 1 if self._in_flight.popleft() else 0
        return self._count


def _check(run: TrainRun, evaluate: Evaluate | None, score_names: Collection[str]) -> None:
    if run.evaluate_every and evaluate is None:
        raise ValueError("TrainRun.evaluate_every is set, but train() got no evaluate function")
    checkpoint.check_best(run.checkpoint, score_names if run.evaluate_every else ())


def _open_log(
    run: TrainRun, folder: RunFolder, console: Console, start: int, mesh: jax.sharding.Mesh
) -> MetricsLog:
    of_step = flops.frozen_step_flops if run.trainable else flops.train_step_flops
    step_flops, peak = of_step(run.model, run.feed), flops.peak_flops(mesh)
    return MetricsLog(folder.local, run.logging, console, start, run.steps, step_flops, peak)


def _progress(step: int, feed_state: feed.FeedState, base: Base | None) -> dict[str, Any]:
    """What a checkpoint says beside the state."""
    progress = {"step": step, "feed": list(feed_state)}
    return progress | {"base": base.digest} if base else progress


def _diverged(run: TrainRun, step: int, latest: int | None) -> DivergedError:
    return DivergedError(
        f"{run.output_dir}: loss or gradient were not finite in the {run.max_skipped_steps} steps "
        f"up to {step}, which were skipped. Lower OptimizerConfig.learning_rate, warm it up for "
        "longer, or look at the rows that these steps read; what was learned until then is in "
        f"checkpoint {latest}"
    )


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
