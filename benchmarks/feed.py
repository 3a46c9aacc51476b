"""Measures the feed from cache: packed examples per CPU second, and how full the rows are.

    taskset -c 0 python benchmarks/feed.py [--seed 1] [--out results.jsonl]

Writes one JSON object a line. Caches with random tokens of log-normal lengths are made in a
temporary folder; the time counts everything from the draw of the examples to finished batches,
checksums and first reads included. Runs without TensorFlow in about ten seconds.
"""

import dataclasses
import json
import platform
import tempfile
import time
from pathlib import Path

import lines
import numpy as np

from flan_jax.data import feed, store
from flan_jax.data.store import CacheWriter, write_manifest

VOCABULARY = {"digest": "benchmark", "size": 32_100, "sentinels": 100, "path": None}
FLAN = {"inputs": (116, 512), "targets": (21, 128), "sigma": 0.8}
MINI = {"inputs": (15, 64), "targets": (5, 32), "sigma": 0.4}


def log_normal_lengths(rng, mean: float, sigma: float, capacity: int, count: int) -> np.ndarray:
    """Draws lengths with the given mean before they are cut at the capacity; tokens."""
    values = rng.normal(np.log(mean) - sigma**2 / 2, sigma, count)
    return np.clip(np.exp(values).astype(int), 1, capacity)


def write_cache(folder: Path, rng, shape: dict, examples: int, objective: str | None) -> None:
    """Writes a cache of random tokens."""
    folder.mkdir()
    writer = CacheWriter(str(folder), store.schema(VOCABULARY["size"]))
    sides = {
        side: log_normal_lengths(rng, mean, shape["sigma"], capacity, examples)
        for side, (mean, capacity) in (("inputs", shape["inputs"]), ("targets", shape["targets"]))
    }
    for example in range(examples):
        row = {"example": example, "template": 0}
        for side, lengths in sides.items():
            row[side] = rng.integers(3, 32_000, lengths[example])
        writer.add([row])
    facts = {
        "cache": folder.name,
        "tokens": {side: int(lengths.sum()) for side, lengths in sides.items()},
        "longest": {side: int(lengths.max()) for side, lengths in sides.items()},
        "objective": objective,
        "vocabulary": VOCABULARY,
        "lengths": [shape["inputs"][1], shape["targets"][1]],
    }
    write_manifest(str(folder), writer.close(), facts)


def measure(name: str, mixture: feed.Mixture, config: feed.FeedConfig, examples: int) -> dict:
    """Feeds about `examples` examples and returns what was seen."""
    seen = rows = inputs = targets = 0
    start, begun, first = time.process_time(), time.perf_counter(), None
    for batch, _ in feed.batches(mixture, config, seed=0):
        first = first or time.perf_counter() - begun
        seen += int((batch.decoder_positions[batch.decoder_segments > 0] == 0).sum())
        rows += len(batch.decoder_targets)
        targets += int(np.count_nonzero(batch.decoder_segments))
        if batch.encoder_segments is not None:
            inputs += int(np.count_nonzero(batch.encoder_segments))
        if seen >= examples:
            break
    seconds = time.process_time() - start
    encoder_decoder = config.architecture == "encoder_decoder"
    width = config.targets_length + (0 if encoder_decoder else config.inputs_length)
    return {
        "case": name,
        "members": len(mixture.members),
        "window": config.window,
        "packing": config.packing,
        "batch_size": config.batch_size,
        "examples": seen,
        "examples_per_cpu_second": round(seen / seconds),
        "tokens_per_cpu_second": round((inputs + targets) / seconds),
        "examples_per_row": round(seen / rows, 2),
        "inputs_filled": round(inputs / rows / config.inputs_length, 4) if inputs else None,
        "targets_filled": round(targets / rows / width, 4),
        "first_batch_seconds": round(first, 3),
        "numpy": np.__version__,
        "machine": platform.processor() or platform.machine(),
    }


def cases(folder: Path, seed: int):
    """Yields (name, mixture, config, examples to feed) of each case."""
    rng = np.random.default_rng(seed)
    for name, shape, members, batch_size in (
        ("flan", FLAN, 1, 128),
        ("flan 100 tasks", FLAN, 100, 128),
        ("mini", MINI, 1, 8),
    ):
        entries = []
        for number in range(members):
            path = folder / f"{name}-{number}".replace(" ", "-")
            write_cache(path, rng, shape, 20_000 // members, None)
            entries.append({"task": path.name, "cache": path.name, "rate": 1.0})
        location = folder / f"{name}.json"
        location.write_text(json.dumps({"name": name, "members": entries}))
        inputs, targets = shape["inputs"][1], shape["targets"][1]
        config = feed.FeedConfig(inputs, targets, batch_size, packing="exchange")
        yield name, feed.open_mixture(str(location)), config, 20_000
        if name == "flan":
            best_fit = dataclasses.replace(config, packing="best_fit")
            yield "flan, best fit", feed.open_mixture(str(location)), best_fit, 20_000
            decoder = dataclasses.replace(config, architecture="decoder_only")
            yield "flan, decoder-only", feed.open_mixture(str(location)), decoder, 20_000


def main() -> None:
    """Runs all cases."""
    parser = lines.parser(__doc__)
    parser.add_argument("--seed", type=int, default=0, help="seed of the lengths")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for case in cases(Path(folder), arguments.seed):
            lines.write(measure(*case) | {"seed": arguments.seed}, arguments.out)


if __name__ == "__main__":
    main()
