"""A declaration becomes SeqIO tasks that the SeqIO world can read."""

import json

import pytest
import seqio
from declared import declare_colors, declare_open

from flan_jax.data import registry
from flan_jax.data.declarations import DeclarationError, documents, task
from flan_jax.data.sources import generated, jsonl, text_lines
from flan_jax.data.templates import Template

pytestmark = pytest.mark.usefixtures("clean_registries")

LENGTHS = {"inputs": 64, "targets": 16}


def test_fifteen_lines_from_rows_to_tokens(tmp_path, small_vocabulary):
    (tmp_path / "rte").mkdir()
    row = {"premise": "it rains.", "hypothesis": "it is wet?", "label": 0}
    for split in ("train", "test"):
        (tmp_path / "rte" / f"{split}.jsonl").write_text(json.dumps(row) + "\n")

    @task(
        "rte",
        cluster="nli",
        source=jsonl("rte", splits={"train": "train", "validation": "test"}),
        metrics=("accuracy",),
        templates=(Template("{premise}\nDoes it follow that {hypothesis}"),),
        example={"premise": "It rains.", "hypothesis": "it is wet?", "label": 0},
    )
    def rte(row):
        options = ["yes", "no"]
        return {"premise": row["premise"], "hypothesis": row["hypothesis"],
                "options": options, "answer": options[row["label"]]}  # fmt: skip

    registry.register_collection("nli", [rte], vocabulary=small_vocabulary, data_dir=tmp_path)
    dataset = seqio.get_mixture_or_task("rte:zero_shot").get_dataset(LENGTHS, "train")
    (element,) = dataset.as_numpy_iterator()
    text = "it rains.\nDoes it follow that it is wet?\nOPTIONS:\n- yes\n- no"
    assert element["inputs"].tolist() == [*small_vocabulary.encode(text), 1][:64]
    assert element["targets"].tolist() == [*small_vocabulary.encode("yes"), 1]


def test_names_of_forms(small_vocabulary):
    names = registry.register_collection(
        "mix", [declare_colors(), declare_open()], vocabulary=small_vocabulary
    )
    training = ["zero_shot", "zero_shot_no_options", "few_shot", "few_shot_no_options"]
    colors = [f"colors:{form}{end}" for end in ("", ":rank", ":generate") for form in training]
    plain = [
        f"open_colors:{form}{end}"
        for end in ("", ":generate")
        for form in ("zero_shot", "few_shot")
    ]
    assert list(names) == colors + plain
    declaration, form = registry.lookup("colors:few_shot_no_options:rank")
    assert declaration.name == "colors"
    assert (form.few_shot, form.with_options, form.evaluation) == (True, False, "rank")
    assert registry.lookup("colors") is None
    assert registry.clusters("mix") == {"facts": ("colors",), "open": ("open_colors",)}


def test_a_collection_needs_a_vocabulary(clean_registries):
    with pytest.raises(DeclarationError, match="'mix' is given no vocabulary: name one"):
        registry.register_collection("mix", [declare_colors()], vocabulary=None)


def test_registering_twice(small_vocabulary):
    colors = declare_colors()
    registry.register_collection("mix", [colors], vocabulary=small_vocabulary)
    registry.register_collection("mix", [colors], vocabulary=small_vocabulary)
    with pytest.raises(DeclarationError, match="'colors:zero_shot' is taken .*: data_dir;"):
        registry.register_collection("mix", [colors], vocabulary=small_vocabulary, data_dir="x")
    with pytest.raises(DeclarationError, match="'other': declared more|'colors' declared more"):
        registry.register_collection(
            "other", [declare_colors(), declare_colors()], vocabulary=small_vocabulary
        )
    with pytest.raises(ValueError, match="'mixx' is not registered; did you mean 'mix'"):
        registry.clusters("mixx")


def test_registering_reads_no_data(small_vocabulary):
    def fails(rng, index):
        raise AssertionError("read")

    @task(
        "unread",
        cluster="facts",
        source=generated(fails, {"train": 3}),
        example={"a": "b"},
        templates=(Template("{a}"),),
    )
    def unread(row):
        return {"a": row["a"], "answer": "c"}

    registry.register_collection("mix", [unread], vocabulary=small_vocabulary)
    registry.add_mixture("mix_train", registry.training_members("mix"))
    missing = documents("gone", source=text_lines("gone"), example={"text": "a"})(
        lambda row: row["text"]
    )
    registry.register_collection("raw", [missing], vocabulary=small_vocabulary, data_dir="/none")


def test_training_form_gives_one_template_an_example_and_epoch(small_vocabulary):
    registry.register_collection("mix", [declare_colors()], vocabulary=small_vocabulary)
    provider = seqio.get_mixture_or_task("colors:zero_shot")
    dataset = provider.get_dataset(None, "train", shuffle=False, seed=1, num_epochs=2)
    elements = list(dataset.as_numpy_iterator())
    assert [element["example"] for element in elements] == [*range(30), *range(30)]
    first, second = ([int(e["template"]) for e in part] for part in (elements[:30], elements[30:]))
    assert set(first) == {0, 1, 2} and first != second
    expected = {
        (one.example, one.template): one for one in registry.renderings("colors:zero_shot", "train")
    }
    for element in elements:
        one = expected[int(element["example"]), int(element["template"])]
        assert element["inputs"].tolist() == [*small_vocabulary.encode(one.inputs), 1]
        assert element["targets"].tolist() == [*small_vocabulary.encode(one.targets), 1]
        assert element["inputs_pretokenized"].decode() == one.inputs
    again = provider.get_dataset(None, "train", shuffle=False, seed=1, num_epochs=1)
    assert [int(e["template"]) for e in again.as_numpy_iterator()] == first


def test_evaluation_form_passes_fields_through(small_vocabulary):
    registry.register_collection("mix", [declare_colors()], vocabulary=small_vocabulary)
    provider = seqio.get_mixture_or_task("colors:few_shot:rank")
    dataset = provider.get_dataset(None, "validation", shuffle=False)
    rendered = list(registry.renderings("colors:few_shot:rank", "validation"))
    for element, one in zip(dataset.as_numpy_iterator(), rendered, strict=True):
        assert element["inputs"].tolist() == [*small_vocabulary.encode(one.inputs), 1]
        assert [option.decode() for option in element["options"]] == one.options
        assert [text.decode() for text in element["references"]] == one.references
        assert int(element["answer"]) == one.answer
        assert (int(element["example"]), int(element["template"])) == (one.example, one.template)


def test_generation_form_scores_with_its_metrics(small_vocabulary):
    registry.register_collection("mix", [declare_open()], vocabulary=small_vocabulary)
    provider = seqio.get_mixture_or_task("open_colors:zero_shot:generate")
    (metric,) = provider.predict_metric_fns
    element = next(provider.get_dataset(None, "train", shuffle=False).as_numpy_iterator())
    target = provider.postprocess_fn("ignored", example=element, is_target=True)
    assert target[1] == target[0].upper()
    prediction = provider.postprocess_fn(target[1], example=element, is_target=False)
    assert metric([target], [prediction]) == {"exact_match": 1.0}


@pytest.mark.parametrize("objective", ["prefix_lm", "span_corruption", "causal_lm"])
def test_documents_become_pretraining_tasks(objective, tmp_path, small_vocabulary):
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "train.txt").write_text("one two three four five\n" * 3)
    books = documents(
        "books", source=text_lines("books", splits=("train",)), example={"text": "one"}
    )(lambda row: [(row["text"], 1.0), (" the end", 0.5)])
    registry.register_collection("raw", [books], vocabulary=small_vocabulary, data_dir=tmp_path)
    rendered = list(registry.renderings(f"books:{objective}", "train"))
    assert rendered[0].targets == [("one two three four five", 1.0), (" the end", 0.5)]
    provider = seqio.get_mixture_or_task(f"books:{objective}")
    dataset = provider.get_dataset({"inputs": 16, "targets": 16}, "train", shuffle=False, seed=0)
    tokens = [
        *small_vocabulary.encode("one two three four five"),
        *small_vocabulary.encode("the end"),
    ]
    sentinels = {small_vocabulary.sentinel(n) for n in range(small_vocabulary.extra_ids)}
    pieces = []
    for element in dataset.as_numpy_iterator():
        inputs, targets = element["inputs"].tolist(), element["targets"].tolist()
        assert len(inputs) <= 16 and targets[-1] == 1
        if objective == "prefix_lm":
            pieces += inputs[:-1] + targets[:-1]
        elif objective == "span_corruption":
            assert sentinels & set(inputs) and sentinels & set(targets)
        else:
            assert inputs == []
            pieces += targets[:-1]
    if objective != "span_corruption":
        # What is left of a document may be a single token, which makes no example.
        assert pieces in (tokens * 3, tokens[:-1] * 3)
