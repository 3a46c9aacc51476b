"""Measures a training step: tokens/s, model FLOP/s, share of the measured matmul ceiling, memory.

    taskset -c 0 python benchmarks/train_step.py --model t5_1_1_small --dtype float32
    python benchmarks/train_step.py --model t5_1_1_xl --batch 16 --inputs 1024 --targets 256 \\
        --examples 4 --remat dots_attention --param_dtype bfloat16 --out results.jsonl

Prints one JSON object; runs without TensorFlow, SeqIO and gin, on jax 0.10 to 0.12, on CPU, GPU
and TPU, with all devices on the mesh axis `fsdp`. Rows are packed with `--examples` of equal
length, and full. Seconds are CPU seconds where the device is a CPU, and of the wall elsewhere.
FLOPs are the model's: recomputation is not counted (`flan_jax.train.flops`).
"""

import dataclasses
import functools

import jax
import lines
import measuring
import shapes

from flan_jax.data.feed import FeedConfig
from flan_jax.model import transformer
from flan_jax.parallel import rules
from flan_jax.parallel.mesh import MeshConfig, make_mesh
from flan_jax.train import flops
from flan_jax.train.losses import LossConfig
from flan_jax.train.optimizer import OptimizerConfig, make_optimizer, make_schedule
from flan_jax.train.state import abstract_state, create_state
from flan_jax.train.step import make_train_step


def build(config, optimizer_config, mesh, accumulation=1):
    """Returns the step, the shapes of its state, and a function that makes the state."""
    axes = transformer.logical_axes(config)
    optimizer = make_optimizer(optimizer_config, 1000, axes)
    abstract = abstract_state(transformer.abstract(config), optimizer, axes, mesh)
    step = make_train_step(
        functools.partial(transformer.output, config),
        optimizer,
        make_schedule(optimizer_config, 1000),
        LossConfig(),
        jax.random.key(1),
        accumulation,
        jax.tree.map(lambda leaf: leaf.sharding, abstract),
    )
    init = functools.partial(transformer.init, config)
    create = functools.partial(create_state, init, optimizer, abstract, jax.random.key(0))
    return step, abstract, create


def measure(step, state, batch, steps: int) -> tuple[float, float]:
    """Returns the seconds of one step, the best of several, and its loss."""
    times = []
    for _ in range(steps):
        (state, metrics), seconds = measuring.timed(step, state, batch)
        times.append(seconds)
    return min(times), float(metrics["loss_sum"] / metrics["weight_sum"])


def run(arguments) -> dict:
    """Compiles and times the step that the arguments describe."""
    config = shapes.MODELS[arguments.model]
    changes = {
        field: getattr(arguments, field)
        for field in ("dtype", "param_dtype", "remat", "dropout_rate")
        if getattr(arguments, field) is not None
    }
    config = dataclasses.replace(config, **changes)
    feed = FeedConfig(
        arguments.inputs, arguments.targets, arguments.batch, architecture=config.architecture
    )
    ceiling = measuring.matmul_ceiling(config.dtype)
    mesh = make_mesh(MeshConfig(data=1, fsdp=-1))
    with jax.set_mesh(mesh):
        optimizer = OptimizerConfig(name=arguments.optimizer)
        step, _, create = build(config, optimizer, mesh, arguments.accumulation)
        state = create()
        batch = shapes.batch(config, feed, arguments.examples)
        batch = rules.global_batch(batch, mesh)
        compiled = step.lower(state, batch).compile()
        seconds, loss = measure(compiled, state, batch, arguments.steps)
    memory = compiled.memory_analysis()
    achieved = flops.train_step_flops(config, feed) / seconds
    tokens = feed.batch_size * feed.tokens
    return measuring.versions() | {
        "model": arguments.model,
        "shape": [feed.batch_size, feed.inputs_length, feed.targets_length],
        "examples_per_row": arguments.examples,
        "optimizer": arguments.optimizer,
        "dtype": config.dtype,
        "param_dtype": config.param_dtype,
        "remat": config.remat,
        "dropout_rate": config.dropout_rate,
        "gradient_accumulation": arguments.accumulation,
        "loss": round(loss, 4),
        "step_seconds": round(seconds, 4),
        "tokens_per_second": round(tokens / seconds),
        "model_tflops_per_second": round(achieved / 1e12, 3),
        "matmul_tflops_per_second": round(ceiling * mesh.size / 1e12, 3),
        "share_of_matmul": round(achieved / ceiling / mesh.size, 4),
        "peak_gb": round(measuring.peak_memory() / 1e9, 3),
        "temporary_gb": round(memory.temp_size_in_bytes / 1e9, 3),
    }


def main() -> None:
    """Measures one shape."""
    parser = lines.parser(__doc__)
    parser.add_argument("--model", default="t5_1_1_small", choices=shapes.MODELS)
    parser.add_argument("--batch", type=int, default=8, help="rows")
    parser.add_argument("--inputs", type=int, default=512, help="tokens of a row")
    parser.add_argument("--targets", type=int, default=128, help="tokens of a row")
    parser.add_argument("--examples", type=int, default=1, help="examples packed in a row")
    parser.add_argument("--optimizer", default="adafactor", choices=("adafactor", "adamw"))
    parser.add_argument("--dtype", choices=("float32", "bfloat16"))
    parser.add_argument("--param_dtype", choices=("float32", "bfloat16"))
    parser.add_argument("--remat")
    parser.add_argument("--dropout_rate", type=float)
    parser.add_argument("--accumulation", type=int, default=1, help="microbatches a step")
    parser.add_argument("--steps", type=int, default=5, help="steps timed; the best counts")
    arguments = parser.parse_args()
    lines.write(run(arguments), arguments.out)


if __name__ == "__main__":
    main()
