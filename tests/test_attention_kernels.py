"""The kernels of attention agree, as far as they run here, and the right one is chosen."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh
from quick_compilation import compile_quickly  # noqa: F401
from small_models import DECODER_ONLY, ENCODER_DECODER

from flan_jax.model import attention, attention_kernels, visibility
from flan_jax.model.attention_kernels import Operands
from flan_jax.model.visibility import Visibility

CONFIG = dataclasses.replace(ENCODER_DECODER, num_heads=4, head_dim=16)


def operands(queries, keys, kv_heads=4, width=16, bias=True, causal=False, prefix=None, **more):
    rng = np.random.default_rng(0)

    def array(*shape):
        return jnp.asarray(rng.normal(size=shape), jnp.float32)

    def segments(length):
        places = np.arange(length)[None] >= np.array([[length // 3], [length - 2]])
        return jnp.asarray(1 + places.astype(np.int32)).at[1, -1:].set(0)

    visible = Visibility(segments(queries), segments(keys), **more)
    if causal:
        visible = visibility.causal(segments(queries), prefix, **more)
    table = array(8, 4)
    biased = attention.whole_bias(CONFIG, table, queries, keys, not causal) if bias else None
    return Operands(
        0.3 * array(2, queries, 4, width), array(2, kv_heads, keys, width),
        array(2, kv_heads, keys, width), visible, biased, None,
    )  # fmt: skip


def results(kernel, config, given, keys_of=("queries", "keys", "values"), of_table=False):
    """What a kernel gives, and the gradients of queries, keys, values and bias (or its table)."""
    factor = jnp.cos(jnp.arange(given.queries.size)).reshape(given.queries.shape)
    real = given.visible.queries[:, :, None, None] > 0
    factor = jnp.where(real, factor, 0.0)

    def loss(arrays):
        changed = given._replace(**{name: arrays[name] for name in keys_of})
        if "table" in arrays:
            sizes = given.bias.values.shape[2:]
            bias = attention.whole_bias(CONFIG, arrays["table"], *sizes, given.bias.bidirectional)
            changed = changed._replace(bias=bias)
        elif "bias" in arrays:
            changed = changed._replace(bias=given.bias._replace(values=arrays["bias"]))
        mixed = jnp.where(real, kernel(config, changed), 0.0)
        return jnp.sum(mixed * factor), mixed

    arrays = {name: getattr(given, name) for name in keys_of}
    if given.bias is not None:
        name, value = ("table", given.bias.table) if of_table else ("bias", given.bias.values)
        arrays[name] = value
    (_, mixed), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(arrays)
    return gradients | {"mixed": mixed}


def assert_agree(ours, theirs, tolerance):
    for name, value in theirs.items():
        difference = np.abs(np.asarray(ours[name] - value)).max()
        assert difference <= tolerance * np.abs(value).max(), name


PREFIX = np.arange(24)[None].repeat(2, 0) < 5
BLOCK_CASES = {
    "encoder": (CONFIG, dict(queries=24, keys=24)),
    "odd lengths": (CONFIG, dict(queries=7, keys=13, bias=False)),
    "causal": (CONFIG, dict(queries=24, keys=24, causal=True)),
    "prefix": (CONFIG, dict(queries=24, keys=24, causal=True, prefix=jnp.asarray(PREFIX))),
    "window": (CONFIG, dict(queries=24, keys=24, causal=True, window=4)),
    "grouped": (CONFIG, dict(queries=24, keys=24, kv_heads=2, bias=False)),
    "softcap": (
        dataclasses.replace(CONFIG, attention_softcap=1.5), dict(queries=24, keys=24)
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BLOCK_CASES)
def test_blocks_equal_the_logits_written_out(case):
    config, shape = BLOCK_CASES[case]
    given = operands(**shape)
    expected = results(attention_kernels.written_out, config, given)
    assert_agree(results(attention_kernels.in_blocks, config, given), expected, 2e-6)


def test_dropout_in_blocks_is_keyed_unbiased_and_has_the_gradient_of_what_it_drew():
    config = dataclasses.replace(CONFIG, attention_dropout_rate=0.5)
    given = operands(12, 12)._replace(key=jax.random.key(0))
    mix = jax.jit(lambda key: attention_kernels.in_blocks(config, given._replace(key=key)))
    first = mix(jax.random.key(0))
    np.testing.assert_array_equal(first, mix(jax.random.key(0)))
    drawn = np.stack([mix(jax.random.key(seed)) for seed in range(400)])
    expected = attention_kernels.in_blocks(CONFIG, given._replace(key=None))
    deviation = drawn.std(0) / np.sqrt(len(drawn))
    assert np.abs(drawn.mean(0) - expected).max() < 6 * deviation.max()
    direction = jnp.sin(jnp.arange(given.queries.size, dtype=jnp.float32))
    direction = direction.reshape(given.queries.shape)

    def along(step):
        moved = given._replace(queries=given.queries + step * direction)
        return jnp.sum(attention_kernels.in_blocks(config, moved) * direction)

    # Central differences in float32: their own error is about 1e-3 of the largest slopes here.
    difference = (along(1e-2) - along(-1e-2)) / 2e-2
    assert jax.grad(along)(0.0) == pytest.approx(float(difference), rel=1e-2)


@pytest.mark.parametrize(
    "shape",
    [
        dict(queries=128, keys=128, causal=True),
        dict(queries=128, keys=128, causal=True, window=40, kv_heads=2),
        dict(queries=128, keys=256, kv_heads=2),
    ],
    ids=["causal", "window", "cross"],
)
def test_splash_equals_the_logits_written_out(shape):
    given = operands(**shape, bias=False, width=128)

    def splash(config, given):
        return attention_kernels.splash(config, given, interpret=True)

    config = dataclasses.replace(CONFIG, head_dim=128)
    expected = results(attention_kernels.written_out, config, given)
    assert_agree(results(splash, config, given), expected, 2e-5)


@pytest.mark.parametrize("case", ["encoder", "odd lengths", "prefix", "grouped", "softcap"])
def test_flash_equals_the_logits_written_out(case):
    config, shape = BLOCK_CASES[case]
    given = operands(**shape)

    def flash(config, given):
        return attention_kernels.flash(config, given, interpret=True)

    expected = results(attention_kernels.written_out, config, given, of_table=True)
    assert_agree(results(flash, config, given, of_table=True), expected, 2e-5)


@pytest.mark.skipif(jax.default_backend() != "gpu", reason="cuDNN runs on GPUs alone")
@pytest.mark.parametrize("case", ["encoder", "causal", "prefix", "window", "grouped"])
def test_cudnn_is_near_the_logits_written_out(case):
    config, shape = BLOCK_CASES[case]
    given = jax.tree.map(
        lambda x: x.astype(jnp.bfloat16) if x.dtype == jnp.float32 else x, operands(**shape)
    )
    exact = results(attention_kernels.written_out, config, operands(**shape))
    assert_agree(results(attention_kernels.cudnn, config, given), exact, 3e-2)


def test_the_kernel_for_the_place():
    def chosen(platform, config=CONFIG, dtype=jnp.float32, **shape):
        given = operands(**{"queries": 128, "keys": 128} | shape)
        given = given._replace(queries=given.queries.astype(dtype))
        return attention_kernels.choose(config, given, platform)

    assert chosen("cpu", queries=512, keys=512) is attention_kernels.in_blocks
    assert chosen("cpu") is attention_kernels.written_out
    assert chosen("gpu", dtype=jnp.bfloat16) is attention_kernels.cudnn
    assert chosen("gpu") is attention_kernels.written_out
    odd = dict(queries=13, keys=13, dtype=jnp.bfloat16)
    assert chosen("gpu", **odd) is attention_kernels.written_out
    capped = dataclasses.replace(DECODER_ONLY, attention_softcap=3.0)
    assert chosen("gpu", capped, jnp.bfloat16) is attention_kernels.written_out
    assert chosen("tpu") is attention_kernels.flash
    assert chosen("tpu", bias=False, causal=True) is attention_kernels.flash
    window = dict(bias=False, causal=True, window=40)
    assert chosen("tpu", width=128, **window) is attention_kernels.splash
    assert chosen("tpu", width=64, **window) is attention_kernels.written_out
    given = operands(queries=128, keys=128)  # a mesh without devices makes no arrays
    with jax.sharding.use_abstract_mesh(AbstractMesh((1, 2), ("data", "sequence"))):
        assert attention_kernels.choose(CONFIG, given, "tpu") is attention_kernels.written_out
