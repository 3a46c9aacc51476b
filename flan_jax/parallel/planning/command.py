"""What `scripts/plan.py` does: one model on one topology, or the page of all of them."""

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from flan_jax.data.feed import FeedConfig
from flan_jax.parallel.mesh import MeshConfig, resolve
from flan_jax.parallel.planning import page, plan, search, tables
from flan_jax.parallel.planning.compilation import Job
from flan_jax.parallel.planning.plan import Plan

# Function of a file of gin/models and gin bindings to (model, optimiser, loss).
Configure = Callable[[str, Sequence[str]], tuple]


def run(arguments: argparse.Namespace, rest: Sequence[str], configure: Configure) -> int:
    """Plans, prints and writes; returns the script's exit status.

    Args:
      arguments: of `scripts/plan.py`.
      rest: `--gin.NAME=VALUE` arguments.
      configure: builds the configuration of a model; gin is the script's.
    """
    # In a file or a pipe, lines need not fit a terminal.
    console = Console(width=None if sys.stdout.isatty() else 160)
    results = search.Results(arguments.results)
    if arguments.page:
        text = page.write(results, arguments.minutes, console.print, configure)
        Path(arguments.page).write_text(text, encoding="utf-8")
        return 0
    try:
        return _plan(arguments, make_job(arguments, bindings(rest), configure), results, console)
    except ValueError as error:
        console.print(f"plan.py: {error}", markup=False, soft_wrap=True)
        return 2


def bindings(rest: Sequence[str]) -> list[str]:
    """Returns gin bindings from `--gin.NAME=VALUE` arguments.

    Raises:
      ValueError: for any other argument.
    """
    matches = [re.fullmatch(r"--gin\.([\w./]+)\s*=(.*)", one, flags=re.DOTALL) for one in rest]
    if None in matches:
        raise ValueError(f"unknown argument {rest[matches.index(None)]!r}; see --help")
    return [f"{match[1]} = {match[2]}" for match in matches]


def make_job(arguments: argparse.Namespace, lines: Sequence[str], configure: Configure) -> Job:
    """Returns the job that the arguments describe.

    Raises:
      ValueError: no model or topology, or one that does not exist.
    """
    if not (arguments.model and arguments.topology):
        raise ValueError(
            "give --model (a file of gin/models) and --topology, e.g. --model t5_1_1_xxl "
            "--topology v5p:4x4x4"
        )
    optimizer = f"OptimizerConfig.name = {arguments.optimizer!r}"
    model, optimizer, loss = configure(arguments.model, [optimizer, *lines])
    devices = plan.device_count(arguments.topology, arguments.slices)
    feed = FeedConfig(
        arguments.inputs_length,
        arguments.targets_length,
        arguments.batch_size or 4 * devices,
        architecture=model.architecture,
    )
    return Job(model, feed, optimizer, loss, arguments.gradient_accumulation)


def _plan(
    arguments: argparse.Namespace, job: Job, results: search.Results, console: Console
) -> int:
    remats = (arguments.remat,) if arguments.remat else search.REMATS
    known = search.candidates(job, arguments.topology, arguments.slices, remats)
    chosen = known
    if arguments.mesh:
        devices = plan.device_count(arguments.topology, arguments.slices)
        shape = resolve(MeshConfig.parse(arguments.mesh), devices)
        chosen = [
            plan.analyse(search.with_remat(job, remat), arguments.topology, shape, arguments.slices)
            for remat in remats
        ]
        chosen.sort(key=lambda one: one.rank)
    fitting = [one for one in chosen if one.fits or _is_close(one, arguments)]
    if not fitting:
        least = min(chosen, key=lambda one: one.memory.total)
        console.print(search.refusal(least, known), markup=False, soft_wrap=True)
        return 1
    plans = fitting[: arguments.rows]
    if search.is_compilable(arguments.topology):
        limit = arguments.rows if arguments.search else 1
        plans = _compile(arguments, job, fitting[:limit], results, console)
    else:
        console.print("GPUs: by analysis alone (formulas, nothing was compiled).")
    if not plans:
        return 1
    console.print(tables.overview(plans))
    console.print(tables.details(plans[0]), markup=False, soft_wrap=True)
    if plans[0].fits:
        console.print(f"to train so: {tables.settings(plans[0])}", markup=False, soft_wrap=True)
    for one in plans:
        if not one.fits:
            console.print(search.refusal(one, [*plans, *known]), markup=False, soft_wrap=True)
    if arguments.json:
        records = [plan.to_json(one) for one in plans]
        Path(arguments.json).write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    return 0 if plans[0].fits else 1


def _is_close(one: Plan, arguments: argparse.Namespace) -> bool:
    """Whether a mesh that was asked for may fit after all: the compiler will tell."""
    asked = arguments.mesh and search.is_compilable(arguments.topology)
    return bool(asked) and one.memory.total <= one.hbm_bytes


def _compile(
    arguments: argparse.Namespace,
    job: Job,
    sketches: Sequence[Plan],
    results: search.Results,
    console: Console,
) -> list[Plan]:
    console.print(tables.overview(sketches))
    jobs = [(search.with_remat(job, one.remat), one) for one in sketches]
    return search.compile_all(
        jobs,
        results,
        arguments.minutes,
        console.print,
        arguments.model,
        "decode" if arguments.decode else "train",
        arguments.hlo,
    )
