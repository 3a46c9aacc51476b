"""The feed: what batches hold, and that they depend on (mixture, config, seed) alone."""

import importlib.util
import itertools
import json
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from make_cache import (
    VOCABULARY,
    random_documents,
    random_examples,
    write_cache,
    write_mixture,
)

from flan_jax.batch import Batch
from flan_jax.data import feed
from flan_jax.data.feed import FeedConfig, FeedState
from flan_jax.data.store import CacheError

CONFIG = FeedConfig(inputs_length=16, targets_length=8, batch_size=4, window=64)


@pytest.fixture(scope="module")
def mixture(tmp_path_factory):
    """Two tasks, one with three renderings an example, and documents under each objective."""
    folder = tmp_path_factory.mktemp("mixture")
    write_cache(folder / "one", random_examples(0, 150))
    write_cache(
        folder / "three", random_examples(1, 90, renderings=3), rows_per_batch=32, rows_per_shard=50
    )
    documents = random_documents(2, 80, 15, weights=True)
    write_cache(folder / "books", documents, objective="prefix_lm", weights=True)
    return feed.open_mixture(
        write_mixture(folder / "m.json", {"one": 2.0, "three": 1.0, "books": 1.0})
    )


@pytest.fixture(scope="module")
def tasks(mixture):
    """The mixture without the documents."""
    return feed.Mixture("tasks", mixture.members[:2])


def take(count, mixture, config=CONFIG, seed=0, state=(0, 0), **hosts):
    return list(itertools.islice(feed.batches(mixture, config, seed, state, **hosts), count))


def assert_same(one: Batch, other: Batch):
    for name, a, b in zip(Batch._fields, one, other, strict=True):
        assert (a is None) == (b is None), name
        if a is not None:
            np.testing.assert_array_equal(a, b, err_msg=name)


def examples_of(batch: Batch):
    """Takes the examples out of a batch again: pairs of lists of inputs and targets."""
    for row in range(len(batch.decoder_targets)):
        for segment in range(1, batch.decoder_segments[row].max(initial=0) + 1):
            where = batch.decoder_segments[row] == segment
            tokens = batch.decoder_targets[row][where].tolist()
            if batch.encoder_tokens is not None:
                inputs = batch.encoder_tokens[row][batch.encoder_segments[row] == segment]
                yield tuple(inputs.tolist()), tuple(tokens)
            else:
                # The prefix covers the start token and the inputs: its length less one.
                split = int(batch.decoder_prefix[row][where].sum()) - 1
                yield tuple(tokens[:split]), tuple(tokens[split:])


def cached(member):
    return {
        (tuple(row["inputs"]), tuple(row["targets"])): row["example"] for row in member.cache.rows()
    }


@pytest.mark.parametrize("architecture", ["encoder_decoder", "decoder_only"])
@pytest.mark.parametrize("settings", [{}, {"packing": "exchange"}, {"pack": False}])
def test_every_example_comes_out_whole_and_once_an_epoch(tasks, architecture, settings):
    config = FeedConfig(16, 8, batch_size=1, window=60, architecture=architecture, **settings)
    seen = Counter()
    for batch, state in feed.batches(tasks, config, seed=3):
        seen.update(examples_of(batch))
        if state == FeedState(4, 0):
            break
    # 240 examples at rates 2:1 are one epoch of `one` (150) and more, 80 of `three` (90).
    one, three = (cached(member) for member in tasks.members)
    assert set(seen) <= set(one) | set(three)
    times = Counter(one[example] for example in seen.elements() if example in one)
    assert sum(times.values()) == 160 and set(times) == set(range(150))
    assert set(times.values()) == {1, 2}
    times = Counter(three[example] for example in seen.elements() if example in three)
    assert sum(times.values()) == 80 and set(times.values()) == {1}


def test_batches_have_the_promised_shapes_and_types(mixture):
    (batch, _), *_ = take(1, mixture)
    assert batch.decoder_inputs.shape == (4, 8) and batch.encoder_tokens.shape == (4, 16)
    assert batch.weights.dtype == np.float32
    assert all(
        a.dtype == np.int32
        for n, a in zip(Batch._fields, batch, strict=True)
        if n != "weights" and a is not None
    )
    config = FeedConfig(16, 8, 4, window=64, architecture="decoder_only")
    (batch, _), *_ = take(1, mixture, config)
    assert batch.decoder_targets.shape == (4, 24) and batch.encoder_tokens is None
    assert batch.decoder_prefix.dtype == bool


def test_renderings_change_from_epoch_to_epoch(mixture):
    three = feed.Mixture("three", mixture.members[1:2])
    rows = {row: (e, t) for row, (e, t) in enumerate(itertools.product(range(90), range(3)))}
    config = FeedConfig(16, 8, 4, window=90)
    mixer = feed.make_mixer(three, 0)
    chosen = []
    for epoch in range(8):
        window = feed.plan_window(three, mixer, config, 0, epoch)
        chosen.append(dict(rows[row] for row in window.cache_row.tolist()))
        assert set(chosen[-1]) == set(range(90))
    used = Counter(template for epoch in chosen for template in epoch.values())
    # 240 expected of each; five standard deviations are 63.
    assert max(abs(used[template] - 240) for template in range(3)) < 63
    assert chosen[0] != chosen[1]


def test_rates_count_source_examples(mixture):
    mixer = feed.make_mixer(mixture, 0)
    members = [feed.plan_window(mixture, mixer, CONFIG, 0, w).member for w in range(10)]
    counts = np.bincount(np.concatenate(members))
    np.testing.assert_allclose(counts, [320, 160, 160], atol=3)


@pytest.mark.parametrize("hosts", [2, 4])
def test_rows_are_the_same_on_any_number_of_hosts(mixture, hosts):
    whole = take(40, mixture)
    shares = [take(40, mixture, host=host, hosts=hosts) for host in range(hosts)]
    for step, (batch, state) in enumerate(whole):
        parts = [share[step][0] for share in shares]
        assert all(share[step][1] == state for share in shares)
        joined = (None if a[0] is None else np.concatenate(a) for a in zip(*parts, strict=True))
        assert_same(Batch(*joined), batch)


@pytest.mark.parametrize("packing", ["best_fit", "exchange"])
@pytest.mark.parametrize("batch_size", [4, 7, 50])
def test_resuming_anywhere_continues_bit_for_bit(mixture, batch_size, packing):
    config = FeedConfig(16, 8, batch_size, window=64, packing=packing)
    whole = take(30, mixture, config)
    for step in (0, 1, 6, 17, 28):
        state = FeedState(*json.loads(json.dumps(whole[step][1])))
        (batch, after), *_ = take(1, mixture, config, state=state)
        assert_same(batch, whole[step + 1][0])
        assert after == whole[step + 1][1]


def test_seeds_give_other_streams(mixture):
    (one, _), *_ = take(1, mixture, seed=0)
    (other, _), *_ = take(1, mixture, seed=1)
    assert not np.array_equal(one.decoder_targets, other.decoder_targets)


def test_rows_are_not_sorted_by_length(tasks):
    config = FeedConfig(16, 8, 1, window=400, pack=True)
    segments = [int(batch.decoder_segments.max()) for batch, _ in take(100, tasks, config)]
    # Packing puts the longest examples, one a row, first; shuffled rows show no such trend.
    assert abs(np.corrcoef(np.arange(100), segments)[0, 1]) < 0.35


def test_document_weights_and_cuts(mixture):
    books = feed.Mixture("books", mixture.members[2:])
    chunks = {tuple(row["targets"]) for row in books.members[0].cache.rows()}
    cuts = {}
    for batch, state in feed.batches(books, FeedConfig(16, 16, 1, window=80), seed=0):
        for inputs, targets in examples_of(batch):
            chunk = inputs[:-1] + targets[:-1]
            assert chunk in chunks
            cuts.setdefault(chunk, set()).add(len(inputs))
        words = batch.decoder_targets >= 20
        expected = np.round(batch.decoder_targets[words] / 200, 3).astype(np.float32)
        np.testing.assert_array_equal(batch.weights[words], expected)
        np.testing.assert_array_equal(batch.weights > 0, batch.decoder_segments > 0)
        if state.window == 4:
            break
    assert set(cuts) == chunks
    assert max(len(lengths) for lengths in cuts.values()) > 1


@pytest.mark.parametrize("objective", ["span_corruption", "causal_lm"])
def test_other_objectives_compose_with_packing(tmp_path, objective):
    write_cache(tmp_path / "books", random_documents(0, 60, 12), objective=objective)
    books = feed.open_mixture(write_mixture(tmp_path / "m.json", {"books": 1.0}))
    config = FeedConfig(16, 8, 2, window=60, architecture="decoder_only")
    for batch, state in feed.batches(books, config, seed=0):
        assert all(targets[-1] == 1 for _, targets in examples_of(batch))
        if state.window:
            break


def test_errors_name_the_remedy(mixture, tmp_path):
    with pytest.raises(ValueError, match="host 0 of 3 cannot share batches of 4 rows"):
        feed.batches(mixture, CONFIG, 0, hosts=3)
    with pytest.raises(ValueError, match="'one' was built for lengths 16/8, rows have 8/8"):
        feed.batches(mixture, FeedConfig(8, 8, 4), 0)
    with pytest.raises(ValueError, match="FeedConfig.window is 0; give 1 or more"):
        FeedConfig(8, 8, 4, window=0)
    with pytest.raises(ValueError, match="architecture is 'decoder'"):
        FeedConfig(8, 8, 4, architecture="decoder")
    with pytest.raises(ValueError, match="packing is 'tight'; give one of best_fit, exchange"):
        FeedConfig(8, 8, 4, packing="tight")
    write_cache(tmp_path / "books", random_documents(0, 5, 9), objective="causal_lm")
    books = feed.open_mixture(write_mixture(tmp_path / "m.json", {"books": 1.0}))
    with pytest.raises(ValueError, match="'books' has no inputs for an encoder"):
        feed.batches(books, CONFIG, 0)


@pytest.mark.parametrize("rate", [0, -1.0, float("nan"), float("inf")])
def test_rates_must_be_positive(tmp_path, rate):
    with pytest.raises(ValueError, match=r"mixture 'mixture': the rate of 'a' is .*positive"):
        feed.open_mixture(write_mixture(tmp_path / "m.json", {"a": rate}))


def test_empty_and_missing_mixtures(tmp_path):
    with pytest.raises(ValueError, match="has no members"):
        feed.open_mixture(write_mixture(tmp_path / "m.json", {}))
    with pytest.raises(CacheError, match="does not exist; build the mixture first"):
        feed.open_mixture(str(tmp_path / "none.json"))
    (tmp_path / "list.json").write_text('{"mixtures": {}, "evaluation": {}}')
    with pytest.raises(CacheError, match="list.json is no mixture file: expected .*-train.json"):
        feed.open_mixture(str(tmp_path / "list.json"))
    write_cache(tmp_path / "a", random_examples(0, 3))
    location = write_mixture(tmp_path / "m.json", {"a": 1.0, "b": 1.0, "c": 1.0})
    with pytest.raises(CacheError, match=r"(?s)2 of 3 members.*  b: .*  c: .*build it first"):
        feed.open_mixture(location)


def test_other_vocabularies_are_refused(tmp_path):
    write_cache(tmp_path / "a", random_examples(0, 3))
    write_cache(tmp_path / "b", random_examples(0, 3), vocabulary=VOCABULARY | {"digest": "e" * 64})
    with pytest.raises(ValueError, match="'b' was built with another vocabulary"):
        feed.open_mixture(write_mixture(tmp_path / "m.json", {"a": 1.0, "b": 1.0}))
    with pytest.raises(ValueError, match=r"'a' was built with another .* than expected \(digest f"):
        feed.open_mixture(write_mixture(tmp_path / "m.json", {"a": 1.0}), vocabulary="f" * 64)


def test_fingerprint_changes_with_rates_and_caches(tmp_path):
    write_cache(tmp_path / "a", random_examples(0, 3))
    write_cache(tmp_path / "b", random_examples(0, 4))
    prints = {
        feed.open_mixture(write_mixture(tmp_path / "m.json", members)).fingerprint
        for members in ({"a": 1.0}, {"a": 2.0}, {"b": 1.0}, {"a": 1.0, "b": 1.0}, {"a": 1.0})
    }
    assert len(prints) == 4


def test_the_benchmark_runs(mixture, monkeypatch):
    path = Path(__file__).parents[1] / "benchmarks" / "feed.py"
    monkeypatch.syspath_prepend(path.parent)  # it imports what benchmarks share
    spec = importlib.util.spec_from_file_location("feed_benchmark", path)
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    line = benchmark.measure("tiny", mixture, CONFIG, 100)
    assert line["examples"] >= 100 and 0.5 < line["inputs_filled"] <= 1
    json.dumps(line)


def test_prefetch_gives_the_same_items_and_ends():
    with feed.prefetch(iter(range(20)), depth=3) as items:
        assert list(items) == list(range(20))
    assert list(items) == []


def feed_threads():
    return [thread for thread in threading.enumerate() if thread.name == "feed"]


def test_prefetch_stops_when_closed_or_dropped():
    items = feed.prefetch(itertools.count(), depth=2)
    assert next(items) == 0
    items.close()
    assert feed_threads() == []
    with pytest.raises(StopIteration):
        next(items)
    items = feed.prefetch(itertools.count(), depth=2)
    del items
    assert feed_threads() == []


def test_prefetch_raises_what_the_thread_raised():
    def broken():
        yield 1
        raise OSError("gone")

    items = feed.prefetch(broken())
    assert next(items) == 1
    with pytest.raises(OSError, match="gone"):
        next(items)
    assert feed_threads() == []


def test_prefetch_keeps_items_ready():
    made = []
    items = feed.prefetch((made.append(i) or i for i in range(9)), depth=3)
    deadline = time.monotonic() + 5
    while len(made) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(made) == 4  # three in the queue, one waiting to get in
    items.close()


def test_feeds_without_tensorflow_seqio_or_gin(tmp_path):
    write_cache(tmp_path / "a", random_examples(0, 50))
    location = write_mixture(tmp_path / "m.json", {"a": 1.0})
    program = textwrap.dedent(f"""
        import sys

        class Blocked:
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] in ("tensorflow", "seqio", "gin", "tensorflow_datasets"):
                    raise ImportError(name + " is blocked")

        sys.meta_path.insert(0, Blocked())
        import flan_jax.storage
        from flan_jax.data import feed, objectives, packing, store
        mixture = feed.open_mixture({location!r})
        batch, state = next(feed.batches(mixture, feed.FeedConfig(16, 8, 2, window=20), seed=0))
        print(batch.decoder_targets.shape, tuple(state), "jax" in sys.modules)
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(2, 8) (0, 2) False"
