"""Templates render as written, and what a template cannot say is refused."""

import doctest

import pytest

from flan_jax.data import templates
from flan_jax.data.templates import (
    FewShot,
    Rendering,
    Template,
    exemplar_text,
    few_shot_prompt,
    render,
    slots,
)
from flan_jax.data.vocabulary import Vocabulary

FIELDS = {
    "premise": "It {rains}.",
    "hypothesis": "it is wet",
    "answer": "yes",
    "options": ["yes", "no"],
}
GOLDEN = {
    "options at the end": (
        Template("{premise}\nSo {hypothesis}?"),
        "It {rains}.\nSo it is wet?\nOPTIONS:\n- yes\n- no",
        "It {rains}.\nSo it is wet?",
        "It {rains}. So it is wet? OPTIONS: - yes - no",
    ),
    "options inside": (
        Template("{premise}\n\n{options}\nSo {hypothesis}?"),
        "It {rains}.\n\nOPTIONS:\n- yes\n- no\nSo it is wet?",
        "It {rains}.\nSo it is wet?",
        "It {rains}. OPTIONS: - yes - no So it is wet?",
    ),
    "options first": (
        Template("{options}\n\n{hypothesis}?"),
        "OPTIONS:\n- yes\n- no\n\nit is wet?",
        "it is wet?",
        "OPTIONS: - yes - no it is wet?",
    ),
}


def test_docstring_examples():
    assert doctest.testmod(templates).failed == 0


@pytest.mark.parametrize("case", GOLDEN)
def test_golden_renderings(case):
    template, with_options, without_options, _ = GOLDEN[case]
    assert render(template, FIELDS, True) == Rendering(with_options, "yes")
    assert render(template, FIELDS, False) == Rendering(without_options, "yes")


@pytest.mark.parametrize("case", GOLDEN)
def test_golden_renderings_after_t5_tokens(case, data_dir):
    vocabulary = Vocabulary(str(data_dir / "tokenizers" / "t5_spiece.model"))
    template, _, _, seen = GOLDEN[case]
    # T5 has no pieces for braces.
    expected = seen.replace("{", " ⁇ ").replace("}", " ⁇ ")
    assert vocabulary.round_trip(render(template, FIELDS, True).inputs) == expected


def test_targets_verbalise_the_answer():
    template = Template("{premise}", targets="I say {answer}, {hypothesis}.")
    assert render(template, FIELDS, True).targets == "I say yes, it is wet."
    assert not template.turned_around


def test_a_template_may_be_turned_around():
    template = Template("Write a premise for {hypothesis} ({answer}).", targets="{premise}")
    assert template.turned_around
    assert render(template, FIELDS, True) == (
        "Write a premise for it is wet (yes).",
        "It {rains}.",
    )


def test_doubled_braces_are_literal():
    assert slots("{{a}} {b} {b}") == ("b",)
    assert render(Template("{{a}} {b}"), {"b": 1, "answer": ""}, False).inputs == "{a} 1"


@pytest.mark.parametrize("text", ["{a.b}", "{a[0]}", "{a:>3}", "{0}", "{}", "{a!r}", "{ a }"])
def test_slots_are_plain_names(text):
    with pytest.raises(ValueError, match="not a plain field name; compute the value"):
        slots(text)


@pytest.mark.parametrize("text", ["a { b", "a } b", "{a", "{a{b}}"])
def test_single_braces_are_refused(text):
    with pytest.raises(ValueError, match="single brace"):
        slots(text)


def test_few_shot_prompt():
    sums = [exemplar_text(Rendering(f"{n} + {n} =", str(2 * n)), FewShot()) for n in (1, 2, 3)]
    prompt = few_shot_prompt("4 + 4 =", sums, FewShot(exemplars=2, max_tokens=None))
    assert prompt == "1 + 1 =\nANSWER: 2\n\n2 + 2 =\nANSWER: 4\n\n4 + 4 =\nANSWER:"


def test_few_shot_budget_passes_over_what_does_not_fit():
    few_shot = FewShot(exemplars=3, max_tokens=6)
    candidates = ["one two three four five", "a b", "c d", "e f"]
    prompt = few_shot_prompt("query", candidates, few_shot, lambda text: len(text.split()))
    assert prompt == "a b\n\nc d\n\nquery\nANSWER:"
    assert len(prompt.split()) <= 6
    long = few_shot_prompt("q " * 20, candidates, few_shot, lambda text: len(text.split()))
    assert long == "q " * 20 + "\nANSWER:"
    with pytest.raises(ValueError, match="function that counts tokens"):
        few_shot_prompt("query", candidates, few_shot)
