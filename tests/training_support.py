"""What the training tests share: a small cached mixture and a small run over it."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import make_cache
import numpy as np

from flan_jax import storage
from flan_jax.data.feed import FeedConfig
from flan_jax.model.config import ModelConfig
from flan_jax.train.checkpoint import CheckpointConfig
from flan_jax.train.metrics_log import LoggingConfig
from flan_jax.train.optimizer import OptimizerConfig
from flan_jax.train.run import TrainRun

VOCABULARY = 64
REPOSITORY = Path(__file__).resolve().parent.parent


def write_mixture(folder: Path, vocabulary_digest: str = "a" * 64) -> str:
    """Writes two caches of learnable examples (copy, and reverse) and their mixture."""
    vocabulary = {
        "digest": vocabulary_digest, "size": VOCABULARY, "sentinels": 0, "path": "toy.model"
    }  # fmt: skip
    sizes = {"copy": 40, "reverse": 60}
    for number, (task, size) in enumerate(sizes.items()):
        rng = np.random.default_rng(number)
        examples = []
        for _ in range(size):
            ids = rng.integers(3, VOCABULARY, size=rng.integers(2, 7)).tolist()
            target = ids if task == "copy" else ids[::-1]
            examples.append([{"inputs": [*ids, 1], "targets": [*target, 1]}])
        make_cache.write_cache(
            folder / task, examples, lengths=(12, 12), vocabulary=vocabulary, rows_per_batch=16
        )
    rates = {task: float(size) for task, size in sizes.items()}
    return make_cache.write_mixture(folder / "toy-train.json", rates)


def small_run(output_dir: str | Path, mixture: str, **changes) -> TrainRun:
    """A run of 20 steps with dropout and gradient accumulation on.

    A window gives about two batches of 8 rows and a member's epoch ends within a few windows, so
    that 20 steps cross both boundaries several times.
    """
    run = TrainRun(
        output_dir=str(output_dir),
        mixture=mixture,
        model=ModelConfig(
            architecture="encoder_decoder",
            vocab_size=VOCABULARY,
            d_model=16,
            d_ff=32,
            num_layers=2,
            num_heads=2,
            head_dim=8,
            dropout_rate=0.1,
            dtype="float32",
        ),
        feed=FeedConfig(inputs_length=16, targets_length=16, batch_size=8, window=32),
        optimizer=OptimizerConfig(
            name="adamw",
            learning_rate=1e-2,
            schedule="cosine",
            warmup_steps=4,
            decay_steps=20,  # the step's program is then one for runs of any length
            weight_decay=0.01,
        ),
        checkpoint=CheckpointConfig(interval=5, keep=10),
        logging=LoggingConfig(interval=5, tensorboard=False),
        steps=20,
        gradient_accumulation=2,
    )
    return dataclasses.replace(run, **changes)


def losses(run: TrainRun) -> dict[int, float]:
    """The recorded loss by step."""
    lines = (storage.path(run.output_dir) / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert len({record["step"] for record in records}) == len(records), "a step is recorded twice"
    return {record["step"]: record["loss"] for record in records}


def start_process(code: str, *arguments: str, devices: int = 1, **variables: str):
    """Starts a Python process on simulated CPU devices; `code` may import this module."""
    environment = os.environ | variables
    environment |= {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests")]),
    }
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen, timeout: float = 120) -> str:
    """Waits for a process that must succeed; returns what it printed."""
    output, _ = process.communicate(timeout=timeout)
    assert process.returncode == 0, output
    return output
