"""Compiles one plan in a process of its own, which a time limit or the compiler may end.

Reads a request (`request`) as JSON from its standard input and writes the plan as the last line of
its standard output: `python -m flan_jax.parallel.planning.worker`.
"""

import dataclasses
import json
import os
import subprocess
import sys
from typing import Any

from flan_jax.data.feed import FeedConfig
from flan_jax.model.config import ModelConfig
from flan_jax.parallel.planning import plan
from flan_jax.parallel.planning.compilation import Job
from flan_jax.train.losses import LossConfig
from flan_jax.train.optimizer import OptimizerConfig


class WorkerFailed(RuntimeError):
    """The compiling process ended without a plan."""


def request(
    job: Job,
    topology: str,
    shape: tuple[int, ...],
    num_slices: int,
    program: str,
    hlo_file: str | None = None,
) -> dict[str, Any]:
    """Returns the arguments of `plan.compile_plan` as JSON types."""
    return {
        "job": dataclasses.asdict(job),
        "topology": topology,
        "shape": list(shape),
        "num_slices": num_slices,
        "program": program,
        "hlo_file": hlo_file,
    }


def compile_apart(asked: dict[str, Any], seconds: float | None = None) -> plan.Plan:
    """Runs `plan.compile_plan` in another process.

    Args:
      asked: from `request`.
      seconds: limit of wall time; None for none.

    Raises:
      TimeoutError: the limit is over.
      WorkerFailed: the process failed; the message has the last lines of what it said.
    """
    # The compiler is of the CPU's process; devices that happen to be here stay free.
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "flan_jax.parallel.planning.worker"],
            input=json.dumps(asked), capture_output=True, text=True, timeout=seconds,
            env=environment, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"compiling took longer than {seconds:.0f} seconds") from None
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-3:])
        raise WorkerFailed(f"compiling {asked['shape']} for {asked['topology']} failed: {last}")
    return plan.from_json(json.loads(done.stdout.strip().splitlines()[-1]))


def main() -> None:
    asked = json.load(sys.stdin)
    job = asked["job"]
    optimizer = job["optimizer"] | {"no_decay": tuple(job["optimizer"]["no_decay"])}
    result = plan.compile_plan(
        Job(
            ModelConfig(**job["model"]),
            FeedConfig(**job["feed"]),
            OptimizerConfig(**optimizer),
            LossConfig(**job["loss"]),
            job["gradient_accumulation"],
        ),
        asked["topology"],
        tuple(asked["shape"]),
        asked["num_slices"],
        asked["program"],
        asked["hlo_file"],
    )
    print(json.dumps(plan.to_json(result)))


if __name__ == "__main__":
    main()
