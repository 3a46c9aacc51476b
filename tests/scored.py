"""Scored tasks made up for the tests of results and reports."""

import numpy as np

from flan_jax.evaluation.results import Results, TaskScores

ROLES = {"animals": "test", "moods": "test", "tools": "dev", "topics": "trained"}


def make_task(name, cluster, right, *, chance=0.5, majority=0.55, samples=(), seed=0):
    """A task of 60 examples and 5 templates that is right with the given probabilities."""
    generator = np.random.default_rng([seed, *name.encode()])
    right = np.broadcast_to(right, 5)
    values = (generator.random((60, 5)) < right).astype(float)
    return TaskScores(
        name=f"{name}:zero_shot:rank",
        task=name,
        cluster=cluster,
        metrics=("accuracy",),
        templates=tuple(f"Wording {i} of {name}: {{question}} {{options}}" for i in range(5)),
        examples=tuple(range(60)),
        statistics={"accuracy": values[..., None]},
        chance=chance,
        majority=majority,
        samples=tuple(samples),
        cache=f"{name}.zero_shot.rank-test-0123456789ab",
    )


def make_results(system, shares, seed=0, samples=()):
    """Two tasks in each of four clusters, right with the cluster's probability."""
    tasks = [
        make_task(f"{cluster}_{i}", cluster, share, samples=samples, seed=seed)
        for cluster, share in shares.items()
        for i in (1, 2)
    ]
    return Results(system, tuple(tasks), ROLES, seconds=1.5, facts={"seed": seed})


TUNED = {"animals": 0.9, "moods": 0.52, "tools": 0.8, "topics": 0.95}
PRETRAINED = {"animals": 0.55, "moods": 0.5, "tools": 0.5, "topics": 0.5}
