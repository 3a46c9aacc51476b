"""Answers behind a chain of thought, by our rule and by those of two benchmarks."""

import re
from collections.abc import Sequence

from flan_jax.data.answers import same_answer
from flan_jax.evaluation.metrics.metric import mean_of

# Where a model that was shown solved questions begins one of its own.
_NEXT_QUESTION = re.compile(r"\s(?:Q|Question):\s")
_GSM8K_ANSWER = re.compile(r"#### (-?[0-9.,]+)")
_BBH_MARK = "answer is "
_BBH_OPTION = re.compile(r"\([A-Z]\)")


def answer_match(prediction: str, references: Sequence[str]) -> float:
    """1.0 where the answer behind a chain of thought is a reference's, else 0.0.

    `flan_jax.data.answers` says what the answer is, and when two are the same. A question that the
    model puts to itself, and what follows, does not count: `answer_match("So it is 4 + 5. #### 9 Q:
    How many?", ["9"])` is 1.0.
    """
    answer = _before_next_question(prediction)
    return float(any(same_answer(answer, reference) for reference in references))


def gsm8k_strict(prediction: str, references: Sequence[str]) -> float:
    """1.0 where the first number behind `#### ` is a reference, less commas, else 0.0.

    This is the rule of GSM8K's authors (openai/grade-school-math, grade_school_math/dataset.py,
    is_correct), and `strict-match` of lm-evaluation-harness. Numbers are compared as texts:
    `gsm8k_strict("#### 1,200", ["1200"])` is 1.0, and of `"#### 1200.0"` it is 0.0.
    """
    found = _GSM8K_ANSWER.search(prediction)
    if not found:
        return 0.0
    right = {reference.strip().replace(",", "") for reference in references}
    return float(found.group(1).strip().replace(",", "") in right)


def bbh_exact_match(prediction: str, references: Sequence[str]) -> float:
    """1.0 where what stands behind the last "answer is " is a reference, else 0.0.

    A full stop at its end is dropped; where the reference is an option, such as "(B)", the
    alphabetically first option in it counts: `bbh_exact_match("So the answer is (B).", ["(B)"])`
    is 1.0. Without "answer is " the whole text is compared. BIG-Bench Hard comes without a script;
    this is Chain-of-Thought Hub's rule (Fu et al., 2023; extract_ans).
    """
    _, mark, behind = _before_next_question(prediction).rpartition(_BBH_MARK)
    right = [reference.strip() for reference in references]
    return float(any(_bbh_same(behind.strip(), bool(mark), reference) for reference in right))


def _bbh_same(text: str, marked: bool, reference: str) -> bool:
    if not marked:
        return text == reference
    if _BBH_OPTION.fullmatch(reference):
        return min(_BBH_OPTION.findall(text), default="") == reference
    return text.removesuffix(".") == reference


def _before_next_question(text: str) -> str:
    return _NEXT_QUESTION.split(text, maxsplit=1)[0]


METRICS = tuple(map(mean_of, (answer_match, gsm8k_strict, bbh_exact_match)))
