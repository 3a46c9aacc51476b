"""Measures how long the training step takes to trace and to compile, by model size.

    taskset -c 0 python benchmarks/compile.py [--models t5_1_1_small t5_1_1_xxl]

Prints one JSON object a model, and one with the ratios to the first. The state is abstract, so
that nothing of a model's size is allocated; seconds are CPU seconds, the best of several. Layers
are scanned, so that depth costs nothing; width must not either. Rematerialisation is the first
model's for all: it is part of the program that is compiled.
"""

import argparse
import dataclasses
import json
import time

import jax
import measuring
import shapes
from train_step import build

from flan_jax.data.feed import FeedConfig
from flan_jax.parallel.mesh import MeshConfig, make_mesh
from flan_jax.train.optimizer import OptimizerConfig

FEED = FeedConfig(inputs_length=512, targets_length=128, batch_size=8)


def measure(config, repeats: int) -> dict[str, float]:
    """Returns the best seconds of tracing, and of compiling, from empty caches each time."""
    mesh = make_mesh(MeshConfig())
    seconds = {"trace": [], "compile": []}
    batch = shapes.batch(config, FEED)
    with jax.set_mesh(mesh):
        for _ in range(repeats):
            jax.clear_caches()
            start = time.process_time()
            step, abstract, _ = build(config, OptimizerConfig(), mesh)
            lowered = step.lower(abstract, batch)
            traced = time.process_time()
            lowered.compile()
            seconds["trace"].append(traced - start)
            seconds["compile"].append(time.process_time() - traced)
    return {name: round(min(values), 2) for name, values in seconds.items()}


def main() -> None:
    """Measures all models."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--models", nargs="+", default=["t5_1_1_small", "t5_1_1_xxl"], choices=shapes.MODELS
    )
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    measured = {}
    remat = shapes.MODELS[arguments.models[0]].remat
    for model in arguments.models:
        config = shapes.MODELS[model]
        config = dataclasses.replace(config, dtype=arguments.dtype, remat=remat)
        measured[model] = measure(config, arguments.repeats)
        about = {"model": model, "dtype": config.dtype, "remat": config.remat}
        print(json.dumps(measuring.versions() | about | measured[model]), flush=True)
    first, *others = measured
    for model in others:
        ratios = {
            f"{name}_ratio": round(measured[model][name] / measured[first][name], 3)
            for name in ("trace", "compile")
        }
        print(json.dumps({"models": [model, first]} | ratios))


if __name__ == "__main__":
    main()
