"""The transformer as a whole: structure, packing, scanning, dropout, a reference in numpy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_models import (
    CONFIGS,
    DECODER_ONLY,
    ENCODER_DECODER,
    PREFIX_LM,
    assert_trees_close,
    examples,
    loss_and_grads,
    params_of,
    quick_jit,
    rows_batch,
)

from flan_jax.model import transformer
from flan_jax.parallel.rules import RULES

apply = quick_jit(transformer.apply)
LENGTHS = [(5, 3), (9, 6), (2, 2), (7, 4), (4, 8)]


def common_batch(config):
    """One shape for most tests, so that they share what they compile."""
    return rows_batch(config, [examples(LENGTHS[:2])], 16, 12)


def configs(*names):
    return pytest.mark.parametrize("config", [CONFIGS[name] for name in names], ids=names)


# ---- structure ---------------------------------------------------------------------------


@configs(*CONFIGS)
def test_init_abstract_and_axes_are_one_tree(config):
    params = quick_jit(transformer.init)(config, jax.random.key(0))
    abstract = transformer.abstract(config)
    axes = transformer.logical_axes(config)
    assert jax.tree.map(lambda a: (a.shape, a.dtype), params) == jax.tree.map(
        lambda a: (a.shape, a.dtype), abstract
    )
    ranks = jax.tree.map(lambda leaf, names: (len(leaf.shape), len(names)), abstract, axes)
    assert all(rank == names for rank, names in _leaves(ranks))
    assert {name for names in _leaves(axes) for name in names} <= set(RULES)


def _leaves(axes):
    return jax.tree.leaves(axes, is_leaf=lambda node: isinstance(node, tuple))


@pytest.mark.parametrize("scaling", ["t5", "standard", "original"])
def test_initial_logits_have_about_unit_variance(scaling):
    batch = rows_batch(ENCODER_DECODER, [examples([(16, 16)])] * 4, 16, 16)
    config = dataclasses.replace(CONFIGS["tied"], d_model=128, vocab_size=500, scaling=scaling)
    params = quick_jit(transformer.init)(config, jax.random.key(0))
    logits = apply(config, params, batch)
    assert 0.7 < float(logits.std()) < 1.4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mlp": "gelu"}, "ModelConfig.mlp: expected one of relu, gated_gelu, swiglu"),
        ({"num_layers": 0}, "ModelConfig.num_layers: expected at least 1, got 0"),
        ({"dropout_rate": 1.0}, "ModelConfig.dropout_rate: expected 0 <= rate < 1"),
        ({"num_kv_heads": 3}, "num_kv_heads=3 does not divide num_heads=4"),
        ({"prefix_lm": True}, "prefix_lm is for decoder_only"),
        ({"positions": "rope", "head_dim": 7}, "head_dim=7 must be even"),
        ({"architecture": "decoder_only"}, "num_encoder_layers=1"),
        ({"sliding_window": 4}, "sliding_window is for decoder_only"),
        ({"global_every": 2}, "global_every=2 says which layers"),
        ({"query_scaling_dim": 8}, "never divided with scaling='t5'"),
        ({"rope_scaling": "yarn"}, "rope_scaling: expected one of none, linear, llama3"),
    ],
)
def test_impossible_configurations_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(ENCODER_DECODER, **change)


def test_a_batch_for_the_other_architecture_is_refused():
    batch = rows_batch(DECODER_ONLY, [examples([(3, 2)])], 4, 4)
    with pytest.raises(ValueError, match="encoder_decoder, but the batch has no encoder_tokens"):
        transformer.apply(ENCODER_DECODER, params_of(ENCODER_DECODER), batch)
    with pytest.raises(ValueError, match="no decoder_prefix"):
        transformer.apply(PREFIX_LM, params_of(PREFIX_LM), batch._replace(decoder_prefix=None))


# ---- packing and padding -----------------------------------------------------------------


@configs("encoder_decoder", "decoder_only", "prefix_lm", "gemma")
def test_packed_equals_unpacked(config):
    pairs = examples(LENGTHS)
    params = params_of(config)
    packed = rows_batch(config, [pairs[:3], pairs[3:], []], 20, 16)
    alone = rows_batch(config, [[pair] for pair in pairs], 20, 16)
    packed_result, packed_logits = loss_and_grads(config, params, packed)
    assert bool(jnp.isfinite(packed_logits).all())  # padding too, and a row of nothing else
    alone_result, alone_logits = loss_and_grads(config, params, alone)
    assert_trees_close(packed_result, alone_result)
    rows, columns = np.nonzero(packed.decoder_segments)
    np.testing.assert_allclose(
        packed_logits[rows, columns],
        alone_logits[np.nonzero(alone.decoder_segments)],
        rtol=0,
        atol=1e-5,
    )


@configs("encoder_decoder_rope", "prefix_lm_relative")
def test_padding_changes_nothing(config):
    pairs, params = examples(LENGTHS[:2]), params_of(config)
    tight = rows_batch(config, [[pair] for pair in pairs], 9, 6)
    wide = rows_batch(config, [[pair] for pair in pairs] + [[]], 13, 11)
    np.testing.assert_allclose(
        apply(config, params, tight)[np.nonzero(tight.decoder_segments)],
        apply(config, params, wide)[np.nonzero(wide.decoder_segments)],
        rtol=0,
        atol=1e-5,
    )


@configs("encoder_decoder", "prefix_lm")
def test_a_later_token_changes_no_earlier_logits(config):
    batch = common_batch(config)
    params = params_of(config)
    at = np.flatnonzero(batch.decoder_segments[0])[-1] - 2
    changed = batch.decoder_inputs.copy()
    changed[0, at] = changed[0, at] % 40 + 2
    before = apply(config, params, batch)
    after = apply(config, params, batch._replace(decoder_inputs=changed))
    np.testing.assert_array_equal(before[:, :at], after[:, :at])
    assert float(jnp.abs(before[:, at:] - after[:, at:]).max()) > 1e-3


def test_prefix_is_attended_to_in_both_directions():
    batch = common_batch(PREFIX_LM)
    params = params_of(PREFIX_LM)
    changed = batch.decoder_inputs.copy()
    changed[0, 4] = changed[0, 4] % 40 + 2
    difference = apply(PREFIX_LM, params, batch) - apply(
        PREFIX_LM, params, batch._replace(decoder_inputs=changed)
    )
    assert float(jnp.abs(difference[0, 0]).max()) > 1e-4


POLICIES = ("none", "dots_attention", "dots", "attention", "full")  # from the most kept


# ---- scanning, rematerialisation, precision, dropout ----------------------------------------


@pytest.mark.parametrize(
    "change",
    [{"scan_layers": False}, *({"remat": name} for name in POLICIES[1:])],
    ids=str,
)
def test_unrolling_and_rematerialisation_change_nothing(change):
    config = dataclasses.replace(ENCODER_DECODER, dropout_rate=0.1, attention_dropout_rate=0.1)
    batch = common_batch(config)
    params, key = params_of(config), jax.random.key(3)
    expected = loss_and_grads(config, params, batch, key)
    changed = dataclasses.replace(config, **change)
    assert_trees_close(loss_and_grads(changed, params, batch, key), expected)


def test_rematerialisation_keeps_less():
    deep = dataclasses.replace(ENCODER_DECODER, num_layers=6, num_encoder_layers=6)
    batch = common_batch(deep)

    def temporary(remat):
        config = dataclasses.replace(deep, remat=remat)
        gradients = jax.jit(jax.grad(lambda p: jnp.sum(transformer.apply(config, p, batch))))
        compiled = gradients.lower(transformer.abstract(config)).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    def kept(remat):
        config = dataclasses.replace(deep, remat=remat)
        _, residuals = jax.eval_shape(
            lambda p: jax.vjp(lambda q: transformer.apply(config, q, batch), p),
            transformer.abstract(config),
        )
        return sum(leaf.size for leaf in jax.tree.leaves(residuals))

    sizes = [kept(remat) for remat in POLICIES]
    assert sizes == sorted({*sizes}, reverse=True)
    # In rows as short as these the outputs of attention are no less than what computes them.
    memory = [temporary(remat) for remat in ("none", "dots", "attention", "full")]
    assert memory == sorted({*memory}, reverse=True)


@pytest.mark.parametrize("name", ["encoder_decoder", "decoder_only"])
def test_bfloat16_is_close_to_float32_and_gives_float32_logits(name):
    config = CONFIGS[name]
    batch = common_batch(config)
    params = params_of(config)
    half = apply(dataclasses.replace(config, dtype="bfloat16"), params, batch)
    assert half.dtype == jnp.float32
    full = apply(config, params, batch)
    # bfloat16 has 8 bits; errors of a few roundings at each of 3 + 2 layers.
    assert float(jnp.abs(half - full).mean()) < 0.03 * float(jnp.abs(full).mean())


@pytest.mark.parametrize("name", ["encoder_decoder", "decoder_only"])
@pytest.mark.parametrize("field", ["dropout_rate", "attention_dropout_rate"])
def test_dropout_is_a_function_of_its_key(name, field):
    config, batch = dataclasses.replace(CONFIGS[name], **{field: 0.2}), common_batch(CONFIGS[name])
    params = params_of(CONFIGS[name])
    first, again, other = (apply(config, params, batch, jax.random.key(n)) for n in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert float(jnp.abs(first - other).max()) > 0.1
    assert float(jnp.abs(first - apply(CONFIGS[name], params, batch)).max()) > 0.1


def test_dropout_needs_a_key_and_a_rate():
    config, batch = DECODER_ONLY, common_batch(DECODER_ONLY)
    params, expected = params_of(config), apply(config, params_of(config), batch)
    dropping = dataclasses.replace(config, dropout_rate=0.2, attention_dropout_rate=0.2)
    np.testing.assert_array_equal(apply(dropping, params, batch), expected)
    np.testing.assert_array_equal(apply(config, params, batch, jax.random.key(0)), expected)


# ---- an independent forward pass in numpy, float64 ------------------------------------------


def _norm(x, scale):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * scale


def _reference_bias(config, table, queries, keys, bidirectional):
    """T5's published formula, one pair of positions at a time."""
    bias = np.zeros((config.num_heads, queries, keys))
    for t in range(queries):
        for s in range(keys):
            buckets, bucket, distance = config.relative_buckets, 0, max(t - s, 0)
            if bidirectional:
                buckets //= 2
                bucket, distance = buckets * (s > t), abs(t - s)
            exact = buckets // 2
            if distance >= exact:
                ratio = np.log(distance / exact) / np.log(config.relative_max_distance / exact)
                distance = min(exact + int(ratio * (buckets - exact) + 1e-9), buckets - 1)
            bias[:, t, s] = table[bucket + distance]
    return bias


def _rotate(x, theta):
    half = x.shape[-1] // 2
    out = np.empty_like(x)
    for position in range(len(x)):
        for i in range(half):
            angle = position * theta ** (-i / half)
            a, b = x[position, :, i], x[position, :, i + half]
            out[position, :, i] = a * np.cos(angle) - b * np.sin(angle)
            out[position, :, i + half] = a * np.sin(angle) + b * np.cos(angle)
    return out


def _reference_attention(config, p, x, memory, bias, causal, rotate):
    queries = (x @ p["query"]).reshape(len(x), config.num_heads, -1)
    keys = (memory @ p["key"]).reshape(len(memory), config.kv_heads, -1)
    values = (memory @ p["value"]).reshape(len(memory), config.kv_heads, -1)
    if rotate:
        queries, keys = (_rotate(z, config.rope_theta) for z in (queries, keys))
    if config.scaling != "t5":
        queries = queries / np.sqrt(config.head_dim)
    outputs = []
    for head in range(config.num_heads):
        shared = head // (config.num_heads // config.kv_heads)
        logits = queries[:, head] @ keys[:, shared].T
        logits = logits if bias is None else logits + bias[head]
        if causal:
            logits = np.where(np.tri(*logits.shape, dtype=bool), logits, -np.inf)
        weights = np.exp(logits - logits.max(-1, keepdims=True))
        outputs.append(weights / weights.sum(-1, keepdims=True) @ values[:, shared])
    return np.concatenate(outputs, -1) @ p["out"]


def _reference_feed_forward(config, p, x):
    x = _norm(x, p["norm"])
    up = x @ p["up"]
    if config.mlp == "relu":
        return np.maximum(up, 0) @ p["down"]
    gate = x @ p["gate"]
    if config.mlp == "swiglu":
        return gate / (1 + np.exp(-gate)) * up @ p["down"]
    inner = np.sqrt(2 / np.pi) * (gate + 0.044715 * gate**3)
    return 0.5 * gate * (1 + np.tanh(inner)) * up @ p["down"]


def _reference_stack(config, p, x, encoded, causal):
    bias = None
    if config.positions == "relative_bias":
        bias = _reference_bias(config, p["relative_bias"], len(x), len(x), not causal)
    for layer in range(len(p["layers"]["self_attention"]["norm"])):
        q = jax.tree.map(lambda leaf, layer=layer: leaf[layer], p["layers"])
        own = q["self_attention"]
        h = _norm(x, own["norm"])
        x = x + _reference_attention(config, own, h, h, bias, causal, bias is None)
        if encoded is not None:
            cross = q["cross_attention"]
            h = _norm(x, cross["norm"])
            x = x + _reference_attention(config, cross, h, encoded, None, False, False)
        x = x + _reference_feed_forward(config, q["feed_forward"], x)
    return _norm(x, p["norm"])


def _reference(config, params, inputs, decoder_inputs):
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    table, encoded, output = params["embedding"], None, params.get("head")
    if config.tie_embeddings:
        output = table.T / (np.sqrt(config.d_model) if config.scaling == "t5" else 1)
    if config.scaling == "original":
        table = table * np.sqrt(config.d_model)
    if config.architecture == "encoder_decoder":
        encoded = _reference_stack(config, params["encoder"], table[inputs], None, False)
    x = _reference_stack(config, params["decoder"], table[decoder_inputs], encoded, True)
    return x @ output


@pytest.mark.parametrize("name", ["encoder_decoder", "tied", "tied_original", "decoder_only"])
def test_logits_equal_an_independent_float64_forward_pass(name):
    config = CONFIGS[name]
    # Longer than the last relative bucket's distance, so that every bucket occurs.
    pair = examples([(23, 21)])
    batch = rows_batch(config, [pair], 23, 21)
    params = params_of(config)
    expected = _reference(config, params, pair[0][0], batch.decoder_inputs[0])
    np.testing.assert_allclose(apply(config, params, batch)[0], expected, rtol=0, atol=2e-5)
