"""The Beam builder, on the direct runner; needs the extra `beam`."""

import pytest

pytest.importorskip("apache_beam")

from flan_jax.data import cache, feed, store
from flan_jax.data.cache import CacheConfig
from flan_jax.data.declarations import task
from flan_jax.data.registry import register_collection
from flan_jax.data.sources import generated
from flan_jax.data.templates import Template

pytestmark = pytest.mark.slow
CONFIG = CacheConfig(inputs_length=64, targets_length=16)


def make_row(rng, index):
    if index == 7:
        return {"question": "is it", "answer": ""}
    return {"question": f"is {index} one", "answer": "abc" * 9 if index == 8 else "yes"}


@task(
    "beam_task",
    cluster="qa",
    source=generated(make_row, {"train": 125}),  # one is broken: 1% may be
    templates=(Template("{question}"), Template("the question: {question}")),
    example={"question": "is it", "answer": "yes"},
)
def declaration(row):
    return dict(row)


class Register:
    def __init__(self, vocabulary):
        self.vocabulary = vocabulary

    def __call__(self):
        register_collection("beam_tests", [declaration], vocabulary=self.vocabulary)


def build(vocabulary, folder, shards=4, config=CONFIG):
    from flan_jax.data import cache_beam

    return cache_beam.build(
        "beam_task:zero_shot",
        "train",
        vocabulary,
        config,
        str(folder),
        shards=shards,
        register=Register(vocabulary),
        runner="DirectRunner",
    )


def by_row(rows):
    return sorted((row["example"], row["template"], row["inputs"], row["targets"]) for row in rows)


def test_rows_and_counts_are_those_of_the_ordinary_builder(tmp_path, small_vocabulary):
    beam_path = build(small_vocabulary, tmp_path / "beam")
    path = cache.build("beam_task:zero_shot", "train", small_vocabulary, CONFIG, str(tmp_path))
    one, other = store.open_cache(beam_path), store.open_cache(path)
    assert by_row(one.rows()) == by_row(other.rows())
    assert len(one.manifest["shards"]) == 4
    for fact in ("cache", "dropped", "dropped_renderings", "tokens", "histogram", "vocabulary"):
        assert one.manifest[fact] == other.manifest[fact], fact
    assert one.manifest["dropped"]["empty answer"]["count"] == 1
    location = cache.build_mixture(
        "beam_task:zero_shot", "train", small_vocabulary, CONFIG, str(tmp_path / "beam")
    )
    batch, _ = next(feed.batches(feed.open_mixture(location), feed.FeedConfig(64, 16, 2), seed=0))
    assert batch.decoder_targets.any()


def test_more_shards_than_examples(tmp_path, small_vocabulary):
    assert store.open_cache(build(small_vocabulary, tmp_path, shards=130)).num_examples == 123


def test_documents_cannot_be_joined(tmp_path, small_vocabulary):
    with pytest.raises(ValueError, match="documents are joined in their order"):
        build(small_vocabulary, tmp_path, config=CacheConfig(64, 16, join_documents=True))
