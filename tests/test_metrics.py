"""Metrics against values worked out by hand, and what holds of any texts."""

import json
import random

import numpy as np
import pytest

from flan_jax.data import metric_names
from flan_jax.data.facts import facts_of, identity, with_facts
from flan_jax.evaluation import metrics
from flan_jax.evaluation.metrics import (
    classification,
    correlation,
    matching,
    reasoning,
    translation,
)

# Those that compare a text with references, and nothing else.
TEXT_METRICS = (
    *("accuracy", "exact_match", "exact_match_articles", "trivia_qa_exact_match"),
    *("natural_questions_exact_match", "record_exact_match", "answer_match", "bbh_exact_match"),
    *("token_f1", "trivia_qa_f1", "record_f1", "edit_similarity", "bleu", "chrf", "macro_f1"),
    *("rouge_1", "rouge_2", "rouge_l", "rouge_l_stemmed", "rouge_lsum"),
)
# rouge-score knows the letters a to z and digits only.
LATIN = ("rouge_1", "rouge_2", "rouge_l", "rouge_l_stemmed", "rouge_lsum")
OVERLAP = ("bleu", "chrf", "trivia_qa_f1")
SYMMETRIC = ("accuracy", "exact_match", "token_f1", "rouge_1", "rouge_2", "rouge_l")
SYMMETRIC += ("edit_similarity", "trivia_qa_f1", "rouge_l_stemmed", "exact_match_articles")
_LETTERS = "aàbßcçİı中文字🙂👩‍👩‍👧e\u0301\u200b\ud800 \t\n.,!?'\"-_*#()‘’١٢3 the A an"


def _texts(count, seed=0):
    """Short texts of all sorts of letters, lone surrogates and empty ones among them."""
    generator = random.Random(seed)
    lengths = [generator.choice((0, 1, 2, 5, 20)) for _ in range(count)]
    return ["".join(generator.choices(_LETTERS, k=length)) for length in lengths]


def test_docstring_examples():
    assert metrics.normalise_answer("The  Cat's hat.") == "cats hat"
    assert metrics.exact_match("The cat.", ["a cat", "dog"]) == 1.0
    assert metrics.token_f1("a red cat", ["the red dog", "bird"]) == 0.5
    assert metrics.rouge_1("the cat sat", ["the dog sat"]) == pytest.approx(2 / 3)
    assert metrics.rouge_2("the cat sat", ["the cat ran"]) == pytest.approx(1 / 2)
    assert metrics.rouge_l("the cat sat", ["the cat ran"]) == pytest.approx(2 / 3)
    assert metrics.rouge_l_stemmed("cats running", ["cat runs"]) == 1.0
    assert metrics.exact_match_articles("The cat.", ["a cat"]) == 0.0
    assert metrics.exact_match_articles("The cat.", ["the  cat"]) == 1.0
    assert metrics.rouge_lsum("It rained. We left.", ["We left. It rained."]) == 1.0
    assert metrics.rouge_l("It rained. We left.", ["We left. It rained."]) == 0.5
    assert metrics.edit_similarity("kitten", ["sitting"]) == pytest.approx(4 / 7)
    assert matching.normalise_trivia_qa("The_Cat’s hat.") == "cat s hat"
    assert len(matching.normalise_natural_questions("Café")) == 5
    assert matching.trivia_qa_exact_match("Hong-Kong", ["hong kong"]) == 1.0
    assert matching.trivia_qa_f1("Hong-Kong island", ["hong kong"]) == 0.8
    assert matching.natural_questions_exact_match("Cafe\u0301", ["café"]) == 1.0
    said = ["Ida said so.", "@placeholder said so."]
    assert matching.record_exact_match("Ida said so.", said) == 1.0
    assert matching.record_f1("Ida Holm said so.", said) == pytest.approx(2 / 3)
    assert matching.record_f1("Ida Holm", ["Ida"]) == pytest.approx(2 / 3)
    assert reasoning.gsm8k_strict("#### 1,200", ["1200"]) == 1.0
    assert reasoning.gsm8k_strict("#### 1200.0", ["1200"]) == 0.0
    assert reasoning.bbh_exact_match("So the answer is (B).", ["(B)"]) == 1.0
    assert correlation.number_of("3.8") == 3.8
    assert correlation.number_of("very alike") == -1.0
    assert with_facts(["yes"], question="q1") == ["yes", '{"question": "q1"}']


def test_declarations_know_the_metrics():
    named = metric_names.RANK_METRICS + metric_names.GENERATION_METRICS
    assert sorted(named) == sorted(metrics.METRICS)


def test_accuracy_ignores_surrounding_blanks_alone():
    assert metrics.accuracy(" yes", ["no", "yes "]) == 1.0
    assert metrics.accuracy("Yes", ["yes"]) == 0.0
    assert metrics.accuracy("yes", []) == 0.0


@pytest.mark.parametrize("name", TEXT_METRICS)
def test_a_text_matches_itself(name):
    texts = ["Ein Fuß, zwei Füße: ein Paar", "中 文 字 中 文 字"]
    if name in LATIN:
        texts = ["1 cat sat on the mat today"]
    if name not in LATIN + OVERLAP:  # those find nothing in a text without words
        texts += ["", "the", "!?", *_texts(20)]
    for text in texts:
        assert metrics.corpus_score(name, [text], [[text]]) == pytest.approx(1.0), text


@pytest.mark.parametrize("name", TEXT_METRICS)
def test_any_text_scores_between_0_and_1(name):
    predictions, references = _texts(40, 1), _texts(40, 2)
    for pair in zip(predictions, references, strict=True):
        assert 0.0 <= metrics.corpus_score(name, pair[:1], [pair[1:]]) <= 1.0, pair


@pytest.mark.parametrize("name", SYMMETRIC)
def test_prediction_and_reference_may_change_places(name):
    for one, other in zip(_texts(40, 1), _texts(40, 2), strict=True):
        forth = metrics.corpus_score(name, [one], [[other]])
        assert forth == pytest.approx(metrics.corpus_score(name, [other], [[one]])), (one, other)


@pytest.mark.parametrize("name", TEXT_METRICS)
def test_scores_do_not_hang_on_the_order_of_examples_or_references(name):
    words = ["the", "cat", "sat", "on", "a", "red", "mat"]
    generator = np.random.default_rng(3)
    texts = [" ".join(generator.choice(words, size=8)) for _ in range(30)]
    predictions = texts[:10]
    references = [[one, other] for one, other in zip(texts[10:20], texts[20:], strict=True)]
    score = metrics.corpus_score(name, predictions, references)
    turned = metrics.corpus_score(name, predictions[::-1], references[::-1])
    assert turned == pytest.approx(score)
    if name != "macro_f1":  # of several right classes that were missed, the first is the right one
        swapped = [pair[::-1] for pair in references]
        assert metrics.corpus_score(name, predictions, swapped) == pytest.approx(score)


def test_f1_of_empty_texts():
    assert metrics.token_f1("", ["cat"]) == 0.0
    assert metrics.token_f1("cat", ["the"]) == 0.0
    assert metrics.token_f1("an", ["the"]) == 1.0
    assert metrics.token_f1("cat", []) == 0.0


def test_f1_counts_repeated_words():
    assert metrics.token_f1("red red cat", ["red cat cat"]) == pytest.approx(2 / 3)


@pytest.mark.parametrize("name", TEXT_METRICS)
def test_scores_take_the_best_reference(name):
    generator = np.random.default_rng(0)
    words = ["the", "cat", "sat", "on", "a", "red", "mat", "today", "."]
    texts = [" ".join(generator.choice(words, size=12)) for _ in range(20)]
    predictions, references = texts[:10], texts[10:]
    single = metrics.corpus_score(name, predictions, [[text] for text in references])
    both = metrics.corpus_score(
        name, predictions, [[r, p] for r, p in zip(references, predictions, strict=True)]
    )
    assert 0.0 <= single <= both <= 1.0
    assert both == pytest.approx(1.0)


def test_records_frame_does_not_count():
    assert matching.record_f1("@placeholder", ["Ida", "@placeholder"]) == 0.0
    assert (
        matching.record_exact_match("Tarn said so.", ["Ida said so.", "@placeholder said so."])
        == 0.0
    )
    assert matching.record_f1("", []) == 0.0


def test_answers_by_the_benchmarks_own_rules():
    assert reasoning.gsm8k_strict("#### 5\n\nQ: More?\n#### 6", ["5"]) == 1.0  # the first
    assert reasoning.gsm8k_strict("The answer is 5.", ["5"]) == 0.0
    assert reasoning.gsm8k_strict("#### $5", ["5"]) == 0.0
    assert reasoning.gsm8k_strict("#### 5.", ["5"]) == 0.0  # the full stop is taken in, as there
    assert reasoning.bbh_exact_match("The answer is 1. So the answer is 24.", ["24"]) == 1.0
    assert reasoning.bbh_exact_match("so the answer is not (C) but (B)", ["(B)"]) == 1.0
    assert reasoning.bbh_exact_match("so the answer is (B), not (A)", ["(B)"]) == 0.0
    assert reasoning.bbh_exact_match(" valid", ["valid"]) == 1.0
    assert (
        reasoning.bbh_exact_match("So the answer is Yes. Q: And?\nA: So the answer is No.", ["Yes"])
        == 1.0
    )
    assert reasoning.bbh_exact_match("", ["24"]) == 0.0


def test_numbers_are_read_as_t5_reads_them():
    assert [
        correlation.number_of(text) for text in (" 4 ", "", "4.0 of 5", "nan", "-inf", "1e99")
    ] == [4.0, -1, -1, -1, -1, -1]
    with pytest.raises(ValueError, match="expected a number.*'alike'"):
        metrics.corpus_score("pearson", ["1"], [["alike"]])


def test_undefined_correlations_are_0():
    same, rising = ["3.8"] * 50, [[str(n / 7)] for n in range(50)]
    for name in ("pearson", "spearman", "matthews"):
        assert metrics.corpus_score(name, same, rising) == 0.0
        assert (
            metrics.corpus_score(name, [text for (text,) in rising], [[one] for one in same]) == 0.0
        )


@pytest.mark.parametrize("name", ["pearson", "spearman", "matthews"])
def test_correlations_are_symmetric_and_bounded(name):
    generator = np.random.default_rng(5)
    for _ in range(20):
        one, other = generator.integers(0, 4, (2, 30)).astype(str).tolist()
        forth = metrics.corpus_score(name, one, [[text] for text in other])
        back = metrics.corpus_score(name, other, [[text] for text in one])
        assert -1.0 <= forth <= 1.0 and forth == pytest.approx(back)
        assert metrics.corpus_score(name, one, [[text] for text in one]) == pytest.approx(1.0)


def test_the_names_of_classes_do_not_matter():
    predictions, references = ["yes", "no", "no", "eh", "yes"], ["yes", "no", "yes", "no", "no"]
    names = {"yes": "acceptable ", "no": "not — at all", "eh": ""}
    for name in ("matthews", "macro_f1"):
        score = metrics.corpus_score(name, predictions, [[text] for text in references])
        renamed = metrics.corpus_score(
            name, [names[text] for text in predictions], [[names[text]] for text in references]
        )
        assert renamed == score
    with pytest.raises(ValueError, match="got no reference"):
        metrics.corpus_score("matthews", ["yes"], [[]])


def test_multirc_looks_at_all_candidates_of_a_question():
    questions = [identity("text", question) for question in ("who", "who", "where")]
    right = ("yes", "no", "no")
    references = [
        with_facts([answer], question=question, positive="yes")
        for answer, question in zip(right, questions, strict=True)
    ]
    exact = [
        metrics.corpus_score("multirc_exact_match", said, references)
        for said in (right, ("yes", "yes", "no"), ("yes", "no", "yes"), ("?", "no", "no"))
    ]
    assert exact == [1.0, 0.5, 0.5, 0.5]
    f1 = [
        metrics.corpus_score("multirc_f1a", said, references)
        for said in (right, ("yes", "yes", "no"), ("no", "no", "no"), ("yes", "?", "no"))
    ]
    assert f1 == pytest.approx([1.0, 2 / 3, 0.0, 2 / 3])
    of_one = metrics.lookup("multirc_f1a").of_example
    assert [
        of_one(classification.multirc_f1_statistics(text, references[1])) for text in right
    ] == [0.0, 1.0, 1.0]
    with pytest.raises(ValueError, match="JSON object with question, positive.*'yes'.*with_facts"):
        metrics.corpus_score("multirc_f1a", ["yes"], [["yes"]])


def test_facts_come_back():
    references = with_facts(["a", "b"], text='ü "', number=3)
    assert references[:2] == ["a", "b"] and facts_of(references, ["text"]) == {
        "text": 'ü "',
        "number": 3,
    }
    for broken in ([], ["a"], ["a", "[1]"], ["a", json.dumps({"number": 3})]):
        with pytest.raises(ValueError, match="with text as the last reference"):
            facts_of(broken, ["text"])
    assert identity("a", "b") != identity("ab") != identity("a", "b", "")


def test_bleu_and_chrf_of_nothing_are_0():
    for name in ("bleu", "chrf"):
        assert metrics.corpus_score(name, [""], [["a cat"]]) == 0.0
    assert metrics.corpus_score("chrf", ["a cat"], [[""]]) == 0.0
    assert metrics.corpus_score("chrf", ["a cat"], [[]]) == 0.0
    assert translation.chrf_statistics("a", [])[0] == 0.0


PREDICTIONS = [
    "The dog bit the man.",
    "It was not unexpected.",
    "The man bit him first, and then the dog ran away from the garden.",
]
REFERENCES = [
    ["The dog bit the man.", "The dog had bit the man."],
    ["It was not surprising.", "No one was surprised."],
    ["The man had bitten the dog and then it ran from the garden.", "The man bit first."],
]


def test_statistics_add_up_for_weighted_sums():
    metric = metrics.lookup("bleu")
    rows = np.array([metric.statistics(*p) for p in zip(PREDICTIONS, REFERENCES, strict=True)])
    weights = np.array([[1, 1, 1], [2, 0, 1]])
    scores = metric.combine(weights @ rows, weights.sum(1))
    doubled = metrics.corpus_score(
        "bleu", [PREDICTIONS[i] for i in (0, 0, 2)], [REFERENCES[i] for i in (0, 0, 2)]
    )
    assert scores.shape == (2,)
    assert scores[1] == pytest.approx(doubled)


def test_errors_name_what_is_wrong():
    with pytest.raises(ValueError, match="metric 'acuracy' of task 'rte'.*accuracy"):
        metrics.lookup("acuracy", "rte")
    with pytest.raises(ValueError, match="equally many.*1 and 2"):
        metrics.corpus_score("accuracy", ["a"], [["a"], ["b"]])
    with pytest.raises(ValueError, match="at least one"):
        metrics.corpus_score("accuracy", [], [])
