"""The training step: accumulation, empty batches, dropout keys, learning, and every mesh alike."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from training_support import finish, losses, small_run, start_process, write_mixture

from flan_jax.batch import Batch
from flan_jax.model.layers import Output, logits_of
from flan_jax.train import loop
from flan_jax.train.losses import LossConfig, cross_entropy
from flan_jax.train.metrics_log import summarise
from flan_jax.train.optimizer import OptimizerConfig, make_optimizer, make_schedule
from flan_jax.train.state import TrainState, fresh_state
from flan_jax.train.step import make_train_step

AXES = {"table": ("vocab", "embed"), "head": ("embed", "vocab")}
CONFIG = OptimizerConfig(name="adamw", learning_rate=0.01)
DROPOUT = 0.2
SMOOTHED = LossConfig(label_smoothing=0.1)


def forward(params, batch: Batch, key) -> Output:
    """A toy model: the target token is predicted from the decoder's input token alone."""
    x = params["table"][batch.decoder_inputs]
    keep = jax.random.bernoulli(key, 1 - DROPOUT, x.shape)
    return Output(jnp.where(keep, x / (1 - DROPOUT), 0.0), params["head"], False, None)


def forward_without_dropout(params, batch: Batch, key) -> Output:
    return Output(params["table"][batch.decoder_inputs], params["head"], False, None)


def make_batch(seed=0, rows=8, length=6) -> Batch:
    """Rows of very unequal numbers of real tokens, with fractional weights."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(2, 30, size=(rows, length)).astype(np.int32)
    real = np.arange(length) < np.linspace(0, length, rows).round()[:, None]
    return Batch(
        decoder_inputs=tokens,
        decoder_targets=(tokens + 1) * real,
        decoder_segments=real.astype(np.int32),
        decoder_positions=np.broadcast_to(np.arange(length, dtype=np.int32), tokens.shape),
        weights=(real * rng.uniform(0.03, 1, tokens.shape)).astype(np.float32),
    )


def make_state(optimizer) -> TrainState:
    keys = jax.random.split(jax.random.key(1))
    params = {
        "table": jax.random.normal(keys[0], (32, 8)),
        "head": jax.random.normal(keys[1], (8, 32)),
    }
    return fresh_state(params, optimizer)


def make_step(optimizer, accumulation=1, model=forward, loss=SMOOTHED):
    return make_train_step(
        model, optimizer, make_schedule(CONFIG, 10), loss, jax.random.key(0), accumulation
    )


def gradient_of(accumulation: int) -> tuple:
    """The gradient that the step applies: plain descent at rate 1 subtracts it."""
    optimizer = optax.sgd(1.0)
    before = jax.tree.map(np.asarray, make_state(optimizer).params)
    step = make_step(optimizer, accumulation, forward_without_dropout)
    state, metrics = step(make_state(optimizer), make_batch())
    return jax.tree.map(lambda a, b: a - np.asarray(b), before, state.params), metrics


@pytest.mark.parametrize("accumulation", [2, 8])
def test_accumulated_gradient_equals_the_whole_batch(accumulation):
    whole, metrics = gradient_of(1)
    accumulated, same_metrics = gradient_of(accumulation)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-6), whole, accumulated
    )
    for name, value in metrics.items():
        np.testing.assert_allclose(same_metrics[name], value, rtol=1e-6, err_msg=name)


def test_step_follows_the_token_weighted_mean_loss():
    optimizer = optax.sgd(1.0)
    batch = make_batch()

    def mean_loss(params):
        logits = logits_of(forward_without_dropout(params, batch, None))
        loss, sums = cross_entropy(logits, batch.decoder_targets, batch.weights, 1e-4, 0.1)
        return loss / sums.weight

    expected = jax.grad(mean_loss)(make_state(optimizer).params)
    gradient, _ = gradient_of(1)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), gradient, expected)


@pytest.mark.parametrize("name,accumulation", [("adamw", 1), ("adafactor", 2)])
def test_a_batch_without_targets_gives_no_nan(name, accumulation):
    optimizer = make_optimizer(dataclasses.replace(CONFIG, name=name), 10, AXES)
    batch = make_batch()._replace(weights=np.zeros((8, 6), np.float32))
    state, metrics = make_step(optimizer, accumulation)(make_state(optimizer), batch)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves((state, metrics)))
    assert metrics["loss_sum"] == 0
    assert metrics["grad_norm"] == 0
    assert summarise([jax.device_get(metrics)])["loss"] == 0


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_step_that_is_not_finite_changes_nothing_but_its_number(accumulation):
    optimizer = make_optimizer(CONFIG, 10, AXES)
    step, state = make_step(optimizer, accumulation), make_state(optimizer)
    before = jax.tree.map(np.asarray, state)
    broken = make_batch()
    broken = broken._replace(weights=np.full_like(broken.weights, np.nan))
    after, metrics = step(state, broken)
    assert metrics["skipped"] == 1 and not np.isfinite(metrics["grad_norm"])
    assert after.step == 1
    jax.tree.map(np.testing.assert_array_equal, after[1:], before[1:])
    # And the next one goes on from there.
    after, metrics = step(after, make_batch())
    assert metrics["skipped"] == 0
    changed = jax.tree.map(lambda a, b: bool((np.asarray(a) != b).any()), after, before)
    assert all(jax.tree.leaves(changed))


def test_too_many_steps_that_are_not_finite_end_the_run(tmp_path, monkeypatch):
    run = small_run(tmp_path / "run", write_mixture(tmp_path / "cache"), max_skipped_steps=3)
    batches = loop._device_batches

    def broken(*arguments):
        for number, (batch, state) in enumerate(batches(*arguments), 1):
            # One bad step is survived, the fifth and those after it are too many.
            factor = np.nan if number == 2 or number > 4 else 1.0
            yield batch._replace(weights=batch.weights * factor), state

    monkeypatch.setattr(loop, "_device_batches", broken)
    with pytest.raises(loop.DivergedError, match="3 steps up to 7, which were skipped.*learning_r"):
        loop.train(run)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert sum(json.loads(line)["skipped_steps"] for line in lines) >= 4


def test_dropout_differs_between_steps_and_microbatches_but_not_between_runs():
    optimizer = optax.sgd(0.0)
    batch = jax.tree.map(lambda x: np.repeat(x[-1:], 8, axis=0), make_batch())
    step = make_step(optimizer)
    losses = []
    state = make_state(optimizer)
    for _ in range(3):
        state, metrics = step(state, batch)
        losses.append(float(metrics["loss_sum"]))
    assert len(set(losses)) == 3
    resumed = make_state(optimizer)._replace(step=jnp.int32(2))
    _, metrics = make_step(optimizer)(resumed, batch)
    assert float(metrics["loss_sum"]) == losses[2]
    # two microbatches of equal rows: were they keyed alike, their losses would be equal halves
    one_row = jax.tree.map(lambda x: x[:1], batch)
    two_rows = jax.tree.map(lambda x: x[:2], batch)
    _, whole = make_step(optimizer, 2)(make_state(optimizer), two_rows)
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), 0), 0)
    logits = logits_of(forward(make_state(optimizer).params, one_row, key))
    half, _ = cross_entropy(logits, one_row.decoder_targets, one_row.weights, 1e-4, 0.1)
    assert abs(float(whole["loss_sum"]) - 2 * float(half)) > 1e-3


def test_the_state_is_updated_in_place():
    optimizer = make_optimizer(CONFIG, 10, AXES)
    state = make_state(optimizer)
    memory = make_step(optimizer).lower(state, make_batch()).compile().memory_analysis()
    held = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    assert memory.alias_size_in_bytes == held


def test_metrics_and_learning():
    optimizer = make_optimizer(CONFIG, 10, AXES)
    step = make_step(optimizer, model=forward_without_dropout, loss=LossConfig(z_loss=0.0))
    state, batch = make_state(optimizer), make_batch()
    first = None
    for _ in range(60):
        state, metrics = step(state, batch)
        first = first or summarise([jax.device_get(metrics)])
    last = summarise([jax.device_get(metrics)])
    assert last["loss"] < 0.5 * first["loss"]
    assert last["accuracy"] > first["accuracy"]
    assert last["learning_rate"] == pytest.approx(0.01)
    assert metrics["tokens"] == batch.decoder_segments.sum()
    assert metrics["target_tokens"] == (batch.weights > 0).sum()
    norm = np.sqrt(sum(np.sum(np.square(leaf)) for leaf in jax.tree.leaves(state.params)))
    _, metrics = step(state, batch)
    assert metrics["param_norm"] == pytest.approx(norm, rel=1e-5)


MESHES = """
import json, sys, dataclasses
from training_support import small_run
from flan_jax.parallel.mesh import MeshConfig
from flan_jax.train.loop import train
from flan_jax.train.metrics_log import LoggingConfig
run = small_run(sys.argv[1], sys.argv[2], compilation_cache_dir=sys.argv[3])
run = dataclasses.replace(
    run,
    mesh=MeshConfig(*json.loads(sys.argv[4])),
    logging=LoggingConfig(interval=1, tensorboard=False),
    optimizer=dataclasses.replace(run.optimizer, name=sys.argv[5]),
)
train(run)
"""


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adamw", "adafactor"])
def test_every_mesh_gives_the_same_loss_at_each_of_20_steps(tmp_path, optimizer):
    mixture = write_mixture(tmp_path / "cache")
    found = {}
    for shape in ([1], [8], [2, 4], [2, 2, 2], [2, 1, 1, 4]):
        name, devices = "x".join(map(str, shape)), int(np.prod(shape))
        folder = tmp_path / name
        process = start_process(
            MESHES, str(folder), mixture, str(tmp_path / "xla"), str(shape), optimizer,
            devices=devices,
        )  # fmt: skip
        finish(process, timeout=300)
        found[name] = losses(small_run(folder, mixture))
    assert len(found["1"]) == 20
    for name, losses_there in found.items():
        for step, loss in found["1"].items():
            assert losses_there[step] == pytest.approx(loss, abs=1e-5), (name, step)
