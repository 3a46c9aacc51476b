"""LoRA in the model: what is trained, merged equals unmerged, nothing is computed for the rest."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from quick_compilation import compile_quickly  # noqa: F401
from small_models import (
    CONFIGS,
    DECODER_ONLY,
    ENCODER_DECODER,
    assert_trees_close,
    examples,
    params_of,
    quick_jit,
    rows_batch,
)

from flan_jax.evaluation import generation
from flan_jax.model import lora, transformer
from flan_jax.model.lora import LoraConfig
from flan_jax.parallel.mesh import MeshConfig, make_mesh
from flan_jax.train import trainable
from flan_jax.train.losses import LossConfig
from flan_jax.train.optimizer import OptimizerConfig, make_optimizer, make_schedule
from flan_jax.train.state import abstract_state, fresh_state
from flan_jax.train.step import make_train_step

apply = quick_jit(transformer.apply)
ALL = LoraConfig(rank=3, alpha=6.0, targets=("attention", "mlp"))
MODELS = {
    f"{name}, {'scanned' if scanned else 'unrolled'}": dataclasses.replace(
        CONFIGS[name], scan_layers=scanned
    )
    for name in ("encoder_decoder", "decoder_only")
    for scanned in (True, False)
}


def batch_of(model):
    rows = [examples([(5, 4), (4, 6)]), examples([(9, 7)], seed=1)]
    return rows_batch(model, rows, 12, 12)


def adapters(config, model, trained=True):
    """Adapters as they begin, or as training may have left them: no zeros anywhere."""
    fresh = lora.init(config, model, params_of(model), jax.random.key(2))
    if not trained:
        return fresh
    rng = np.random.default_rng(3)
    return jax.tree.map(
        lambda leaf: leaf + 0.1 * rng.standard_normal(leaf.shape, np.float32), fresh
    )


@pytest.mark.parametrize("name", MODELS)
def test_merged_equals_unmerged(name):
    model, base = MODELS[name], params_of(MODELS[name])
    trained, batch = adapters(ALL, model), batch_of(model)
    unmerged = apply(model, lora.attach(ALL, base, trained), batch)
    merged = lora.merge(ALL, model, base, trained)
    assert jax.tree.structure(merged) == jax.tree.structure(base)
    np.testing.assert_allclose(apply(model, merged, batch), unmerged, rtol=0, atol=1e-5)
    assert np.abs(unmerged - apply(model, base, batch)).max() > 0.1


@pytest.mark.parametrize("name", MODELS)
def test_fresh_adapters_change_nothing(name):
    model, base = MODELS[name], params_of(MODELS[name])
    fresh = adapters(ALL, model, trained=False)
    logits = apply(model, lora.attach(ALL, base, fresh), batch_of(model))
    np.testing.assert_array_equal(logits, apply(model, base, batch_of(model)))


@pytest.mark.slow
def test_generation_with_adapters_equals_that_with_merged_weights():
    model, base = DECODER_ONLY, params_of(DECODER_ONLY)
    trained = adapters(ALL, model)
    prompts = [list(inputs) for inputs, _ in examples([(4, 1), (7, 1), (2, 1)])]
    both = (lora.attach(ALL, base, trained), lora.merge(ALL, model, base, trained))
    first, second = (generation.generate(model, params, prompts, 6) for params in both)
    assert first == second != generation.generate(model, base, prompts, 6)


def test_targets():
    def names(*targets, model=ENCODER_DECODER):
        paths = lora.targeted(LoraConfig(targets=targets), model)
        return ["/".join(path) for path in paths]

    assert len(names("query")) == 3 and len(names("attention")) == 12 and len(names("mlp")) == 6
    assert names("cross_attention/query", "encoder/down") == [
        "decoder/layers/cross_attention/query",
        "encoder/layers/feed_forward/down",
    ]
    assert names("decoder/self_attention/out") == ["decoder/layers/self_attention/out"]
    with pytest.raises(ValueError, match="'queries' is none of query, key"):
        LoraConfig(targets=("queries",))
    with pytest.raises(ValueError, match="no kernel 'gate'; there are down, key, out"):
        names("gate", model=CONFIGS["tied"])
    with pytest.raises(ValueError, match="no kernel 'encoder/query'"):
        names("encoder/query", model=DECODER_ONLY)


@pytest.mark.parametrize(
    "field, value",
    [("rank", 0), ("dropout_rate", 1.0), ("base_dtype", "int8"), ("targets", ())],
)
def test_bad_configuration_is_refused(field, value):
    with pytest.raises(ValueError, match=f"LoraConfig.{field}"):
        LoraConfig(**{field: value})


def test_trained_parameters_and_optimiser_bytes_are_as_computed_by_hand():
    """ENCODER_DECODER: width 32, 4 heads of 8, feed-forward 48; 1 encoder and 2 decoder layers."""
    config, model = LoraConfig(rank=3, targets=("query", "value", "down")), ENCODER_DECODER
    # A kernel of I x O has 3 (I + O); query and value are 32 x 32, down is 48 x 32.
    encoder = 1 * (2 * 3 * (32 + 32) + 3 * (48 + 32))
    decoder = 2 * (4 * 3 * (32 + 32) + 3 * (48 + 32))
    shapes = trainable.abstract(config, model)
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == encoder + decoder == 2640
    axes = trainable.logical_axes(config, model)
    optimizer = make_optimizer(OptimizerConfig(name="adamw"), 10, axes)
    state = abstract_state(shapes, optimizer, axes, make_mesh(MeshConfig()))
    optimiser = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state.opt_state))
    # Two float32 moments a parameter, and two int32 counters: of Adam and of the schedule.
    assert optimiser == 2 * 4 * 2640 + 2 * 4


def test_no_gradient_is_computed_for_what_is_frozen():
    """The step's arithmetic is what the forward pass and the gradients of activations take."""
    model = dataclasses.replace(DECODER_ONLY, scan_layers=False, num_layers=1)
    batch, base = batch_of(model), params_of(model)
    config = LoraConfig(rank=1, targets=("query",))

    def flops(forward, params, *frozen):
        optimizer = make_optimizer(OptimizerConfig(name="adamw"), 10, {})
        step = make_train_step(
            forward, optimizer, make_schedule(OptimizerConfig(), 10), LossConfig(),
            jax.random.key(0),
        )  # fmt: skip
        lowered = step.lower(fresh_state(params, optimizer), batch, *frozen)
        return lowered.compile().cost_analysis()["flops"]

    def forward(params, batch, key, *frozen):
        if frozen:
            params = lora.attach(config, *frozen, params)
        return transformer.output(model, params, batch)

    products = sum(
        2 * 48 * kernel.size  # 2 rows of 24 positions
        for path, kernel in flatten_dict(base).items()
        if path[-1] in (*lora.KERNELS, "head")
    )
    saved = flops(forward, base) - flops(forward, adapters(config, model), base)
    assert saved > 0.95 * products


def test_dropout_is_of_the_adapters_input_alone():
    model, base = ENCODER_DECODER, params_of(ENCODER_DECODER)
    config = dataclasses.replace(ALL, dropout_rate=0.5)
    batch, trained = batch_of(model), adapters(ALL, model)

    def logits(config, trained, key):
        return apply(model, lora.attach(config, base, trained), batch, key)

    first, again, other = (logits(config, trained, jax.random.key(n)) for n in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3
    # The adapters compute nothing yet, so that whatever else dropout did would be seen.
    fresh = adapters(config, model, trained=False)
    np.testing.assert_array_equal(
        logits(config, fresh, jax.random.key(1)), apply(model, base, batch)
    )


@pytest.mark.slow
def test_a_bfloat16_base_is_merged_as_it_was_used():
    model = dataclasses.replace(DECODER_ONLY, num_layers=1)
    base = params_of(model)
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), base)
    trained, batch = adapters(ALL, model), batch_of(model)
    merged = lora.merge(ALL, model, half, trained)
    assert {leaf.dtype for leaf in jax.tree.leaves(merged)} == {jnp.dtype(jnp.float32)}
    unmerged = apply(model, lora.attach(ALL, half, trained), batch)
    assert_trees_close(apply(model, merged, batch), unmerged)
