"""Meshes, sharding rules, and that the layout changes no result."""

import json
import os
import subprocess
import sys

import jax.numpy as jnp
import pytest
from jax.sharding import AbstractMesh, PartitionSpec
from small_models import ENCODER_DECODER

from flan_jax.model import transformer
from flan_jax.parallel import rules
from flan_jax.parallel.mesh import AXES


def test_spec_follows_the_rules():
    assert rules.spec(("layers", "embed", "mlp")) == PartitionSpec(None, "fsdp", "tensor")
    assert rules.spec(("batch", None)) == PartitionSpec(("data", "fsdp"), None)


def test_a_parameter_that_does_not_divide_is_named():
    axes = transformer.logical_axes(ENCODER_DECODER)
    shapes = transformer.abstract(ENCODER_DECODER)
    mesh = AbstractMesh((1, 1, 4, 1), AXES)  # more devices than there are here
    with pytest.raises(ValueError) as error:
        rules.shardings(axes, mesh, shapes)
    assert "Parameter embedding has 50 entries on dimension 0 (vocab)" in str(error.value)
    assert "tensor=4 does not divide" in str(error.value)


def test_constrain_does_nothing_without_a_mesh():
    x = jnp.ones((3, 5))
    assert rules.constrain(x, "batch", "embed_act") is x


def _start(code, *arguments, **environment):
    folder = os.path.dirname(__file__)
    paths = [folder, os.path.dirname(folder), os.environ.get("PYTHONPATH", "")]
    own = {"JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(paths)}
    environment = os.environ | environment | own
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _finish(process):
    output, _ = process.communicate(timeout=1800)
    assert process.returncode == 0, output
    return output


EIGHT_DEVICES = """
import dataclasses, json, sys, jax, numpy as np
from flan_jax.model import transformer
from flan_jax.parallel import rules
from flan_jax.parallel.mesh import MeshConfig, make_mesh
from small_models import *

def assert_relatively_close(actual, expected):
    # The loss, and each gradient as a whole, within 1e-5 of its size.
    def check(path, a, b):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        assert np.linalg.norm(a - b) <= 1e-5 * np.linalg.norm(b), jax.tree_util.keystr(path)
    jax.tree_util.tree_map_with_path(check, actual, expected)

assert jax.device_count() == 8
for name, meshes in json.loads(sys.argv[1]).items():
    config = dataclasses.replace(CONFIGS[name], vocab_size=64)
    # Two examples are packed in a row.
    batch = rows_batch(config, [examples([(5, 3), (9, 6)], row) for row in range(8)], 16, 16)
    key = jax.random.key(0)
    expected, _ = loss_and_grads(config, transformer.init(config, key), batch)
    for sizes in meshes:
        mesh = make_mesh(MeshConfig(*sizes))
        layout = rules.shardings(
            transformer.logical_axes(config), mesh, transformer.abstract(config)
        )
        with jax.set_mesh(mesh):
            create = quick_jit(transformer.init, out_shardings=layout)
            params = jax.block_until_ready(create(config, key))
            rows = rules.global_batch(batch, mesh)
            actual, _ = jax.block_until_ready(loss_and_grads(config, params, rows))
        assert_trees_close(actual, expected)
        assert_relatively_close(actual, expected)

        # The model width is cut fsdp ways, the inside of a layer tensor ways: no device holds more
        # than its share.
        inside = {"mlp", "heads", "kv_heads", "vocab"}
        for leaf, axes in zip(
            jax.tree.leaves(params),
            jax.tree.leaves(
                transformer.logical_axes(config), is_leaf=lambda node: isinstance(node, tuple)
            ),
            strict=True,
        ):
            split = (sizes[1] if "embed" in axes else 1) * (sizes[2] if inside & {*axes} else 1)
            assert {s.data.size for s in leaf.addressable_shards} == {leaf.size // split}, axes
        assert rows.decoder_inputs.addressable_shards[0].data.shape[0] == 8 // (
            sizes[0] * sizes[1]
        )

try:
    rules.global_batch(jax.tree.map(lambda x: x[:6], batch), make_mesh(MeshConfig()))
except ValueError as error:
    assert "batch of 6 rows does not divide" in str(error)
else:
    raise AssertionError("6 rows over 8 devices")

# Axes that are missing, or do not divide an activation, are left out.
mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
with jax.set_mesh(mesh):
    for size in (16, 6):
        x = jax.jit(lambda x: rules.constrain(x, "batch", "mlp"))(np.ones((size, 3)))
        assert x.shape == (size, 3) and x.sharding.is_fully_replicated == (size == 6)
print("passed")
"""


def _same_on(meshes):
    process = _start(
        EIGHT_DEVICES,
        json.dumps(meshes),
        XLA_FLAGS="--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0",
        JAX_DISABLE_MOST_OPTIMIZATIONS="1",
    )
    assert "passed" in _finish(process)


def test_meshes_give_the_same_loss_and_gradients_and_split_the_parameters():
    # data, fsdp, tensor, sequence
    _same_on({"encoder_decoder": [(8, 1, 1, 1), (1, 2, 2, 2)], "decoder_only": [(2, 1, 1, 4)]})


@pytest.mark.slow
def test_every_mesh_gives_the_same_loss_and_gradients():
    meshes = [(2, 4, 1, 1), (8, 1, 1, 1), (2, 2, 2, 1), (1, 2, 2, 2), (2, 1, 1, 4), (1, 1, 1, 8)]
    _same_on(dict.fromkeys(("encoder_decoder", "decoder_only", "prefix_lm_relative"), meshes))
