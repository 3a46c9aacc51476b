"""Content-free prompts: rendered beside the prompt, and cached where they are asked for."""

import dataclasses
import doctest

import pytest
import seqio
from declared import declare_colors

from flan_jax.data import cache, content_free, recipes, registry, store
from flan_jax.data.cache import CacheConfig
from flan_jax.data.declarations import Example, TaskDeclaration, task
from flan_jax.data.renderer import Rendered
from flan_jax.data.rendering import Drops
from flan_jax.data.seqio_adapter import seqio_vocabulary
from flan_jax.data.sources import generated
from flan_jax.data.store import CacheError
from flan_jax.data.templates import FewShot, Template

pytestmark = pytest.mark.usefixtures("clean_registries")

CONFIG = CacheConfig(inputs_length=256, targets_length=16)
FREE = dataclasses.replace(CONFIG, content_free=True)
LIST = "OPTIONS:\n- red\n- green\n- blue"


def test_example_in_the_docs():
    assert doctest.testmod(content_free).failed == 0


def rendered(name, split="validation"):
    variant = registry.variant(name)
    renderer = variant.renderer(split, 0, content_free=True)
    examples = variant.checked(split, Drops(), renderer)
    return [one for example in examples for one in renderer.render(example)]


def test_zero_shot(small_vocabulary):
    registry.register_collection("mix", [declare_colors()], vocabulary=small_vocabulary)
    first, second, *_ = rendered("colors:zero_shot:rank")
    assert first.content_free == (
        f"What colour is N/A?\n{LIST}",
        f"What colour is [MASK]?\n{LIST}",
        f"What colour is ?\n{LIST}",
    )
    assert second.content_free == (f"N/A is\n{LIST}", f"[MASK] is\n{LIST}", f" is\n{LIST}")
    first, second, *_ = rendered("colors:zero_shot_no_options:rank")
    assert first.content_free[0] == "What colour is N/A?" and second.content_free[2] == " is"


def test_options_stay_in_style_and_order(small_vocabulary):
    registry.register_collection("mix", [declare_colors()], vocabulary=small_vocabulary)
    orders = set()
    for one in rendered("colors:zero_shot_letters_permuted:rank", "train"):
        wanted = [one.inputs.replace(f"thing {one.example}", word) for word in content_free.WORDS]
        assert list(one.content_free) == wanted
        orders.add(one.inputs.partition("OPTIONS:")[2])
    assert len(orders) == 6


def test_few_shot_keeps_the_exemplars(small_vocabulary):
    few_shot = FewShot(exemplars=3, max_tokens=100)  # a budget that some exemplars exceed
    colors = declare_colors(few_shot=few_shot, sizes={"train": 20, "validation": 6})
    registry.register_collection("mix", [colors], vocabulary=small_vocabulary)
    shown = set()
    for one in rendered("colors:few_shot_no_options:rank"):
        exemplars, _, query = one.inputs.rpartition("\n\n")
        shown.add(exemplars.count("ANSWER:"))
        wanted = [query.replace(f"thing {one.example}", word) for word in content_free.WORDS]
        assert list(one.content_free) == [f"{exemplars}\n\n{query}" for query in wanted]
        assert query.endswith("\nANSWER:")
    assert len(shown) > 1


def things(rng, index):
    return {"count": index, "first": "yes", "note": "yes"}


@task(
    "things",
    cluster="facts",
    source=generated(things, {"validation": 2}),
    example=things(None, 3),
    templates=(
        Template("{{{count}}} of {note}: {first} or {second}?"),
        Template("{note} {count}", targets="{count} is {answer}"),
    ),
)
def declared_things(row):
    note = f"{row['count']} things"
    return row | {"note": note, "second": "no", "options": ["yes", "no"], "answer": "no"}


def test_numbers_go_and_options_in_words_stay(small_vocabulary):
    registry.register_collection("mix", [declared_things], vocabulary=small_vocabulary)
    first, second, *_ = rendered("things:zero_shot_no_options:rank")
    assert first.inputs == "{0} of 0 things: yes or no?"
    assert first.content_free == (
        "{N/A} of N/A: yes or no?",
        "{[MASK]} of [MASK]: yes or no?",
        "{} of : yes or no?",
    )
    assert second.content_free == ("N/A N/A", "[MASK] [MASK]", " ")
    assert second.options == ["0 is yes", "0 is no"]  # what is compared is the example's
    # A number is the text it shows as, which is all that another process is told of it.
    example = Example({"one": 3, "other": 4}, ("3", "5"), 0, ("3",))
    assert content_free.prompts(Template("{one} or {other}?"), example, None)[0] == "3 or N/A?"


def test_a_template_that_is_one_field_has_none(small_vocabulary, tmp_path):
    whole = declare_colors(templates=(Template("{object}?"), Template("{object}\n{options}")))
    registry.register_collection("mix", [whole], vocabulary=small_vocabulary)
    message = r"task 'colors' has no content-free prompts: its template 1 is .*content_free=False"
    with pytest.raises(CacheError, match=message):
        cache.build("colors:zero_shot:rank", "train", small_vocabulary, FREE, str(tmp_path))
    # The first template alone has some.
    name = "colors:zero_shot_1_templates:rank"
    cache.build(name, "validation", small_vocabulary, FREE, str(tmp_path), progress=False)


def test_the_cache_holds_them_tokenised_and_cut_like_inputs(small_vocabulary, tmp_path):
    registry.register_collection("mix", [declare_colors()], vocabulary=small_vocabulary)
    short = dataclasses.replace(FREE, inputs_length=20)
    name = "colors:zero_shot_no_options:rank"
    for workers in (0, 1):
        folder = str(tmp_path / str(workers))
        path = cache.build(
            name, "train", small_vocabulary, short, folder, workers=workers, progress=False
        )
        assert path.split("/")[-1] == f"colors.zero_shot_no_options.rank-train-{digest_of(short)}"
        rows = list(store.open_cache(path).rows())
        for row, one in zip(rows, rendered(name, "train"), strict=True):
            assert row["content_free_prompts"] == list(one.content_free)
            tokens = [small_vocabulary.encode(text)[:19] + [1] for text in one.content_free]
            assert row["content_free_inputs"] == tokens
            assert row["inputs"] == small_vocabulary.encode(one.inputs)[:19] + [1]
            assert row["option_tokens"] == [small_vocabulary.encode(o) + [1] for o in one.options]
        manifest = store.read_manifest(path)
        cut = sum(
            len(small_vocabulary.encode(text)) > 19
            for row in rows
            for text in row["content_free_prompts"]
        )
        counted = manifest["truncated"]["content-free inputs longer than 20 tokens"]
        assert 0 < counted["count"] == cut < 3 * len(rows)
        assert manifest["content_free"] == ["N/A", "[MASK]", ""]


def digest_of(config):
    name = "colors:zero_shot_no_options:rank"
    variant = registry.variant(name)
    return recipes.recipe(name, "train", variant.vocabulary, config).fingerprint[:12]


def test_other_caches_are_what_they_were(small_vocabulary):
    registry.register_collection("mix", [declare_colors()], vocabulary=small_vocabulary)
    for name, same in [
        ("colors:zero_shot", True),
        ("colors:zero_shot:generate", True),
        ("colors:few_shot:rank", False),
    ]:
        plain, free = (
            recipes.recipe(name, "train", small_vocabulary, config) for config in (CONFIG, FREE)
        )
        assert "content_free" not in plain.facts
        assert (plain.fingerprint == free.fingerprint) == (plain.columns == free.columns) == same
    # What fingerprints hash.
    row = (0, 1, "in", "out", ["a"], 0, ["a"])
    assert repr(Rendered(*row)) == (
        "Rendered(example=0, template=1, inputs='in', targets='out', options=['a'], answer=0, "
        "references=['a'])"
    )
    assert repr(Rendered(*row, ("N/A",))).endswith(", references=['a'], content_free=('N/A',))")


def test_a_plain_seqio_task_has_none(small_vocabulary):
    import tensorflow as tf

    def dataset(split, shuffle_files=False, seed=None):
        row = {"inputs": "is it", "targets": "yes", "options": ["yes", "no"]}
        return tf.data.Dataset.from_tensors(row)

    feature = seqio.Feature(vocabulary=seqio_vocabulary(small_vocabulary), add_eos=True)
    seqio.TaskRegistry.add(
        "plain",
        source=seqio.FunctionDataSource(dataset, splits=("test",), num_input_examples={"test": 1}),
        preprocessors=[seqio.preprocessors.tokenize, seqio.preprocessors.append_eos],
        output_features={"inputs": feature, "targets": feature},
        metric_fns=[],
    )
    with pytest.raises(CacheError, match="'plain' is not declared with flan_jax.*content_free=F"):
        recipes.recipe("plain", "test", small_vocabulary, FREE, evaluation=True)
    assert recipes.recipe("plain", "test", small_vocabulary, FREE).facts["name"] == "plain"


def test_declared_benchmarks_say_that_they_have_none(small_vocabulary):
    from flan_jax.data.forms import form_of
    from tasks.benchmarks import mmlu

    declaration = mmlu.declarations()[0]
    assert isinstance(declaration, TaskDeclaration)
    form = form_of(declaration, "zero_shot:rank")
    with pytest.raises(CacheError, match=f"task '{declaration.name}' has no content-free"):
        content_free.has_prompts(declaration, form)
    assert not content_free.has_prompts(declaration, form_of(declaration, "zero_shot"))
    assert content_free.has_prompts(declare_colors(), form)
