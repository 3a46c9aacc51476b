"""Each of IFEval's 25 instructions on responses that follow it and that do not."""

import gzip
import importlib.util
import json

import numpy as np
import pytest

from flan_jax.data.facts import with_facts
from flan_jax.evaluation import ifeval, metrics
from flan_jax.evaluation.examples import Example, ExampleSet
from flan_jax.evaluation.ifeval import texts
from flan_jax.evaluation.tally import Tally

needs_langdetect = pytest.mark.skipif(
    importlib.util.find_spec("langdetect") is None, reason="langdetect is not installed"
)

# Instruction, arguments, responses that follow it, responses that do not.
CASES = [
    ("keywords:existence", {"keywords": ["cat", "C++"]}, ["Cats like c++."], ["A cat.", "C++"]),
    (
        "keywords:frequency",
        {"relation": "at least", "keyword": "war", "frequency": 2},
        ["War is a warning."],
        ["war", "wa r, peace"],
    ),
    (
        "keywords:frequency",
        {"relation": "less than", "keyword": "war", "frequency": 2},
        ["war", "peace"],
        ["war WAR"],
    ),
    (
        "keywords:forbidden_words",
        {"forbidden_words": ["can", "ride"]},
        ["A candle on a bridge."],
        ["We CAN.", "can-do"],
    ),
    (
        "keywords:letter_frequency",
        {"let_relation": "at least", "letter": "Q", "let_frequency": 2},
        ["Quite quiet"],
        ["Quite"],
    ),
    (
        "keywords:letter_frequency",
        {"let_relation": "less than", "letter": "#", "let_frequency": 2},
        ["# one", "none"],
        ["## two"],
    ),
    (
        "length_constraints:number_sentences",
        {"relation": "at least", "num_sentences": 3},
        ["One. Two! Three?"],
        ["Mr. Ash met Dr. Holm in the U.S. on Monday. He left."],
    ),
    (
        "length_constraints:number_sentences",
        {"relation": "less than", "num_sentences": 3},
        ["It costs 3.5 dollars vs. two. So what"],
        ["One. Two! Three?"],
    ),
    (
        "length_constraints:number_words",
        {"relation": "at least", "num_words": 4},
        ["a well-known cat", "it's 5 o"],
        ["three words only"],
    ),
    (
        "length_constraints:number_words",
        {"relation": "less than", "num_words": 2},
        ["one", "!"],
        ["one two"],
    ),
    (
        "length_constraints:number_paragraphs",
        {"num_paragraphs": 2},
        ["a\n***\nb", "***\na *** b", "a***b\n***\n"],
        ["a", "a\n\nb", "a *** b *** c", "a\n***\n\n***\nb"],
    ),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "President"},
        ["a b\n\npresident, c", "a\n\n\"President's d", "a\n\n president\n\n"],
        ["president", "president\n\nb", "a\n\nb\n\npresident", "a\n\n***president", "\n\na\n\nb"],
    ),
    (
        "detectable_content:number_placeholders",
        {"num_placeholders": 2},
        ["[name] at [address]", "[][][]"],
        ["[name]", "(a) (b)", "[a\nb] [c]"],
    ),
    (
        "detectable_content:postscript",
        {"postscript_marker": "P.S."},
        ["Bye\n\nP.S. Write!", "p. s. me"],
        ["PS: no", "P.P.S"],
    ),
    (
        "detectable_content:postscript",
        {"postscript_marker": "P.P.S"},
        ["P.P.S me", "p. p. s."],
        ["P.S. me"],
    ),
    ("detectable_content:postscript", {"postscript_marker": "NB (1)"}, ["so nb (1) x"], ["NB 1"]),
    (
        "detectable_format:number_bullet_lists",
        {"num_bullets": 2},
        ["* a\n* b", "Points:\n - a\n- b\nend"],
        ["* a", "* a\n* b\n* c", "** a\n** b", "1. a\n2. b"],
    ),
    (
        "detectable_format:constrained_response",
        {},
        ["My answer is maybe.", "Well. My answer is no. Sorry"],
        ["my answer is no.", "My answer is no"],
    ),
    (
        "detectable_format:number_highlighted_sections",
        {"num_highlights": 2},
        ["*a* and *b*", "**a** *b*"],
        ["**a**", "* *  **", "*a\nb* *c\nd*"],
    ),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "Section", "num_sections": 2},
        ["Section 1\na\nSection 2\nb", "Section1 Section2 Section 3"],
        ["Section 1", "SECTION 1 SECTION 2", "Section one Section two"],
    ),
    (
        "detectable_format:json_format",
        {},
        ['{"a": [1]}', '```json\n{"a": 1}\n```', "```\n[]\n```", "3"],
        ["{a: 1}", 'Here: {"a": 1}', "[" * 100_000],
    ),
    (
        "detectable_format:title",
        {},
        ["<<poem of joy>>\nO", "x <<< y >>"],
        ["<poem>", "<<a\nb>>", "<< >>"],
    ),
    (
        "combination:two_responses",
        {},
        ["a ****** b", "******a****** b"],
        ["a ****** a", "a", "a ****** b ****** c", "a ************ b", "a *** b"],
    ),
    (
        "combination:repeat_prompt",
        {"prompt_to_repeat": "Write a poem. "},
        [" write a poem.\nOde", "WRITE A POEM."],
        ["Ode. Write a poem."],
    ),
    (
        "startend:end_checker",
        {"end_phrase": "Any questions? "},
        ["So. any questions?", '"Any questions?"  '],
        ["Any questions? No."],
    ),
    ("startend:quotation", {}, ['"a"', ' "" '], ['"', "'a'", '"a" b', "“a”"]),
    ("punctuation:no_comma", {}, ["a; b", "a、b"], ["a, b"]),
    (
        "change_case:capital_word_frequency",
        {"capital_relation": "at least", "capital_frequency": 3},
        ["I saw NASA in the U.S.", "A-B STOP GO"],
        ["I saw Nasa", "NASA 3 5"],
    ),
    (
        "change_case:capital_word_frequency",
        {"capital_relation": "less than", "capital_frequency": 1},
        ["all small"],
        ["I am"],
    ),
]
LANGUAGE_CASES = [
    (
        "language:response_language",
        {"language": "de"},
        ["Der Fluss ist heute sehr breit.", "123"],
        ["The river is very wide today."],
    ),
    (
        "language:response_language",
        {"language": "hi"},
        ["आज नदी बहुत चौड़ी है और पानी ठंडा है।"],
        ["The river is very wide today."],
    ),
    (
        "change_case:english_capital",
        {},
        ["THE RIVER IS VERY WIDE TODAY, 3 MILES."],
        ["The river is very wide.", "DER FLUSS IST HEUTE SEHR BREIT UND DAS WASSER KALT", "123"],
    ),
    (
        "change_case:english_lowercase",
        {},
        ["the river is very wide today, 3 miles."],
        ["The river is very wide.", "der fluss ist heute sehr breit und das wasser kalt", "123"],
    ),
]


def _check(name, arguments, followed, missed):
    for responses, verdict in ((followed, True), (missed, False)):
        for response in responses:
            assert ifeval.strict(response, [(name, arguments)]) == (verdict,), response[:99]


@pytest.mark.parametrize(("name", "arguments", "followed", "missed"), CASES)
def test_instructions(name, arguments, followed, missed):
    _check(name, arguments, followed, missed)


@needs_langdetect
@pytest.mark.parametrize(("name", "arguments", "followed", "missed"), LANGUAGE_CASES)
def test_instructions_on_language(name, arguments, followed, missed):
    _check(name, arguments, followed, missed)


def test_all_25_are_tried():
    tried = {name for name, *_ in (*CASES, *LANGUAGE_CASES)}
    assert tried == set(ifeval.INSTRUCTIONS) and len(tried) == 25


@needs_langdetect
def test_a_language_is_the_same_each_time():
    # Short and between languages: without a seed, langdetect says now this, now that.
    assert len({texts.language("Hotel bar taxi") for _ in range(30)}) == 1
    assert texts.language("") is texts.language("12 34 !") is None


@pytest.mark.parametrize(
    ("text", "count"),
    # google-research, instruction_following_eval/instructions_util_test.py, in NLTK's model.
    [
        ("xx,x. xx,x! xx/x. x{x}x? x.", 5),
        ("xx,x! xxxx. x(x)x?", 3),
        ("xxxx. xx,x! xx|x. x&x x?", 4),
        ("xx-x]xx,x! x{x}xx,x.", 2),
        ("The U.S.A has many Ph.D. students. They often have a .com website.", 2),
        ("", 0),
        ("Is it 3.14? Yes...", 2),
        ("“Why?” she asked. “Wait!”", 3),
    ],
)
def test_sentences_are_counted_as_the_authors_count_them(text, count):
    assert len(texts.sentences(text)) == count


@pytest.mark.parametrize(
    ("text", "count"),
    # The same file's words.
    [
        ("word1, word2, word3, word4.", 4),
        ("\n      Hyphenated-word has two word counts.\n      ", 6),
        ("tell me which is the best: from a hydro-thermal to a hydro-renewables one", 15),
        ("", 0),
    ],
)
def test_words_are_counted_as_the_authors_count_them(text, count):
    assert len(texts.words(text)) == count


def test_loose_verdicts_forgive_trimmings():
    quoted = ("startend:quotation", {})
    trimmed = 'Sure, here it is:\n**"A river"**\nHope this helps!'
    assert ifeval.strict(trimmed, [quoted]) == (False,)
    assert ifeval.loose(trimmed, [quoted]) == (True,)
    # Instructions are judged one by one, and may be met by different trimmings.
    asked = [quoted, ("punctuation:no_comma", {}), ("detectable_format:title", {})]
    assert ifeval.loose(trimmed, asked) == (True, True, False)
    assert ifeval.strict('"A river"', [quoted]) == ifeval.loose('"A river"', [quoted]) == (True,)


def test_an_empty_response_follows_nothing():
    for response in ("", " \n", "*"):
        assert ifeval.loose(response.replace("*", ""), [("punctuation:no_comma", {})]) == (False,)
    assert ifeval.strict("*", [("punctuation:no_comma", {})]) == (True,)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("punctuation:no_coma", {}), "'punctuation:no_coma' is unknown.*punctuation:no_comma"),
        (("punctuation:no_comma", {"n": 1}), r"takes arguments \[\], got \['n'\]"),
        (("keywords:existence", {}), r"takes arguments \['keywords'\], got \[\]"),
        (
            ("length_constraints:number_words", {"relation": "at most", "num_words": 3}),
            "relation 'at most' is unknown; expected less than or at least",
        ),
    ],
)
def test_what_cannot_be_judged_is_an_error(asked, message):
    with pytest.raises(ValueError, match=message):
        ifeval.strict("text", [asked])


def test_what_is_to_be_checked_is_no_majority_answer():
    facts = with_facts(["1001"], instruction_id_list=["punctuation:no_comma"], kwargs=[{}])
    example = Example([1], "Say it without a comma.", tuple(facts))
    named = {"cluster": "ifeval", "templates": ("{prompt}",), "ranked": False}
    for metric, expected in (("ifeval_prompt_strict", np.nan), ("exact_match", 1.0)):
        examples = ExampleSet("x:zero_shot", "x", metrics=(metric,), examples=(example,), **named)
        tally = Tally(examples)
        tally.add(0, {"prediction": "So be it."})
        np.testing.assert_equal(tally.scores("").majority, expected)


def test_scores_by_prompt_and_by_instruction():
    asked = {
        "instruction_id_list": ["punctuation:no_comma", "startend:quotation"],
        "kwargs": [{}, {}],
    }
    references = [with_facts(["1"], **asked)] * 4
    responses = ['"both"', "one", "neither, sir", 'Here:\n"both"']
    found = {
        name: metrics.corpus_score(name, responses, references)
        for name in metrics.METRICS
        if name.startswith("ifeval")
    }
    assert found == {
        "ifeval_prompt_strict": 1 / 4,
        "ifeval_prompt_loose": 2 / 4,
        "ifeval_instruction_strict": 4 / 8,
        "ifeval_instruction_loose": 5 / 8,
    }
    with pytest.raises(ValueError, match="instruction_id_list, kwargs as the last reference"):
        metrics.corpus_score("ifeval_prompt_strict", ["text"], [["1"]])


@needs_langdetect
def test_every_released_prompt_can_be_judged(data_dir):
    with gzip.open(data_dir / "ifeval" / "test.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = list(map(json.loads, file))
    verdicts = [
        ifeval.loose(row["prompt"], zip(row["instruction_id_list"], row["kwargs"], strict=True))
        for row in rows
    ]
    assert sum(map(len, verdicts)) == 834
    followed = sum(map(sum, verdicts))
    assert 0 < followed < 834
