"""Paired tests: closed-form answers, SciPy's, and how often they err where nothing differs."""

import dataclasses
import math

import numpy as np
import pytest
import scored

from flan_jax.evaluation import metrics, paired, results, significance
from flan_jax.evaluation.results import Results, Score


def task_of(values, **changes):
    """A task with the given accuracies [N, T]."""
    values = np.asarray(values, float)
    task = dataclasses.replace(
        scored.make_task("task", "animals", 1.0),
        templates=tuple(f"wording {i}" for i in range(values.shape[1])),
        examples=tuple(range(len(values))),
        statistics={"accuracy": values[..., None]},
    )
    return dataclasses.replace(task, **changes)


def outcome(ours, theirs, **settings):
    drawn = significance.draw(significance.align(task_of(ours), task_of(theirs)), **settings)
    return significance.joint_test([drawn], [1.0])


def test_all_swaps_give_the_exact_p():
    # Of the 2^5 ways to flip five equal differences two are as extreme as all one way.
    found = outcome([[1]] * 5, [[0]] * 5)
    assert (found.p, found.exact, found.n) == (2 / 32, True, 5)
    assert found.difference.value == 1.0
    # Differences 1, 1, -1: the sum is 1, and every one of the eight sums has that size or more.
    assert outcome([[1], [1], [0]], [[0], [0], [1]]).p == 1.0
    # Differences 0.5, 1, 1 in halves of two templates: 2.5 is reached by 2 of 8.
    assert outcome([[1, 0], [1, 1], [1, 1]], [[0, 0]] * 3).p == 2 / 8


def test_examples_that_agree_change_nothing():
    agreeing = [[1]] * 50 + [[0]] * 50
    found = outcome([[1]] * 5 + agreeing, [[0]] * 5 + agreeing)
    assert (found.p, found.exact) == (2 / 32, True)
    same = outcome(agreeing, agreeing)
    assert (same.p, same.exact, same.bootstrap_p, same.mcnemar_p) == (1.0, True, 1.0, 1.0)


def test_random_swaps_come_close_to_the_exact_p():
    # 12 wins and 4 losses: the sign test's p by the binomial distribution.
    found = outcome([[1]] * 12 + [[0]] * 4, [[0]] * 12 + [[1]] * 4, permutations=20_000)
    expected = 2 * sum(math.comb(16, k) for k in range(5)) / 2**16
    assert not found.exact
    assert found.p == pytest.approx(expected, abs=4 * math.sqrt(expected / 20_000))
    assert found.mcnemar_p == pytest.approx(expected, rel=1e-12)
    assert (found.wins, found.losses) == (12, 4)
    again = outcome([[1]] * 12 + [[0]] * 4, [[0]] * 12 + [[1]] * 4, permutations=20_000)
    assert again.p == found.p


def test_missing_renderings_are_swapped_with_their_example():
    ours = [[1, np.nan], [1, 1], [0, 1]]
    theirs = [[0, np.nan], [1, 0], [0, 0]]
    expected = []
    a, b = np.array(ours), np.array(theirs)
    for pattern in range(8):
        swap = np.array([pattern >> i & 1 for i in range(3)], bool)[:, None]
        one, two = np.where(swap, b, a), np.where(swap, a, b)
        expected.append(np.nanmean(one, axis=0).mean() - np.nanmean(two, axis=0).mean())
    observed = expected[0]
    p = np.mean(np.abs(expected) >= abs(observed) - 1e-12)
    assert outcome(ours, theirs).p == p


def test_corpus_metrics_are_swapped_as_corpora():
    metric = metrics.lookup("bleu")
    references = ["the cat sat on a mat", "a dog ran off today", "rain fell in the night"]
    good, bad = references, ["the cat sat there", "a dog ran", "it did fall in the night"]
    rows = [
        np.array([metric.statistics(text, [r]) for text, r in zip(texts, references, strict=True)])
        for texts in (good, bad)
    ]
    tasks = [
        task_of(np.ones((3, 1)), metrics=("bleu",), statistics={"bleu": row[:, None]})
        for row in rows
    ]
    found = significance.joint_test([significance.draw(significance.align(*tasks), 8)], [1.0])
    assert found.exact and found.p == 2 / 8
    assert found.difference.value == pytest.approx(
        results.task_score(tasks[0]).value - results.task_score(tasks[1]).value
    )
    assert found.mcnemar_p is None


def test_groups_are_swapped_whole():
    # Three questions of two candidate answers: the first system has all right, the second one of
    # each. Exact match by question is 1 and 0, and 2 of 2^3 swaps are as extreme.
    codes = np.repeat([5.0, 6.0, 7.0], 2)
    stats = [np.stack([codes, right], axis=-1)[:, None] for right in (np.ones(6), np.arange(6) % 2)]
    tasks = [
        task_of(
            np.ones((6, 1)),
            metrics=("multirc_exact_match",),
            statistics={"multirc_exact_match": values},
        )
        for values in stats
    ]
    drawn = significance.draw(significance.align(*tasks), 4000)
    found = significance.joint_test([drawn], [1.0])
    assert (found.p, found.exact, found.difference.value) == (2 / 8, True, 1.0)
    assert {*np.round(drawn.null, 6)} == {-1.0, -0.333333, 0.333333, 1.0}


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (0, 5), (3, 3), (12, 4), (300, 340), (1, 90)])
def test_mcnemar_is_the_binomial_test(wins, losses):
    total = wins + losses
    tail = sum(math.comb(total, k) for k in range(min(wins, losses) + 1))
    expected = min(1.0, 2 * tail / 2**total)
    assert significance.mcnemar_p(wins, losses) == pytest.approx(expected, rel=1e-9)
    assert significance.mcnemar_p(losses, wins) == significance.mcnemar_p(wins, losses)
    stats = pytest.importorskip("scipy.stats")
    if total:
        scipy_p = stats.binomtest(wins, total).pvalue
        assert significance.mcnemar_p(wins, losses) == pytest.approx(scipy_p, rel=1e-9)


def test_permutation_agrees_with_scipy():
    stats = pytest.importorskip("scipy.stats")
    generator = np.random.default_rng(5)
    ours, theirs = (generator.random((9, 1)) for _ in range(2))
    expected = stats.permutation_test(
        (ours[:, 0], theirs[:, 0]), lambda a, b: np.mean(a - b), permutation_type="samples",
        n_resamples=np.inf,
    ).pvalue  # fmt: skip
    found = outcome(ours, theirs)
    assert found.exact
    assert found.p == pytest.approx(expected, rel=1e-12)
    assert found.mcnemar_p is None


def test_bootstrap_p_counts_the_draws_across_zero():
    draws = np.array([0.1] * 95 + [-0.1] * 4)
    assert significance.bootstrap_p(Score(0.1, draws)) == pytest.approx(2 * 5 / 100)
    assert significance.bootstrap_p(Score(0.1, -draws)) == pytest.approx(2 * 5 / 100)
    assert significance.bootstrap_p(Score(0.0, np.zeros(99))) == 1.0


def test_holm():
    assert significance.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    # Worked example with a tie at the end: 4 x 0.005, 3 x 0.01, then 2 x 0.03, then the same.
    assert significance.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert significance.holm([0.9, 0.8]) == [1.0, 1.0]
    assert significance.holm([]) == []


def test_false_positives_are_rare_where_nothing_differs():
    # 500 comparisons of two systems that are right with the same probability on each example. Of
    # 500 tests at 5%, 25 are expected to err; 99.9% of binomial draws lie between 10 and 42. The
    # bootstrap's interval is known to be a little too narrow for 40 examples.
    generator = np.random.default_rng(11)
    found = []
    for _ in range(500):
        difficulty = generator.random((40, 1)) * np.ones((1, 3))
        pair = [(generator.random((40, 3)) < difficulty).astype(float) for _ in range(2)]
        found.append(outcome(*pair, permutations=400, resamples=400))
    assert 10 <= sum(one.p <= 0.05 for one in found) <= 42
    assert 10 <= sum(one.bootstrap_p <= 0.05 for one in found) <= 50
    # McNemar's test is exact for a discrete count, so it errs less often than it may.
    assert sum(one.mcnemar_p <= 0.05 for one in found) <= 42
    # p is uniform: half of them are below a half.
    assert np.mean([one.p <= 0.5 for one in found]) == pytest.approx(0.5, abs=0.075)


def test_true_differences_are_found():
    generator = np.random.default_rng(12)
    found = [
        outcome(generator.random((60, 1)) < 0.8, generator.random((60, 1)) < 0.5, permutations=400)
        for _ in range(50)
    ]
    assert sum(one.p <= 0.05 for one in found) >= 40


def test_tasks_clusters_and_roles():
    tuned = scored.make_results("tuned", scored.TUNED)
    pretrained = scored.make_results("pretrained", scored.PRETRAINED, seed=1)
    found = paired.compare(tuned, pretrained, permutations=500, resamples=200)
    ours, theirs = (results.summarise(run, 200) for run in (tuned, pretrained))
    for name, test in found.clusters.items():
        expected = ours.clusters[name].score - theirs.clusters[name].score
        assert test.difference.value == pytest.approx(expected.value)
        assert test.difference.draws == pytest.approx(expected.draws)
        assert test.n == 120
    gap = ours.mean(role="test") - theirs.mean(role="test")
    assert found.roles["test"].difference.value == pytest.approx(gap.value)
    assert found.clusters["animals"].p == pytest.approx(1 / 501)
    assert found.clusters["moods"].p > 0.05
    assert set(found.roles) == {"test", "dev", "trained"}
    for test in found.tasks.values():
        assert test.p <= test.adjusted_p <= 1.0
    animals = found.tasks["animals_1:zero_shot:rank"]
    assert animals.wins + animals.losses <= 60


def test_forms_of_a_task_are_paired_and_swapped_together():
    values = np.random.default_rng(0).integers(0, 2, (30, 2))
    shown = task_of(values, name="task:zero_shot:rank")
    permuted = task_of(values[:, ::-1], name="task:zero_shot_permuted:rank")
    runs = [Results("a", (shown,), scored.ROLES), Results("b", (permuted,), scored.ROLES)]
    found = paired.compare(*runs, permutations=100)
    assert found.tasks["task:zero_shot:rank"].difference.value == 0.0
    draws = [
        significance.draw(significance.align(task, task_of(1 - values)), 100).null
        for task in (shown, permuted)
    ]
    assert draws[0] == pytest.approx(draws[1])
    # Few examples of one task in two forms: the exact test swaps them in both forms at once.
    few = [significance.align(task_of([[1]] * 3), task_of([[0]] * 3)) for _ in range(2)]
    drawn = [significance.draw(pair, 100) for pair in few]
    assert significance.joint_test(drawn, [0.5, 0.5]).p == 2 / 8


def test_seeds_stand_as_templates():
    runs = [scored.make_results("tuned", scored.TUNED, seed) for seed in (1, 2)]
    others = [scored.make_results("pretrained", scored.PRETRAINED, seed) for seed in (3, 4)]
    found = paired.compare(runs, others, permutations=100, resamples=50)
    expected = [results.summarise(run, 50).clusters["tools"].score for run in (runs, others)]
    assert found.clusters["tools"].difference.value == pytest.approx(
        (expected[0] - expected[1]).value
    )
    assert not found.unpaired


def test_what_cannot_be_paired_is_said():
    first = scored.make_results("tuned", {"animals": 0.9, "moods": 0.5})
    second = scored.make_results("other", {"animals": 0.5, "moods": 0.5})
    short = dataclasses.replace(
        second.tasks[0],
        templates=second.tasks[0].templates[:3],
        statistics={"accuracy": second.tasks[0].statistics["accuracy"][:, :3]},
    )
    apart = dataclasses.replace(second.tasks[1], examples=tuple(range(100, 160)))
    missing = dataclasses.replace(second, tasks=(short, apart, second.tasks[2]))
    found = paired.compare(first, missing, permutations=50, resamples=50)
    assert not found.clusters and not found.roles
    assert list(found.tasks) == ["moods_1:zero_shot:rank"]
    reasons = " ".join(found.unpaired.values())
    for words in ("number of templates is 5 and 3", "different source examples", "not scored on"):
        assert words in reasons


def test_shared_examples_alone_are_compared():
    ours = task_of([[1], [0], [1]], examples=(0, 4, 7))
    theirs = task_of([[0], [1], [1]], examples=(7, 4, 9))
    pair = significance.align(ours, theirs)
    assert pair.first.examples == pair.second.examples == (4, 7)
    assert pair.first.statistics["accuracy"].ravel().tolist() == [0, 1]
    assert pair.second.statistics["accuracy"].ravel().tolist() == [1, 0]
