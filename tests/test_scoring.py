"""Rank classification: equal to the full forward of the model, whatever the batch."""

import dataclasses
import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_models
from quick_compilation import compile_quickly  # noqa: F401

from flan_jax.evaluation import batching, generation, scoring
from flan_jax.evaluation.examples import Example
from flan_jax.evaluation.normalisation import NORMALISATIONS, TIE, calibrated, choose
from flan_jax.evaluation.scoring import Scorer
from flan_jax.model import transformer

MODELS = ("encoder_decoder", "decoder_only", "prefix_lm_relative")


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    config = small_models.CONFIGS[request.param]
    return config, small_models.params_of(config)


def make_examples(count: int) -> list[Example]:
    """Prompts of 1 to 40 tokens with 2 to 4 options of 1 to 6 tokens."""
    generator = np.random.default_rng(0)

    def tokens(most):
        length = generator.integers(0, most)
        return [*generator.integers(2, small_models.VOCAB, length).tolist(), 1]

    examples = []
    for index in range(count):
        options = tuple(tokens(6) for _ in range(generator.integers(2, 5)))
        texts = tuple(map(str, range(len(options))))
        examples.append(Example(tokens(40), "", ("0",), texts, options, 0, index))
    return examples


@small_models.quick_jit
def log_probabilities(config, params, batch):
    """Of every target token, from the ordinary forward pass."""
    logits = transformer.apply(config, params, batch)
    targets = jnp.asarray(batch.decoder_targets)[..., None]
    return jnp.take_along_axis(jax.nn.log_softmax(logits), targets, axis=-1)[..., 0]


def test_scores_equal_the_full_forward(model):
    config, params = model
    examples = make_examples(4)
    scores = scoring.score_options(config, params, examples, batch_size=3)
    rows = [
        [(np.array(example.inputs), np.array(option))]
        for example in examples
        for option in example.option_tokens
    ]
    batch = small_models.rows_batch(config, rows, inputs_length=40, targets_length=10)
    expected = (log_probabilities(config, params, batch) * batch.weights).sum(axis=1)
    np.testing.assert_allclose(np.concatenate(scores), expected, atol=1e-5, rtol=1e-6)


@pytest.mark.parametrize("batch_size, row_length", [(1, 8), (7, 128), (64, 1)])
def test_scores_and_choices_do_not_depend_on_batch_and_packing(model, batch_size, row_length):
    examples = make_examples(12)
    expected = scoring.score_options(*model, examples, 64, row_length=128)
    # A batch of one has a shape, and so a compilation, for nearly every example.
    some = slice(3) if batch_size == 1 else slice(12)
    found = scoring.score_options(*model, examples[some], batch_size, row_length)
    assert_same(examples[some], found, expected[some])


def assert_same(examples, found, expected):
    """Scores within 1e-4, and the same choices but for counted ties that are closer than that."""
    ties = 0
    for example, a, b in zip(examples, found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4, rtol=0)
        for name in ("sum", "mean", "mean_per_byte"):
            compared = [NORMALISATIONS[name](scores, example) for scores in (a, b)]
            chosen = [choose(values) for values in compared]
            ties += chosen[0] != chosen[1]
            assert np.ptp(compared[1][chosen]) < 1e-4
    assert ties == 0  # with these examples


def test_many_options_of_one_prompt_are_spread_over_rows(model):
    options = tuple([2 + i, *range(3, 3 + i % 5), 1] for i in range(40))
    texts = tuple(map(str, range(40)))
    many = Example([5, 6, 7, 1], "", ("0",), texts, options, 0)
    one = [Example([5, 6, 7, 1], "", ("0",), ("0",), (option,), 0) for option in options]
    (found,) = scoring.score_options(*model, [many], batch_size=3, row_length=16)
    expected = np.concatenate(scoring.score_options(*model, one, batch_size=16))
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)


def test_without_a_prompt(model):
    """Behind EOS alone, for prompts that end with it; a shared option has one score."""
    examples = make_examples(3)
    without = scoring.score_without_prompts(Scorer(*model, batch_size=4), examples)
    bare = [dataclasses.replace(example, inputs=[1]) for example in examples]
    for a, b in zip(without, scoring.score_options(*model, bare, 8), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5, rtol=0)


def test_behind_content_free_prompts_of_the_template(model):
    examples = make_examples(4)
    examples = [dataclasses.replace(e, template=i % 2) for i, e in enumerate(examples)]
    of_template = {0: [[5, 1], [5, 6, 7, 1]], 1: [[8, 8, 1], [9, 1]]}
    prompts = [of_template[example.template] for example in examples]
    found = scoring.score_content_free(Scorer(*model, batch_size=4), examples, prompts)
    for at in range(2):
        behind = [dataclasses.replace(e, inputs=of_template[e.template][at]) for e in examples]
        for a, b in zip(found, scoring.score_options(*model, behind, 4), strict=True):
            np.testing.assert_allclose(a[at], b, atol=1e-5, rtol=0)


def test_calibrated():
    """Probabilities 0.6 and 0.4, of which a content-free prompt explains 0.8 and 0.2."""
    example = Example([1], "", (), ("a", "b"), ([5], [6]), 0)
    scores, free = np.log([0.06, 0.04]), np.log([[0.4, 0.1]])
    found = calibrated(scores, example, free)
    np.testing.assert_allclose(np.exp(found), np.array([0.75, 2.0]) / 2.75)
    assert choose(found) == choose(NORMALISATIONS["pmi"](scores, example, free[0])) == 1
    # Two prompts count alike, however likely the options are behind them: (0.8 + 0.4) / 2 = 0.6.
    two = calibrated(scores, example, np.log([[0.4, 0.1], [0.0004, 0.0006]]))
    np.testing.assert_allclose(np.exp(two), [0.5, 0.5])
    with pytest.raises(ValueError, match="content-free prompts"):
        calibrated(scores, example, None)


def test_the_end_of_sequence_is_scored_or_not(model):
    examples = make_examples(3)
    examples = [
        dataclasses.replace(e, option_tokens=tuple([7, *o] for o in e.option_tokens))
        for e in examples
    ]
    bare = scoring.without_end(examples)
    assert [o for e in bare for o in e.option_tokens] == [
        o[:-1] for e in examples for o in e.option_tokens
    ]
    assert scoring.without_end(bare) == bare
    with_end, without = (scoring.score_options(*model, es, 4) for es in (examples, bare))
    assert all(np.all(a < b) for a, b in zip(with_end, without, strict=True))
    alone = Example([5, 1], "", (), ("",), ([1],), 0, example=6, template=2)
    with pytest.raises(ValueError, match="example 6, template 2: .* end of sequence alone"):
        scoring.without_end([alone])


def test_what_has_no_score_is_an_error(model):
    config, params = model
    example = Example([], "", (), ("a",), ([7, 1],), 0, example=3)
    with pytest.raises(ValueError, match="example 3, template 0: the prompt has no tokens"):
        scoring.score_options(small_models.CONFIGS["encoder_decoder"], {}, [example])
    for options in ((), ([7, 1], [])):
        example = Example([5, 1], "", (), (), options, 0, example=4)
        with pytest.raises(ValueError, match="example 4, template 0: expected options with at"):
            scoring.score_options(config, params, [example])
    broken = jax.tree.map(lambda leaf: leaf * np.nan, params)
    with pytest.raises(ValueError, match=r"example 0, template 0: .*nan.* are not finite"):
        scoring.score_options(config, broken, make_examples(4)[:1], batch_size=3)


def test_equal_options_tie_and_the_first_is_chosen(model):
    example = Example([5, 6, 1], "", ("0",), ("a",) * 3, ([7, 1],) * 3, 0)
    (scores,) = scoring.score_options(*model, [example], batch_size=3)
    assert scores == pytest.approx([scores[0]] * 3, abs=TIE)
    assert choose(scores) == 0


def test_choose_takes_the_first_of_a_tie():
    assert choose(np.array([-3.0, -1.0, -1.0])) == 1
    assert choose(np.array([-3.0, -1.000001, -1.0])) == 1
    with pytest.raises(ValueError, match="expected scores that are numbers, got .*nan"):
        choose(np.array([-3.0, np.nan]))


def test_normalisations():
    example = Example([1], "", ("0",), ("é", "abcd"), ([5], [6, 7]), 0)
    scores, without = np.array([-3.0, -4.0]), np.array([-1.0, -5.0])
    expected = {
        "sum": [-3.0, -4.0],
        "mean": [-3.0, -2.0],
        "mean_per_byte": [-1.5, -1.0],
        "pmi": [-2.0, 1.0],
        "calibrated": np.array([-2.0, 1.0]) - np.logaddexp(-2.0, 1.0),
    }
    for name, function in NORMALISATIONS.items():
        beside = without[None] if name == "calibrated" else without
        np.testing.assert_allclose(function(scores, example, beside), expected[name])
    with pytest.raises(ValueError, match="without a prompt"):
        NORMALISATIONS["pmi"](scores, example)


def test_buckets():
    assert [batching.bucket(n) for n in (3, 16, 33, 65, 97, 200)] == [4, 16, 64, 80, 112, 224]
    assert batching.bucket(0, 4) == 4
    assert batching.bucket(5, 32) == 32
    assert all(batching.bucket(n) >= n for n in range(1, 2000))


def test_batches_hold_every_row_once_and_the_largest_first():
    sizes = [(16, 3), (32, 1), (16, 5), (32, 2), (16, 4)]
    batches = [rows.tolist() for rows in batching.longest_first(sizes, 2)]
    assert batches == [[3, 1], [2, 4], [0]]


ON_A_MESH = """
import json
import jax
import pytest
import small_models
from quick_compilation import compile_quickly  # noqa: F401
from test_scoring import make_examples

from flan_jax.evaluation import generation, scoring
from flan_jax.parallel.mesh import MeshConfig, make_mesh

assert jax.device_count() == 8
found = {}
with jax.set_mesh(make_mesh(MeshConfig(data=4, tensor=2))):
    examples = make_examples(9)
    for name in ("encoder_decoder", "decoder_only"):
        config = small_models.CONFIGS[name]
        params = small_models.params_of(config)
        scores = scoring.score_options(config, params, examples, batch_size=8)
        prompts = [example.inputs for example in examples]
        # With one row too many, so that a row is replaced.
        answers = generation.generate(config, params, prompts, 4, batch_size=8)
        found[name] = [[row.tolist() for row in scores], answers]
    with pytest.raises(ValueError, match="7 rows.*batch_size to a multiple of 4"):
        scoring.score_options(config, params, examples, batch_size=7)
print(json.dumps(found))
"""


def test_eight_devices_give_the_scores_and_answers_of_one():
    flags = "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    environment["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
    folders = [os.path.dirname(__file__), os.path.dirname(os.path.dirname(__file__))]
    environment["PYTHONPATH"] = os.pathsep.join(folders)
    done = subprocess.run(
        [sys.executable, "-c", ON_A_MESH], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    examples = make_examples(9)
    for name, (scores, answers) in json.loads(done.stdout).items():
        config = small_models.CONFIGS[name]
        params = small_models.params_of(config)
        alone = scoring.score_options(config, params, examples, batch_size=3)
        assert_same(examples, list(map(np.array, scores)), alone)
        prompts = [example.inputs for example in examples]
        assert generation.generate(config, params, prompts, 4, batch_size=3) == answers
