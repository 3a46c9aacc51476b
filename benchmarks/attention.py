"""Measures attention with T5's relative bias: in the kernel, and written out for XLA and cuDNN.

    python benchmarks/attention.py --out benchmarks/results/attention.jsonl    # on a GPU or TPU
    taskset -c 0 python benchmarks/attention.py --lengths 128 256 --rows 2     # on a CPU
    python benchmarks/attention.py --topology v5e:2x2    # compiles for a TPU; needs libtpu alone

Prints one JSON object a line, for each length, implementation, and pass: forward alone, and forward
with the gradients by queries, keys, values and the table. Runs without TensorFlow, SeqIO and gin,
on jax 0.10 to 0.12. Without `--rows`, rows are so many that they hold `--tokens` in all. Seconds
are CPU seconds where the device is a CPU, and of the wall elsewhere, the median of several.

"flash" is `flan_jax.model.flash_attention`, on GPUs and TPUs; the others are given a bias
[1, heads, S, S] that is made of the table inside of what is timed, as a model makes it: "xla"
(`jax.nn.dot_product_attention`) everywhere and "cudnn" (the same with cuDNN's kernel) on GPUs.
Temporary bytes are what the compiled program needs beside its arguments and results; the peak is
both together. FLOPs are those of the products: 4 rows heads S^2 width forward and 8 backward
(recomputation is not counted), and half of it where attention is causal.
"""

import functools
import platform
import statistics

import jax
import jax.numpy as jnp
import jaxlib
import lines
import measuring
import numpy as np
from jax.experimental import topologies
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from flan_jax.model import attention
from flan_jax.model.config import ModelConfig
from flan_jax.model.flash_attention import flash_attention
from flan_jax.parallel.mesh import AXES

# Of this model the benchmark has the buckets alone.
T5 = ModelConfig(
    architecture="encoder_decoder", vocab_size=32128, d_model=512, d_ff=1024, num_layers=8,
    num_heads=6, head_dim=64,
)  # fmt: skip


def flash(q, k, v, table, segments, causal: bool, platform: str):
    """Attention with the bias in the kernel."""
    return flash_attention(
        q,
        k,
        v,
        query_segments=segments,
        key_segments=segments,
        bias_table=table,
        bidirectional=not causal,
        max_distance=T5.relative_max_distance,
        causal=causal,
        platform=platform,
    )


def written_out(q, k, v, table, segments, causal: bool, implementation: str):
    """Attention with the bias and the mask in memory."""
    length = q.shape[1]
    mask = segments[:, :, None] == segments[:, None, :]
    if causal:
        mask = mask & jnp.tril(jnp.ones((length, length), bool))
    bias = attention.relative_bias(T5, table, length, length, not causal).astype(q.dtype)
    return jax.nn.dot_product_attention(
        q, k, v, bias, mask[:, None], scale=1.0, implementation=implementation
    )


def implementations(platform: str) -> dict:
    """Returns the functions that there are on a platform."""
    found = {"xla": functools.partial(written_out, implementation="xla")}
    if platform in ("gpu", "tpu"):
        found["flash"] = functools.partial(flash, platform=platform)
    if platform == "gpu":
        found["cudnn"] = functools.partial(written_out, implementation="cudnn")
    return found


def forward_and_backward(attend, q, k, v, table, segments, gradient):
    """Returns the output and the gradients by queries, keys, values and table."""
    mixed, pull = jax.vjp(lambda *inputs: attend(*inputs, segments), q, k, v, table)
    return mixed, pull(gradient)


def forward(attend, q, k, v, table, segments, gradient):
    """Returns the output."""
    del gradient
    return attend(q, k, v, table, segments)


PASSES = {"forward": (forward, 4), "forward_and_backward": (forward_and_backward, 12)}


def shapes_of(arguments, rows: int, length: int, sharding) -> tuple:
    """Returns the shapes of a call's arguments."""
    mixed = (rows, length, arguments.heads, arguments.width)
    make = functools.partial(jax.ShapeDtypeStruct, sharding=sharding)
    return (
        *[make(mixed, arguments.dtype)] * 3,
        make((T5.relative_buckets, arguments.heads), jnp.float32),
        make((rows, length), jnp.int32),
        make(mixed, arguments.dtype),
    )


def random_arrays(shapes: tuple, packed: int) -> list[jax.Array]:
    """Returns random arrays, and rows of `packed` segments of the same length."""
    arrays = []
    for shape, key in zip(shapes, jax.random.split(jax.random.key(0), len(shapes)), strict=True):
        if shape.dtype == jnp.int32:
            row = jnp.arange(shape.shape[1]) * packed // shape.shape[1] + 1
            arrays.append(jnp.broadcast_to(row, shape.shape).astype(jnp.int32))
        else:
            arrays.append(jax.random.normal(key, shape.shape, shape.dtype))
    return arrays


def seconds_of(compiled, arrays, repeats: int) -> float:
    """Returns the median of several timings of a few calls each."""
    calls = 1 if jax.default_backend() == "cpu" else 10
    jax.block_until_ready(compiled(*arrays))
    times = []
    for _ in range(repeats):
        start = measuring.clock()
        for _ in range(calls):
            result = compiled(*arrays)
        jax.block_until_ready(result)
        times.append((measuring.clock() - start) / calls)
    return statistics.median(times)


def measure(arguments, name, attend, length: int, mesh: Mesh | None, ceiling: float | None):
    """Yields the facts of one implementation at one length."""
    rows = arguments.rows or max(1, arguments.tokens // length)
    sharding = None if mesh is None else NamedSharding(mesh, PartitionSpec())
    shapes = shapes_of(arguments, rows, length, sharding)
    for pass_name, (run, products) in PASSES.items():
        facts = {
            "implementation": name,
            "pass": pass_name,
            "length": length,
            "rows": rows,
            "segments_per_row": arguments.segments,
            "heads": arguments.heads,
            "width": arguments.width,
            "dtype": arguments.dtype,
            "causal": arguments.causal,
        }
        call = functools.partial(run, functools.partial(attend, causal=arguments.causal))
        try:
            compiled = jax.jit(call).lower(*shapes).compile()
            memory = compiled.memory_analysis()
            facts["temporary_bytes"] = memory.temp_size_in_bytes
            facts["peak_bytes"] = memory.peak_memory_in_bytes
            if ceiling is not None:
                arrays = random_arrays(shapes, arguments.segments)
                seconds = seconds_of(compiled, arrays, arguments.repeats)
                share = 0.5 if arguments.causal else 1.0
                flops = share * products * rows * arguments.heads * length**2 * arguments.width
                facts["seconds"] = round(seconds, 6)
                facts["tokens_per_second"] = round(rows * length / seconds)
                facts["tflops_per_second"] = round(flops / seconds / 1e12, 3)
                facts["share_of_matmul"] = round(flops / seconds / ceiling, 4)
        except (jax.errors.JaxRuntimeError, NotImplementedError, ValueError) as error:
            # What a peer cannot do, or has no memory for, is a result.
            facts["error"] = str(error).splitlines()[0][:200]
        yield facts


def device_facts(mesh: Mesh | None) -> dict:
    """Returns the versions and the device that a figure depends on."""
    device = jax.devices()[0] if mesh is None else mesh.devices.flat[0]
    return {
        "jax": jax.__version__,
        "jaxlib": jaxlib.__version__,
        "python": platform.python_version(),
        "device": device.device_kind,
        "measured": mesh is None,
    }


def described_mesh(topology: str) -> Mesh:
    """Returns the mesh of the first device of a TPU that is not there."""
    devices = topologies.get_topology_desc(platform="tpu", topology_name=topology).devices[:1]
    return Mesh(np.array(devices).reshape(1, 1, 1, 1), AXES, axis_types=(AxisType.Auto,) * 4)


def run(arguments):
    """Yields the lines."""
    if arguments.topology:
        mesh, ceiling, backend = described_mesh(arguments.topology), None, "tpu"
        jax.set_mesh(mesh)
    else:
        mesh, ceiling = None, measuring.matmul_ceiling(arguments.dtype)
        backend = jax.default_backend()
    for length in arguments.lengths:
        for name, attend in implementations(backend).items():
            for facts in measure(arguments, name, attend, length, mesh, ceiling):
                yield device_facts(mesh) | facts


def main() -> None:
    """Measures all lengths."""
    on_cpu = jax.default_backend() == "cpu"
    parser = lines.parser(__doc__)
    parser.add_argument("--lengths", type=int, nargs="+", default=[512, 2048, 8192])
    parser.add_argument("--tokens", type=int, default=16384, help="tokens of all rows together")
    parser.add_argument("--rows", type=int, help="in place of --tokens")
    parser.add_argument("--segments", type=int, default=1, help="segments packed in a row")
    parser.add_argument("--heads", type=int, default=16)
    parser.add_argument("--width", type=int, default=64, help="of a head")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"))
    parser.add_argument("--causal", action="store_true", help="as in the decoder")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--topology", help="of a TPU to compile for without one, like v5e:2x2")
    arguments = parser.parse_args()
    arguments.dtype = arguments.dtype or (
        "float32" if on_cpu and not arguments.topology else "bfloat16"
    )
    for facts in run(arguments):
        lines.write(facts, arguments.out)


if __name__ == "__main__":
    main()
