"""Metrics equal the reference libraries, and the numbers that reference tests publish.

Published vectors, each with its place:
  T5: google-research/text-to-text-transfer-transformer, t5/evaluation/metrics_test.py and
    qa_utils_test.py
  sacrebleu: mjpost/sacrebleu, test/test_bleu.py and test/test_chrf.py
  rouge-score: google-research/google-research, rouge/rouge_scorer_test.py
"""

import gzip
import itertools
import json

import numpy as np
import pytest
import sacrebleu
import scipy.stats
from rouge_score import rouge_scorer

from flan_jax.data.facts import with_facts
from flan_jax.evaluation import metrics
from flan_jax.evaluation.metrics import matching

HYPOTHESES = ["The dog bit the man.", "It wasn't surprising.", "The man had just bitten him."]
REFERENCES = [
    ["The dog bit the man.", "The dog had bit the man."],
    ["It was not unexpected.", "No one was surprised."],
    ["The man bit him first.", "The man had bitten the dog."],
]


@pytest.fixture(scope="module")
def sentences(data_dir):
    """German captions as predictions of others of the same set: short, with umlauts."""
    with gzip.open(data_dir / "multi30k_en_de" / "test.jsonl.gz", "rt", encoding="utf-8") as file:
        texts = [json.loads(line)["de"] for line in itertools.islice(file, 240)]
    return texts[:80], [list(pair) for pair in zip(texts[80:160], texts[160:], strict=True)]


def _score(name, predictions, references):
    return metrics.corpus_score(name, predictions, references)


def _one_each(references):
    return [[reference] for reference in references]


# --- translation ---------------------------------------------------------------------------------


def test_bleu_of_sacrebleus_readme():
    assert 100 * _score("bleu", HYPOTHESES, REFERENCES) == pytest.approx(48.530827, abs=1e-6)
    assert _score("bleu", ["", "", ""], REFERENCES) == 0.0


@pytest.mark.parametrize(
    ("hypotheses", "references", "score"),
    [
        (["a"], ["a"], 1.0),
        ([""], ["reference"], 0.0),
        (["a b c"], ["a b c"], 1.0),
        (["a b c"], ["abc"], 1.0),
        ([""], ["c"], 0.0),
        (["a", "b"], ["a", "c"], 0.5),
        (["aa"], ["ab"], 0.25),
    ],
)
def test_chrf_of_sacrebleus_tests(hypotheses, references, score):
    # There beta is 3; where precision equals recall, as in all of these, it does not matter.
    assert _score("chrf", hypotheses, _one_each(references)) == pytest.approx(score, abs=1e-6)


@pytest.mark.parametrize("name", ["bleu", "chrf"])
def test_corpus_scores_equal_sacrebleu(name, sentences):
    reference = {"bleu": sacrebleu.corpus_bleu, "chrf": sacrebleu.corpus_chrf}[name]
    cases = [(HYPOTHESES, REFERENCES), sentences, (["", "zwei Hunde"], [["ein Hund"], ["a"]])]
    for predictions, references in cases:
        expected = reference(predictions, list(zip(*references, strict=True))).score / 100
        assert _score(name, predictions, references) == pytest.approx(expected, abs=1e-12)


# --- summaries -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "prediction", "score"),
    [
        ("rouge_1", "testing", 1 / 2),
        ("rouge_2", "testing one", 2 / 3),
        ("rouge_l", "testing one", 4 / 5),
        ("rouge_l", "testing two", 4 / 5),
        ("rouge_1", "testing one", 4 / 5),
        ("rouge_lsum", "", 0.0),
    ],
)
def test_rouge_of_rouge_scores_tests(name, prediction, score):
    assert _score(name, [prediction], [["testing one two"]]) == pytest.approx(score)


def test_rouge_lsum_of_rouge_scores_test():
    found = _score("rouge_lsum", ["w1 w2 w6 w7 w8\nw1 w3 w8 w9 w5"], [["w1 w2 w3 w4 w5"]])
    assert found == pytest.approx(0.5333, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "kind", "stem"),
    [
        ("rouge_1", "rouge1", False),
        ("rouge_2", "rouge2", False),
        ("rouge_l", "rougeL", False),
        ("rouge_l_stemmed", "rougeL", True),
    ],
)
def test_rouge_equals_rouge_score(name, kind, stem):
    scorer = rouge_scorer.RougeScorer([kind], use_stemmer=stem)
    best = [
        max(scorer.score(reference, prediction)[kind].fmeasure for reference in references)
        for prediction, references in zip(HYPOTHESES, REFERENCES, strict=True)
    ]
    assert 0.2 < np.mean(best) < 1
    assert _score(name, HYPOTHESES, REFERENCES) == pytest.approx(np.mean(best), abs=1e-12)


# --- questions -----------------------------------------------------------------------------------


def test_normalisations_of_t5s_tests():
    text = "`Needs\tA_LOT of the 'normalization'.\"‘"
    assert matching.normalise_trivia_qa(text) == "needs lot of normalization"
    assert matching.normalise_answer(text) == "needs alot of normalization‘"
    for normalise in (matching.normalise_trivia_qa, matching.normalise_answer):
        assert normalise("needs no normalization") == "needs no normalization"


@pytest.mark.parametrize(
    ("exact", "f1"), [("exact_match", "token_f1"), ("trivia_qa_exact_match", "trivia_qa_f1")]
)
def test_question_answering_of_t5s_tests(exact, f1):
    targets = [["big moose", "hippo"], ["correct1"], ["correct2.1", "correct2.2"], ["x", "b"]]
    predictions = ["a big  Moose!", "wrong", "correct2.2", "c"]
    assert _score(exact, predictions, targets) == pytest.approx(0.5)
    assert _score(f1, predictions, targets) == pytest.approx(0.5)
    assert _score(f1, ["abd"], [["abc abd", "$$$$"]]) == pytest.approx(2 / 3)
    assert _score(exact, ["abd"], [["abc abd", "$$$$"]]) == 0.0
    assert _score(f1, ["", ""], [["this is a string"]] * 2) == 0.0


# --- classes -------------------------------------------------------------------------------------


def _texts(numbers):
    return [str(number) for number in numbers]


@pytest.mark.parametrize(
    ("name", "targets", "predictions", "score"),
    [
        ("accuracy", [0, 0, 2, 1], [0, 1, 2, 1], 0.75),
        ("matthews", [0, 0, 2, 1], [0, 1, 2, 1], 0.7),
        ("macro_f1", [0, 1, 1, 2], [0, 0, 2, 2], 0.4444444444444444),
        ("pearson", [0, 2], [0, 1], 1.0),
        ("spearman", [0, 2, 1], [0, 1, 2], 0.5),
    ],
)
def test_scores_of_t5s_tests(name, targets, predictions, score):
    found = _score(name, _texts(predictions), _one_each(_texts(targets)))
    assert found == pytest.approx(score, abs=1e-12)


def test_multirc_of_t5s_tests():
    answers = [("a", "yes", "yes"), ("a", "yes", "no"), ("b", "no", "yes")]
    references = [with_facts([right], question=one, positive="yes") for one, right, _ in answers]
    assert _score("multirc_f1a", [said for *_, said in answers], references) == pytest.approx(0.5)


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_class_scores_equal_scikit_learns(classes):
    reference = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(classes)
    expected = generator.integers(0, classes, 200)
    predicted = np.where(
        generator.random(200) < 0.5, expected, generator.integers(0, classes + 1, 200)
    )  # the class beyond the last is none
    pairs = _texts(predicted), _one_each(_texts(expected))
    matthews = reference.matthews_corrcoef(expected, predicted)
    macro = reference.f1_score(expected, predicted, labels=range(classes), average="macro")
    assert _score("matthews", *pairs) == pytest.approx(matthews, abs=1e-12)
    assert _score("macro_f1", *pairs) == pytest.approx(macro, abs=1e-12)
    said = np.where(predicted == 1, "yes", "no").tolist()
    right = np.where(expected == 1, "yes", "no").tolist()
    references = [with_facts([text], question="q", positive="yes") for text in right]
    f1 = reference.f1_score(expected == 1, predicted == 1)
    assert _score("multirc_f1a", said, references) == pytest.approx(f1, abs=1e-12)


def test_correlations_equal_scipys():
    generator = np.random.default_rng(0)
    expected = generator.integers(0, 26, 300) / 5
    predicted = np.clip((expected + generator.normal(0, 1, 300)).round(1), 0, 5)
    pairs = _texts(predicted), _one_each(_texts(expected))
    for name, reference in (("pearson", scipy.stats.pearsonr), ("spearman", scipy.stats.spearmanr)):
        assert 0.7 < _score(name, *pairs) < 0.95
        found = reference(predicted, expected)[0]
        assert _score(name, *pairs) == pytest.approx(found, abs=1e-12)
