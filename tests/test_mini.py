"""The embedded collection: sizes, vocabulary, golden prompts, and that nothing leaks."""

import collections
import functools
import hashlib
import itertools
import json
import random
import re
from pathlib import Path

import pytest

from flan_jax.data.templates import render
from tasks.mini import documents, grammar, roles, vocabulary, world
from tasks.mini.clusters_held_out import DEVELOPMENT_TASKS, TEST_TASKS
from tasks.mini.clusters_trained import TRAINED_TASKS
from tasks.mini.declare import content, with_random_answers

HELD_OUT_TASKS = (*DEVELOPMENT_TASKS, *TEST_TASKS)
ALL_TASKS = (*TRAINED_TASKS, *HELD_OUT_TASKS)
GOLDEN = Path(__file__).with_name("golden") / "mini.json"
# Digest of documents and examples; a changed world, grammar or template changes it on purpose.
CONTENT_DIGEST = "2bcd0cd9a28a1ade"


def _rows(declaration, split, count):
    rows = itertools.islice(declaration.source.rows(split, None), count)
    return [declaration(row) for row in rows]


@functools.cache
def _golden_now():
    """The first validation row of each task under each template."""
    prompts = {}
    for declaration in ALL_TASKS:
        (fields,) = _rows(declaration, "validation", 1)
        prompts[declaration.name] = {
            "prompts": [render(t, fields, with_options=True).inputs for t in declaration.templates],
            "answer": fields["answer"],
        }
    return prompts


@functools.cache
def _raw_texts():
    rng = random.Random("raw texts")
    return [" ".join(run for run, _ in documents.document(rng)) for _ in range(6000)]


@functools.cache
def _tuning_texts():
    """Prompts with their answers, as the tuning mixture holds them."""
    texts = []
    for declaration in TRAINED_TASKS:
        for index, fields in enumerate(_rows(declaration, "train", 120)):
            template = declaration.templates[index % len(declaration.templates)]
            rendering = render(template, fields, with_options=True)
            texts.append(f"{rendering.inputs} {rendering.targets}")
    return texts


def _tokens(text):
    return f" {' '.join(grammar.words(text))} "


# ------------------------------------------------------------------------------ the collection


def test_roles_and_sizes():
    clusters = collections.defaultdict(list)
    for declaration in ALL_TASKS:
        clusters[declaration.cluster].append(declaration)
    assert len(clusters) >= 16
    by_role = collections.defaultdict(set)
    for cluster, declarations in clusters.items():
        by_role[roles.role(cluster)].add(cluster)
        assert 2 <= len(declarations) <= 4, cluster
    assert by_role["test"] == set(roles.TEST)
    assert by_role["dev"] == set(roles.DEVELOPMENT)
    assert by_role["trained"] == set(roles.TRAINED)
    assert {d.cluster for d in TRAINED_TASKS} == set(roles.TRAINED)
    assert {d.cluster for d in TEST_TASKS} == set(roles.TEST)
    for declaration in ALL_TASKS:
        assert 5 <= len(declaration.templates) <= 10, declaration.name
    with pytest.raises(ValueError, match="closed_qa"):
        roles.role("closed-book")


def test_mixtures_hold_what_their_names_say():
    import seqio

    import tasks.mini
    from flan_jax.data.registry import mixture_rates

    assert tasks.mini.register() == tasks.mini.register()
    assert {"mini_pretrain", "mini_without_nli"} <= set(seqio.MixtureRegistry.names())
    share = tasks.mini.DOCUMENT_SHARE
    for name, wanted in (
        ("mini_train", {f"{d.name}:zero_shot" for d in TRAINED_TASKS}),
        ("mini_random", {f"{d.name}_random:zero_shot" for d in TRAINED_TASKS}),
        ("mini_all", {f"{d.name}:zero_shot" for d in ALL_TASKS}),
    ):
        rates = mixture_rates(name)
        assert rates.pop("mini_documents:prefix_lm") == pytest.approx(
            share / (1 - share) * sum(rates.values())
        )
        assert set(rates) == wanted


def test_content_is_deterministic():
    """The same words on every machine and in every Python."""
    content = {
        "documents": [documents.document(random.Random(index)) for index in range(300)],
        "examples": {d.name: _rows(d, "train", 20) for d in ALL_TASKS},
        "templates": {d.name: [t.inputs for t in d.templates] for d in ALL_TASKS},
    }
    assert hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16] == CONTENT_DIGEST


def test_golden_prompts():
    """Every template renders its golden example; `python tests/test_mini.py` writes them anew."""
    assert GOLDEN.stat().st_size < 100_000
    assert _golden_now() == json.loads(GOLDEN.read_text())


def test_golden_prompts_after_a_token_round_trip():
    """Tokens keep everything but capitals and line breaks."""
    vocab = vocabulary.load()
    for golden in _golden_now().values():
        for prompt in (*golden["prompts"], golden["answer"]):
            assert vocab.round_trip(prompt) == " ".join(prompt.lower().split())


def test_training_and_validation_rows_are_disjoint():
    for declaration in ALL_TASKS:
        keys = [
            {content(row) for row in rows}
            for rows in (_rows(declaration, "train", 600), _rows(declaration, "validation", 100))
        ]
        assert not keys[0] & keys[1], declaration.name


def test_answers_are_balanced():
    """No option's place and no answer is worth guessing."""
    for declaration in ALL_TASKS:
        rows = _rows(declaration, "train", 800)
        by_count = collections.defaultdict(list)
        for row in rows:
            assert len(set(row["options"])) == len(row["options"]), declaration.name
            by_count[len(row["options"])].append(row["options"].index(row["answer"]))
        for count, places in by_count.items():
            # Five standard deviations of a fair draw.
            tolerance = 5 * (1 / count * (1 - 1 / count) / len(places)) ** 0.5
            for place in range(count):
                share = places.count(place) / len(places)
                assert abs(share - 1 / count) < tolerance, (declaration.name, count, place)
        most = max(collections.Counter(row["answer"] for row in rows).values()) / len(rows)
        assert most < (0.56 if set(by_count) == {2} else 0.4), declaration.name


def test_random_answers_leave_prompts_as_they_are():
    declaration = TEST_TASKS[2]
    control = with_random_answers(declaration)
    assert control.name == f"{declaration.name}_random"
    rows, drawn = _rows(declaration, "train", 300), _rows(control, "train", 300)
    agreement = 0
    for row, other in zip(rows, drawn, strict=True):
        assert {**row, "answer": other["answer"]} == other
        agreement += row["answer"] == other["answer"]
    assert 0.23 < agreement / 300 < 0.44


# ------------------------------------------------------------------------------ the vocabulary


def test_vocabulary_file_is_what_the_builder_makes():
    assert vocabulary.PATH.stat().st_size < 100_000
    assert vocabulary.PATH.read_bytes() == vocabulary.build()


def test_every_word_is_one_piece():
    vocab = vocabulary.load()
    assert (vocab.pad_id, vocab.eos_id, vocab.unk_id) == (0, 1, 2)
    for text in (*_raw_texts()[:1500], *_tuning_texts()[::5]):
        assert len(vocab.encode(text)) == len(grammar.words(text)), text
    for declaration in HELD_OUT_TASKS:
        for fields in _rows(declaration, "validation", 15):
            for template in declaration.templates:
                prompt = render(template, fields, with_options=True).inputs
                assert len(vocab.encode(prompt)) == len(grammar.words(prompt)), prompt
    assert vocab.unk_id not in vocab.encode("xylophone qwrtz 42")


def test_prompts_and_documents_fit_their_rows():
    for text in _raw_texts():
        assert len(grammar.words(text)) < 64
    for declaration in ALL_TASKS:
        for fields in _rows(declaration, "validation", 40):
            for template in declaration.templates:
                prompt = render(template, fields, with_options=True).inputs
                assert len(grammar.words(prompt)) < 64, prompt


# ------------------------------------------------------------------------------- nothing leaks


def _fragments(template):
    """The runs of words between the slots of a template."""
    parts = re.split(r"\{\w+\}", template.inputs)
    return [grammar.words(part) for part in parts if re.search("[a-z]", part.lower())]


def _bare(tokens):
    """Words alone: a leak does not hide behind a comma."""
    return [token for token in tokens if token.isalpha() or token == "'s"]


def test_no_held_out_template_or_wrapper_in_training_text():
    """Between slots, no run of two words is in a trained template, none of three in any text."""
    wordings = [
        f" {' '.join(_bare(fragment))} "
        for declaration in TRAINED_TASKS
        for template in declaration.templates
        for fragment in _fragments(template)
    ]
    rng = random.Random("small talk")  # it joins words at random, so look at much of it
    small_talk = (documents.chatter(rng) for _ in range(60_000))
    spoken = set()
    for text in itertools.chain(_tuning_texts(), _raw_texts(), small_talk):
        words = _bare(grammar.words(text))
        spoken.update(zip(words, words[1:], words[2:], strict=False))
    leaks = set()
    for declaration in HELD_OUT_TASKS:
        for template, fragment in ((t, f) for t in declaration.templates for f in _fragments(t)):
            words = _bare(fragment)
            for pair in itertools.pairwise(words):
                if any(f" {' '.join(pair)} " in wording for wording in wordings):
                    leaks.add((template.inputs, pair))
            for three in zip(words, words[1:], words[2:], strict=False):
                if three in spoken:
                    leaks.add((template.inputs, three))
    assert not leaks


def test_held_out_templates_match_no_training_text():
    """With a few words in its inner slots, no held-out template is a piece of training text."""
    body = "|".join(_tokens(text) for text in (*_tuning_texts(), *_raw_texts()))
    for template in (template for d in HELD_OUT_TASKS for template in d.templates):
        inner = re.sub(r"^\{\w+\}|\{\w+\}$", "", template.inputs)
        words = grammar.words(re.sub(r"\{\w+\}", " slot ", inner))
        assert len(words) > 1, template
        some_words = "[a-z']+(?: [a-z']+){0,4}"
        pattern = " ".join(some_words if w == "slot" else re.escape(w) for w in words)
        assert not re.search(f" {pattern} ", body), template


def _held_out_facts():
    """Pairs of words that a held-out fact joins, and the statements that raw documents may make."""
    for animal, (home, food) in world.ANIMALS.items():
        yield from ((animal, home), (animal, food))
    for facts in (world.CAPITALS, world.TOOLS, world.MATERIALS, world.GOALS):
        yield from facts.items()
    for job, (place, tool) in world.JOBS.items():
        yield from ((job, place), (job, tool))
    for state, (cause, effect) in world.STATES.items():
        yield from ((state, cause), (state, effect))


def test_no_held_out_fact_is_tuned_on():
    """No answer of a held-out fact comes up in tuning text, nor any word that judges a review."""
    body = "|".join(_tokens(text) for text in _tuning_texts())
    judging = (*world.PRAISE, *world.BLAME, *world.COURTEOUS, *world.INSULTING)
    labels = {o for d in HELD_OUT_TASKS for o in _rows(d, "train", 1)[0]["options"]}
    labels -= {"yes", "no", "maybe", *world.PEOPLE}
    for phrase in {answer for _, answer in _held_out_facts()} | {*judging, *labels, *world.STATES}:
        assert _tokens(phrase) not in body, phrase


def test_coreference_is_never_resolved_in_training():
    """Tuning text has no gendered pronoun, and in raw text a pronoun has one possible owner."""
    pronouns = {grammar.pronoun(p, c) for p in ("Adam", "Eva") for c in
                ("subject", "possessive", "reflexive")}  # fmt: skip
    for text in _tuning_texts():
        assert not pronouns & set(grammar.words(text)), text
    rng = random.Random(0)
    for kind in documents.SHARES:
        for _ in range(200):
            told = set(grammar.words(kind(rng)))
            if told & (pronouns - {"her", "his"}):
                assert len(told & {name.lower() for name in world.PEOPLE}) <= 1, told


def test_raw_text_never_asks_for_a_held_out_fact():
    """Closed-book knowledge stands in plain statements; only stories hold questions."""
    rng = random.Random(0)
    for kind in documents.SHARES:
        if kind not in (documents.story, documents.chatter):
            assert not any("?" in kind(rng) for _ in range(200)), kind
    known = {word for pair in _held_out_facts() for word in pair}
    known -= {*world.OBJECTS}
    for _ in range(500):
        told = _tokens(documents.story(rng) + documents.chatter(rng))
        assert not any(_tokens(word) in told for word in known), told


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps(_golden_now(), indent=0) + "\n")
