"""Flash attention with the relative bias in the kernel: interpreted, lowered and compiled."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import topologies
from jax.sharding import (
    AbstractDevice,
    AbstractMesh,
    AxisType,
    Mesh,
    NamedSharding,
    PartitionSpec,
)
from small_models import ENCODER_DECODER

from flan_jax.data.assembly import encoder_decoder_rows
from flan_jax.data.objectives import Examples
from flan_jax.data.ragged import Ragged
from flan_jax.model import attention
from flan_jax.model.flash_attention import flash_attention
from flan_jax.model.flash_attention_tiles import Tiling, make_marks, summarise
from flan_jax.model.flash_attention_tpu_bias import bias_distances, expand, fold
from flan_jax.model.layers import MIXED
from flan_jax.model.visibility import causal_mask, segment_mask
from flan_jax.parallel.mesh import AXES

BUCKETS, DISTANCE = 8, 12
# Most of the time of these tests is the compiler's.
QUICKLY = {"xla_backend_optimization_level": 0}
# Segments of odd lengths, whose edges are inside of blocks and on them; padding at the end.
PACKED = ((7, 16, 9, 5), (37,))


def segments_of(rows, length: int) -> jax.Array:
    """Returns the segment ids of rows of segments of the given lengths."""
    ids = np.zeros((len(rows), length), np.int32)
    for row, lengths in zip(ids, rows, strict=True):
        filled = np.repeat(np.arange(1, len(lengths) + 1), lengths)
        row[: len(filled)] = filled
    return jnp.asarray(ids)


def plain(q, k, v, table, case):
    """Attention as it is defined, with everything written out; zeros for queries without keys."""
    groups = q.shape[2] // k.shape[2]
    k, v = (jnp.repeat(x, groups, axis=2) for x in (k, v))
    logits = jnp.einsum("btnh,bsnh->bnts", q, k) * case["scale"]
    if "softcap" in case:
        logits = jnp.tanh(logits / case["softcap"]) * case["softcap"]
    relative = jnp.arange(k.shape[1])[None] - jnp.arange(q.shape[1])[:, None]
    if table is not None:
        bucket = attention.relative_bucket(
            relative, case["bidirectional"], BUCKETS, case["max_distance"]
        )
        logits = logits + table[bucket].transpose(2, 0, 1)
    mask = segment_mask(case["query_segments"], case["key_segments"])
    if case.get("causal"):
        seen = relative <= 0
        prefix = case.get("prefix")
        mask = mask & (seen if prefix is None else seen | prefix[:, None])
    mask = mask[:, None]
    weights = jnp.where(mask, jnp.exp(jnp.where(mask, logits, 0)), 0)
    total = weights.sum(-1, keepdims=True)
    return jnp.einsum("bnts,bsnh->btnh", weights / jnp.where(total == 0, 1, total), v)


def inputs(queries, keys, heads=2, kv_heads=2, width=16, dtype=jnp.float64, seed=0):
    """Returns queries, keys, values, table and a gradient of the output."""
    random = np.random.default_rng(seed)
    shapes = [(2, queries, heads, width), *[(2, keys, kv_heads, width)] * 2]
    q, k, v, gradient = (
        jnp.asarray(random.standard_normal(shape), dtype) for shape in (*shapes, shapes[0])
    )
    wide = dtype if dtype == jnp.float64 else jnp.float32
    return (q, k, v, jnp.asarray(random.standard_normal((BUCKETS, heads)), wide)), gradient


def self_attention(**facts):
    segments = segments_of(PACKED, 41)
    case = {"query_segments": segments, "key_segments": segments, "scale": 0.5}
    return case | {"bidirectional": True, "max_distance": DISTANCE} | facts


CASES = {
    "packed": dict(),
    "causal": dict(bidirectional=False, causal=True),
    "prefix": dict(causal=True, prefix=np.arange(41)[None].repeat(2, 0) % 5 == 0, softcap=3.0),
}


def gradients(function, arguments, gradient):
    """Returns the output and the gradients by the arguments."""

    def run(arguments, gradient):
        output, pull = jax.vjp(function, *arguments)
        return output, *pull(gradient.astype(output.dtype))

    return jax.jit(run, compiler_options=QUICKLY)(arguments, gradient)


def assert_close(actual, expected, tolerance):
    """Compares arrays, each by its largest entry."""
    for ours, right in zip(actual, expected, strict=True):
        right = np.asarray(right, np.float64)
        bound = tolerance * np.abs(right).max()
        np.testing.assert_allclose(np.asarray(ours, np.float64), right, rtol=0, atol=bound)


@pytest.mark.parametrize(
    ("platform", "name"),
    [
        ("tpu", "packed"),
        ("tpu", "causal"),
        ("tpu", "prefix"),
        ("gpu", "packed"),
        pytest.param("gpu", "causal", marks=pytest.mark.slow),
        ("gpu", "prefix"),
    ],
)
def test_forward_and_gradients_are_those_of_the_plain_version(platform, name):
    with jax.enable_x64(True):
        case = self_attention(**CASES[name])
        arguments, gradient = inputs(41, 41, kv_heads=1 if name == "prefix" else 2)
        flash = functools.partial(flash_attention, **case, platform=platform, block=16)
        actual = gradients(
            lambda q, k, v, table: flash(q, k, v, bias_table=table, interpret=True),
            arguments,
            gradient,
        )
        expected = gradients(functools.partial(plain, case=case), arguments, gradient)
        assert_close(actual, expected, 1e-12)


@pytest.mark.parametrize("platform", ["tpu", "gpu"])
def test_cross_attention_without_bias_gives_zeros_where_there_is_no_key(platform):
    with jax.enable_x64(True):
        case = {
            # The third segment has no keys, and neither has the second row's padding.
            "query_segments": segments_of(((4, 3, 2), (9,)), 19),
            "key_segments": segments_of(((20, 13), (33,)), 33),
            "scale": 1.0,
        }
        (q, k, v, _), gradient = inputs(19, 33)
        flash = functools.partial(flash_attention, **case, platform=platform, block=16)
        actual = gradients(functools.partial(flash, interpret=True), (q, k, v), gradient)
        written = functools.partial(plain, table=None, case=case)
        assert_close(actual, gradients(written, (q, k, v), gradient), 1e-12)
        for array in (actual[0], actual[1]):  # the output, and the gradient by queries
            assert not np.any(array[0, 7:9]) and not np.any(array[1, 9:])
            assert np.any(array[0, :7])


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-6), ("bfloat16", 2e-2)])
@pytest.mark.parametrize("platform", ["tpu", "gpu"])
def test_dtypes_against_the_plain_version_in_float64(platform, dtype, tolerance):
    case = self_attention()
    arguments, gradient = inputs(41, 41, dtype=jnp.dtype(dtype))
    flash = functools.partial(flash_attention, **case, platform=platform, block=16)
    actual = gradients(
        lambda q, k, v, table: flash(q, k, v, bias_table=table, interpret=True),
        arguments,
        gradient,
    )
    assert [x.dtype for x in actual] == [jnp.dtype(dtype)] * 4 + [jnp.float32]
    with jax.enable_x64(True):
        exact = [jnp.asarray(np.asarray(x, np.float64)) for x in (*arguments, gradient)]
        expected = gradients(functools.partial(plain, case=case), exact[:4], exact[4])
        assert_close(actual, expected, tolerance)


def test_the_bias_of_packed_rows_is_that_of_positions_in_the_segment():
    """What lets the kernels go by indices: segments are contiguous in the rows that we make."""
    lengths = np.array([7, 16, 9, 5, 30])
    random = np.random.default_rng(0)
    sides = Ragged(random.integers(3, 9, lengths.sum()).astype(np.int32), lengths)
    weights = Ragged(np.ones(lengths.sum(), np.float32), lengths)
    row = np.array([0, 1, 0, 1, 0])
    batch = encoder_decoder_rows(Examples(sides, sides, weights), row, 2, 50, 50)
    segments, positions = jnp.asarray(batch.encoder_segments), jnp.asarray(batch.encoder_positions)
    assert int(segments.max()) == 3 and bool(jnp.all(jnp.diff(segments, axis=1) <= 1))
    table = jax.random.normal(jax.random.key(0), (8, 2))
    by_position = attention.relative_bias_at(ENCODER_DECODER, table, positions, positions, True)
    by_index = attention.relative_bias(ENCODER_DECODER, table, 50, 50, True)
    seen = segment_mask(segments, segments) & (segments > 0)[:, None]
    seen = np.broadcast_to(seen[:, None], by_position.shape)
    by_index = np.broadcast_to(by_index, by_position.shape)
    np.testing.assert_array_equal(by_position[seen], by_index[seen])


def _tiling(**facts):
    defaults = dict(
        platform="tpu", block_q=16, block_k=16, query_blocks=5, key_blocks=5, scale=1.0,
        softcap=None, max_distance=20, causal=False, interpret=True,
    )  # fmt: skip
    return Tiling(**defaults | facts)


def test_tiles_of_the_bias_are_expanded_from_diagonals_and_folded_back():
    tiling = _tiling()
    distances = bias_distances(tiling)
    assert distances.shape == (7, 8, 32)  # offsets -3 .. 3: the outermost are constant
    for offset, rows in zip(range(-3, 4), distances, strict=True):
        tile = np.asarray(jax.jit(expand)(jnp.asarray(rows)))
        keys, queries = np.mgrid[:16, :16]
        np.testing.assert_array_equal(tile, offset * 16 + keys - queries)
    # Folding is the transpose: <expand(x), y> = <x, fold(y)>.
    random = np.random.default_rng(0)
    x, y = random.integers(-9, 9, (8, 32)), random.integers(-9, 9, (16, 16))
    product = np.sum(np.asarray(jax.jit(expand)(jnp.asarray(x))) * y)
    np.testing.assert_array_equal(product, np.sum(x * jax.jit(fold)(jnp.asarray(y))))


@pytest.mark.parametrize("causal", [True, False])
def test_tiles_without_a_visible_pair_are_left_out(causal):
    tiling = _tiling(causal=causal)
    segments = segments_of(((20, 40, 7), (77,)), 77)[:1]
    marks = make_marks(tiling, segments, segments, None)
    summary = summarise(tiling, marks)
    seen = segment_mask(segments, segments)
    if causal:
        seen = causal_mask(segments)
    blocks = np.pad(np.asarray(seen[0]), ((0, 3), (0, 3))).reshape(5, 16, 5, 16).any((1, 3))
    for query_block, keys in enumerate(blocks):
        expected = np.flatnonzero(keys)
        assert (summary.key_start[query_block], summary.key_end[query_block]) == (
            expected[0],
            expected[-1],
        )
    for key_block, queries in enumerate(blocks.T):
        expected = np.flatnonzero(queries)
        assert summary.query_start[key_block] == expected[0]
        assert summary.query_end[key_block] == expected[-1]


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (dict(prefix=np.zeros((2, 41), bool)), "without causal=True"),
        (dict(bias_table=np.zeros((8, 3))), r"expected \[buckets, 2\]"),
        (dict(platform=None), "has kernels for TPU and GPU, not for 'cpu'"),
        (dict(platform="tpu", block=48), "power of two"),
    ],
)
def test_calls_that_cannot_work_are_refused(facts, message):
    (q, k, v, _), _ = inputs(41, 41, dtype=jnp.float32)
    segments = segments_of(PACKED, 41)
    common = dict(query_segments=segments, key_segments=segments, platform="tpu", interpret=True)
    with pytest.raises(ValueError, match=message):
        flash_attention(q, k, v, **common | facts)
    with pytest.raises(ValueError, match="2 query heads: expected a multiple of the 3"):
        flash_attention(q, jnp.ones((2, 41, 3, 16)), jnp.ones((2, 41, 3, 16)), **common)


@pytest.mark.slow
def test_the_benchmark_runs_on_a_cpu(tmp_path):
    root = Path(__file__).parents[1]
    command = [sys.executable, "benchmarks/attention.py", "--lengths", "64", "--heads", "2"]
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(root)}
    options = ["--rows", "2", "--repeats", "1", "--causal", "--out", str(tmp_path / "lines")]
    subprocess.run([*command, *options], cwd=root, env=environment, check=True)
    lines = [json.loads(line) for line in (tmp_path / "lines").read_text().splitlines()]
    assert [line["pass"] for line in lines] == ["forward", "forward_and_backward"]
    assert all(line["seconds"] > 0 and line["implementation"] == "xla" for line in lines)


FOUR_DEVICES = """
from test_flash_attention import *
from flan_jax.parallel.mesh import MeshConfig, make_mesh

arguments, gradient = inputs(41, 41, heads=4, kv_heads=4, dtype=jnp.float32)
case = self_attention()

def attend(q, k, v, table):
    return flash_attention(
        q, k, v, **case, bias_table=table, platform="tpu", block=16, interpret=True
    )

expected = gradients(attend, arguments, gradient)
for sizes, split in (((2, 1, 2, 1), True), ((1, 4, 1, 1), False)):  # 2 rows are no 4 ways
    mesh = make_mesh(MeshConfig(*sizes))
    with jax.set_mesh(mesh):
        actual = jax.block_until_ready(gradients(attend, arguments, gradient))
    assert_close(actual, expected, 1e-5)
    heads = PartitionSpec(("data", "fsdp"), None, "tensor", None)
    assert (actual[0].sharding.is_equivalent_to(NamedSharding(mesh, heads), 4)) == split
print("all agree")
"""


@pytest.mark.slow
def test_rows_and_heads_are_split_over_a_mesh():
    flags = "--xla_force_host_platform_device_count=4 --xla_backend_optimization_level=0"
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": flags,
        "PYTHONPATH": os.pathsep.join(paths),
    }
    done = subprocess.run(
        [sys.executable, "-c", FOUR_DEVICES], env=environment, capture_output=True, text=True
    )
    assert "all agree" in done.stdout, done.stderr


def test_the_gpu_kernels_are_lowered_to_triton():
    """Lowering needs no GPU; `benchmarks/attention.py` is what runs them on one."""
    shapes, segments = _shapes(256)
    # From jax 0.12 on, Triton asks for which GPU.
    device = AbstractDevice(device_kind="NVIDIA H100", num_cores=None, platform="gpu")
    with jax.sharding.use_abstract_mesh(AbstractMesh((1,), ("data",), abstract_device=device)):
        lowered = (
            jax.jit(functools.partial(_forward_and_backward, platform="gpu"))
            .trace(*shapes, segments)
            .lower(lowering_platforms=("cuda",))
        )
    # Forward; the gradients by keys and values, by queries, and of the bias near the diagonal.
    assert lowered.as_text().count("__gpu$xla.gpu.triton") == 4


def _shapes(length, rows=2, heads=4, sharding=None):
    def shape(dimensions, dtype, *axes):
        partition = None if sharding is None else sharding(*axes)
        return jax.ShapeDtypeStruct(dimensions, dtype, sharding=partition)

    batch = ("data", "fsdp")
    mixed = shape((rows, length, heads, 64), jnp.bfloat16, batch, None, "tensor")
    table = shape((32, heads), jnp.float32)
    return [mixed, mixed, mixed, table, mixed], shape((rows, length), jnp.int32, batch)


def _forward_and_backward(q, k, v, table, gradient, segments, platform):
    def attend(q, k, v, table):
        return flash_attention(
            q, k, v, bias_table=table, query_segments=segments, key_segments=segments,
            platform=platform,
        )  # fmt: skip

    output, pull = jax.vjp(attend, q, k, v, table)
    return output, *pull(gradient)


def _described_mesh(name, facts, sizes, monkeypatch) -> Mesh:
    """Returns a mesh of TPUs that are not there."""
    pytest.importorskip("libtpu")
    monkeypatch.setenv("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
    monkeypatch.setenv("TPU_SKIP_MDS_QUERY", "1")
    topology = topologies.get_topology_desc(platform="tpu", topology_name=name, **facts)
    devices = np.array(topology.devices).reshape(sizes)
    return Mesh(devices, AXES, axis_types=(AxisType.Auto,) * 4)


# Topology, its keyword arguments, mesh, length in tokens.
TOPOLOGIES = [
    ("v4:2x2x1", {"chip_config_name": "megacore"}, (1, 2, 2, 1), 8192),
    ("v5e:2x2", {}, (2, 1, 2, 1), 640),
    ("v5p:2x2x1", {}, (1, 4, 1, 1), 8192),
    ("v6e:2x2", {}, (1, 1, 4, 1), 32768),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "facts", "sizes", "length"), TOPOLOGIES)
def test_the_tpu_kernels_are_compiled_ahead_of_time(name, facts, sizes, length, monkeypatch):
    mesh = _described_mesh(name, facts, sizes, monkeypatch)
    rows, heads = 4, 16
    shapes, segments = _shapes(
        length, rows, heads, lambda *axes: NamedSharding(mesh, PartitionSpec(*axes))
    )
    run = functools.partial(_forward_and_backward, platform="tpu")
    with jax.set_mesh(mesh):
        compiled = jax.jit(run).lower(*shapes, segments).compile()
    text = compiled.as_text()
    assert text.count("tpu_custom_call") == 2
    # The table's gradient is summed over the rows' devices; queries, keys and values stay put.
    assert "all-gather" not in text and "all-to-all" not in text
    assert ("all-reduce" in text) == (sizes[0] * sizes[1] > 1)
    memory = compiled.memory_analysis()
    own = rows // (sizes[0] * sizes[1]) * heads // sizes[2] * length
    # O(T): less than two arrays of the queries' size, where the bias would be `length` numbers
    # for each of these queries.
    assert memory.temp_size_in_bytes < 2 * own * 64 * 2


@pytest.mark.slow
@pytest.mark.parametrize(("saved", "kernels"), [((MIXED,), 2), ((), 3)])
def test_rematerialisation_by_name_runs_the_forward_kernel_once(saved, kernels, monkeypatch):
    mesh = _described_mesh("v5e:2x2", {}, (4, 1, 1, 1), monkeypatch)
    named = lambda *axes: NamedSharding(mesh, PartitionSpec(*axes))  # noqa: E731
    (q, _, _, table, _), segments = _shapes(256, 4, 4, named)

    def layer(x, _):
        flash = functools.partial(flash_attention, platform="tpu", bias_table=x[1])
        mixed = flash(x[0], x[0], x[0], query_segments=x[2], key_segments=x[2])
        return (mixed, *x[1:]), None

    policy = jax.checkpoint_policies.save_only_these_names(*saved)
    layer = jax.checkpoint(layer, policy=policy, prevent_cse=False)

    def total(q, table, segments):
        return jax.lax.scan(layer, (q, table, segments), length=2)[0][0].astype(jnp.float32).sum()

    with jax.set_mesh(mesh):
        compiled = jax.jit(jax.grad(total)).lower(q, table, segments).compile()
    assert compiled.as_text().count('custom_call_target="tpu_custom_call"') == kernels
