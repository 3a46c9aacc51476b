"""The `sequence` axis: what a device holds of long rows, read from the compiled program."""

import pytest
from training_support import finish, start_process

COMPILED = """
import dataclasses, math, re, sys
import jax
from small_models import *
from flan_jax.parallel import rules
from flan_jax.parallel.mesh import MeshConfig, make_mesh

ROWS, LENGTH = 4, 256

def compiled(config, sizes):
    mesh = make_mesh(MeshConfig(*sizes), jax.devices()[: math.prod(sizes)])
    shapes = transformer.abstract(config)
    layout = rules.shardings(transformer.logical_axes(config), mesh, shapes)
    half = LENGTH // (1 if config.architecture == "encoder_decoder" else 2)
    packed = examples([(40, 40), (50, 50)])
    batch = rows_batch(config, [packed] * ROWS, half, half)
    abstract = lambda leaf, where: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where)
    with jax.set_mesh(mesh):
        params = jax.tree.map(abstract, shapes, layout)
        rows = jax.tree.map(lambda leaf: abstract(leaf, rules.batch_sharding(mesh)), batch)
        gradient = jax.jit(jax.value_and_grad(lambda params, batch: loss(config, params, batch)[0]))
        return gradient.lower(params, rows).compile()

def largest(program):
    shapes = re.findall(r"(?:f32|bf16|f16|pred|s32)\\[([0-9,]+)\\]", program.as_text())
    return max(math.prod(map(int, shape.split(","))) for shape in shapes)

def temporary(program):
    return program.memory_analysis().temp_size_in_bytes

config = dataclasses.replace(CONFIGS[sys.argv[1]], vocab_size=64, remat="full")
scores = ROWS * config.num_heads * LENGTH * LENGTH
# Not on one device, where a CPU never has all scores in memory (`model.attention_blocks`).
halves = compiled(config, (1, 1, 1, 2))
assert largest(halves) >= scores / 2, "the test would not see scores"
split = compiled(config, (1, 1, 1, 8))
assert largest(split) <= scores / 7, largest(split)
assert temporary(split) < temporary(halves) / 3, (temporary(halves), temporary(split))
if "mixed" in sys.argv:
    mixed = compiled(config, (2, 1, 2, 2))
    assert largest(mixed) <= scores / 7, largest(mixed)
    assert temporary(mixed) < temporary(halves) / 3, (temporary(halves), temporary(mixed))
print("passed")
"""


def test_a_device_holds_its_share_of_activations_and_never_all_scores():
    assert "passed" in finish(start_process(COMPILED, "encoder_decoder", devices=8), timeout=300)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["encoder_decoder", "decoder_only", "prefix_lm_relative"])
def test_the_same_beside_other_axes(name):
    assert "passed" in finish(start_process(COMPILED, name, "mixed", devices=8), timeout=600)
