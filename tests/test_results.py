"""Means, spreads and intervals of scored examples."""

import dataclasses

import numpy as np
import pytest
import scored

from flan_jax.evaluation import metrics, results
from flan_jax.evaluation.results import Results, TaskScores


def task_of(values, **changes):
    """A task with the given accuracies [N, T]."""
    values = np.asarray(values, float)
    task = scored.make_task("task", "animals", 1.0)
    task = dataclasses.replace(
        task,
        templates=task.templates[: values.shape[1]],
        examples=tuple(range(len(values))),
        statistics={"accuracy": values[..., None]},
    )
    return dataclasses.replace(task, **changes)


def test_a_task_is_the_mean_over_templates_not_over_renderings():
    task = task_of([[1, 0], [1, np.nan], [1, np.nan], [0, np.nan]])
    assert results.template_scores(task).tolist() == [0.75, 0.0]
    assert results.task_score(task, resamples=10).value == pytest.approx(0.375)


def test_clusters_average_tasks_and_roles_average_clusters():
    one, two = task_of([[1], [1]], task="one"), task_of([[0], [0], [0], [1]], task="two")
    three = task_of([[1], [0]], task="three", cluster="moods", chance=0.25)
    summary = results.summarise(Results("tuned", (one, two, three), scored.ROLES))
    assert summary.clusters["animals"].score.value == pytest.approx((1 + 0.25) / 2)
    assert summary.clusters["animals"].n == 6
    assert summary.clusters["moods"].chance == 0.25
    assert summary.mean(role="test").value == pytest.approx((0.625 + 0.5) / 2)
    assert summary.mean(["moods"]).value == 0.5
    assert summary.mean(role="dev") is None


def test_spread_best_and_worst_template():
    task = task_of([[1, 0, 1], [1, 0, 0]])
    (cluster,) = results.summarise(Results("s", (task,), scored.ROLES)).clusters.values()
    (found,) = cluster.tasks
    assert found.templates == (1.0, 0.0, 0.5)
    assert found.spread == pytest.approx(np.std([1, 0, 0.5]))
    assert (found.best, found.worst) == (0, 1)


def test_clusters_are_listed_by_role():
    order = list(results.summarise(scored.make_results("tuned", scored.TUNED)).clusters)
    assert order == ["animals", "moods", "tools", "topics"]
    shuffled = dict(reversed(scored.TUNED.items()))
    order = list(results.summarise(scored.make_results("tuned", shuffled)).clusters)
    assert order == ["moods", "animals", "tools", "topics"]


def test_the_interval_resamples_source_examples():
    # Ten renderings of an example that agree say no more than one: the standard error is that of
    # 100 coin throws, 0.05, and not of 1,000.
    coins = np.random.default_rng(0).integers(0, 2, (100, 1))
    score = results.task_score(task_of(np.repeat(coins, 5, axis=1)), resamples=4000)
    low, high = score.interval
    assert (high - low) / 2 == pytest.approx(1.96 * 0.05, rel=0.1)
    assert low < score.value < high


def test_draws_are_seeded_and_paired_between_systems():
    values = np.random.default_rng(1).integers(0, 2, (50, 5))
    task = task_of(values)
    score = results.task_score(task, seed=3)
    assert np.array_equal(score.draws, results.task_score(task, seed=3).draws)
    assert not np.array_equal(score.draws, results.task_score(task, seed=4).draws)
    better = dataclasses.replace(task, statistics={"accuracy": (values * 0.5)[..., None]})
    difference = score - results.task_score(better, seed=3)
    assert difference.draws == pytest.approx(score.draws / 2)


def test_draws_do_not_depend_on_the_chunk(monkeypatch):
    task = task_of(np.random.default_rng(1).integers(0, 2, (50, 5)))
    whole = results.task_score(task, resamples=20).draws
    monkeypatch.setattr(results, "_CHUNK", 150)
    assert results.task_score(task, resamples=20).draws == pytest.approx(whole)


def test_corpus_metrics_are_resampled_as_corpora():
    metric = metrics.lookup("bleu")
    pairs = [("the cat sat on the mat", "the cat sat on a mat"), ("a dog", "a dog ran off today")]
    rows = np.array([metric.statistics(text, [reference]) for text, reference in pairs])
    task = task_of(np.ones((2, 1)), metrics=("bleu",), statistics={"bleu": rows[:, None]})
    score = results.task_score(task, resamples=100)
    expected = metrics.corpus_score("bleu", *zip(*[(p, [r]) for p, r in pairs], strict=True))
    assert score.value == pytest.approx(expected)
    assert len(np.unique(score.draws.round(9))) == 3  # both, the first twice, the second twice


def test_seeds_are_averaged_and_listed():
    runs = [scored.make_results("tuned", scored.TUNED, seed) for seed in (1, 2, 3)]
    both = results.summarise(runs)
    singles = [results.summarise(run) for run in runs]
    cluster = both.clusters["moods"]
    values = [single.clusters["moods"].score.value for single in singles]
    assert cluster.seeds == pytest.approx(values)
    assert cluster.score.value == pytest.approx(np.mean(values))
    with pytest.raises(ValueError, match="'tuned' scored different"):
        results.summarise([runs[0], dataclasses.replace(runs[1], tasks=runs[1].tasks[:3])])


def test_best_of_takes_the_better_form_of_each_cluster():
    shown = scored.make_results("shown", {"animals": 1.0, "moods": 0.0})
    hidden = scored.make_results("hidden", {"animals": 0.0, "moods": 1.0})
    best = results.summarise(results.best_of("pretrained", [shown, hidden]))
    assert best.system == "pretrained"
    assert [cluster.score.value for cluster in best.clusters.values()] == [1.0, 1.0]


def test_save_and_load_keep_everything(tmp_path):
    sample = {"prompt": "Wo? ä → b", "options": ["x"], "option_scores": [-1.5]}
    before = scored.make_results("tuned", scored.TUNED, samples=[sample])
    before.tasks[0].statistics["accuracy"][3, 2] = np.nan
    results.save(before, str(tmp_path / "results.json"))
    after = results.load(str(tmp_path / "results.json"))
    for a, b in zip(before.tasks, after.tasks, strict=True):
        assert np.array_equal(a.statistics["accuracy"], b.statistics["accuracy"], equal_nan=True)
    blank = [
        dataclasses.replace(
            run, tasks=tuple(dataclasses.replace(t, statistics={}) for t in run.tasks)
        )
        for run in (before, after)
    ]
    assert blank[0] == blank[1]
    assert isinstance(after.tasks[0], TaskScores)


def test_errors():
    with pytest.raises(ValueError, match="at least one run"):
        results.summarise([])
    run = dataclasses.replace(scored.make_results("tuned", scored.TUNED), roles={"moods": "held"})
    with pytest.raises(ValueError, match="cluster 'animals' of system 'tuned' has role None"):
        results.summarise(run)
