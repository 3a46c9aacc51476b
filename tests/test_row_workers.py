"""Rows that other processes make: the same bytes, faults that name the row, nothing left."""

import functools
import multiprocessing
import time
from pathlib import Path

import pytest
from cache_tasks import CONFIG, EXAMPLE, TEMPLATES, rows_of

from flan_jax.data import cache
from flan_jax.data.declarations import Example, task
from flan_jax.data.forms import Form
from flan_jax.data.registry import register_collection
from flan_jax.data.renderer import Checked, Rendered, Renderer
from flan_jax.data.row_maker import Batch, RowMaker
from flan_jax.data.row_workers import Workers
from flan_jax.data.sources import generated
from flan_jax.data.tokenisation import Tokeniser

LONG, UNKNOWN, FILTERED, FAULTY = 5, 7, 11, 300


def mixed(rng, index):
    """Rows of every kind: to be cut, to be left out, with unknown characters, and ordinary."""
    answer = rng.choice(["yes", "no"]) if index % LONG else "abcdefgh" * 3
    question = "is it " * rng.randint(1, 60 if index % 3 else 8)
    return {"question": question + ("é" if index % UNKNOWN == 0 else ""), "answer": answer}


def faulty(rng, index):
    """A row with half a character, which no tokeniser takes."""
    return mixed(rng, index) | ({"question": "half \ud83d"} if index == FAULTY else {})


def breaking(rng, index):
    """A source that breaks in its fourth batch of 128."""
    if index == 400:
        raise RuntimeError("the disk of this data set is broken")
    return mixed(rng, index)


def slow(rng, index):
    """A source that becomes slow in its sixth batch."""
    if index > 660:
        time.sleep(0.5)
    return mixed(rng, index)


@task(
    "workers_mixed",
    cluster="qa",
    source=generated(mixed, {"train": 700}),
    templates=TEMPLATES,
    example=EXAMPLE,
)
def free_answers(row):
    return None if len(row["question"]) % FILTERED == 0 else dict(row)


@pytest.fixture(scope="module", autouse=True)
def registered(small_vocabulary):
    """Tasks of several batches."""
    declarations = [free_answers]
    for rows, size in ((faulty, 500), (breaking, 500), (slow, 662)):
        source = generated(rows, {"train": size})
        made = task(
            f"workers_{rows.__name__}",
            cluster="qa",
            source=source,
            templates=TEMPLATES,
            example=EXAMPLE,
        )
        declarations.append(made(dict))
    register_collection("workers", declarations, vocabulary=small_vocabulary)


def files_of(folder):
    return {file.name: file.read_bytes() for file in Path(folder).iterdir()}


@pytest.mark.parametrize("form", ["zero_shot", "few_shot:generate"])
def test_workers_change_no_byte(tmp_path, small_vocabulary, form):
    made = {}
    for workers in (0, 1, 3):
        path = cache.build(
            f"workers_mixed:{form}",
            "train",
            small_vocabulary,
            CONFIG,
            str(tmp_path / str(workers)),
            workers=workers,
        )
        made[workers] = files_of(path)
    assert made[0] == made[1] == made[3]
    manifest = made[0]["manifest.json"].decode()
    for kind in ("filtered", "targets longer than 16", "inputs longer than 64", "unknown tokens"):
        assert kind in manifest


def test_rows_have_the_tokens_of_their_texts(small_vocabulary):
    """The columns of a batch against one text at a time, in plain Python."""
    tokeniser = Tokeniser(small_vocabulary, CONFIG, evaluation=True, locate=str)
    texts = ("", "yes", "is it " * 40, "abcdefgh" * 3, "the question", "é")
    groups = [
        [
            Rendered(index, template, prompt, targets, list(options), 0, [targets])
            for template, options in enumerate(((), ("no", "yes"), ("yes", "abcdefgh" * 3)))
        ]
        for index, (prompt, targets) in enumerate((a, b) for a in texts for b in texts)
    ]
    rows = tokeniser.rows(groups)
    encode = small_vocabulary.encode
    expected = []
    for one in (one for group in groups for one in group):
        targets, options = encode(one.targets), [encode(text) + [1] for text in one.options]
        if 0 < len(targets) < 16 and max(map(len, options), default=0) <= 16:
            row = {"inputs": encode(one.inputs)[:63] + [1], "targets": targets + [1]}
            row |= {"example": one.example, "template": one.template, "prompt": one.inputs}
            row |= {"option_tokens": options, "options": one.options}
            expected.append(row | {"answer": 0, "references": one.references})
    assert rows == expected
    counted = tokeniser.statistics
    assert counted.tokens == {
        side: sum(len(row[side]) for row in rows) for side in ("inputs", "targets")
    }
    assert counted.max_token_id == max(max(row["inputs"] + row["targets"]) for row in rows)
    unknown = small_vocabulary.unk_id
    assert counted.unknown_tokens == sum(
        (row["inputs"] + row["targets"]).count(unknown) for row in rows
    )
    dropped = sum(counted.dropped_renderings.counts.values())
    assert len(rows) + dropped == 3 * len(groups)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_fault_names_the_row(tmp_path, small_vocabulary, workers):
    message = rf"{FAULTY}\D.*template 0: a text cannot be tokenised \(it has half of a surrogate"
    with pytest.raises(ValueError, match=message):
        cache.build(
            "workers_faulty:zero_shot",
            "train",
            small_vocabulary,
            CONFIG,
            str(tmp_path),
            workers=workers,
        )
    assert not list(tmp_path.glob("*/manifest.json")) and not list(tmp_path.glob(".*.part"))


def test_a_source_that_breaks_ends_the_workers(tmp_path, small_vocabulary):
    with pytest.raises(RuntimeError, match="the disk of this data set is broken"):
        cache.build(
            "workers_breaking:zero_shot",
            "train",
            small_vocabulary,
            CONFIG,
            str(tmp_path),
            workers=2,
        )
    assert not list(tmp_path.glob("*/manifest.json")) and not list(tmp_path.glob(".*.part"))


@pytest.fixture
def maker(small_vocabulary):
    """What makes the rows of a task."""
    return RowMaker(small_vocabulary, Renderer.of(free_answers, Form(), seed=0), CONFIG)


BATCH = Batch([Checked(3, Example({"question": "is it"}, (), -1, ("yes",)))], [])


def test_a_worker_that_ends_is_an_error(maker):
    with Workers(maker, 1) as workers:
        ((batch, made),) = workers.map([BATCH])
        assert batch is BATCH and made.columns.rows == maker.make(BATCH.examples).columns.rows
        workers._all[0]._process.kill()
        with pytest.raises(RuntimeError, match="has ended .exit code -9"):
            list(workers.map([BATCH]))


def test_workers_end_with_a_killed_build(tmp_path, small_vocabulary):
    build = functools.partial(
        cache.build,
        "workers_slow:zero_shot",
        "train",
        small_vocabulary,
        CONFIG,
        str(tmp_path),
        workers=1,
    )
    process = multiprocessing.get_context("fork").Process(target=build)
    process.start()
    deadline = time.monotonic() + 20
    while not list(tmp_path.glob(".*.part/data-*")) and time.monotonic() < deadline:
        time.sleep(0.002)
    tasks = Path(f"/proc/{process.pid}/task")
    children = [pid for one in tasks.iterdir() for pid in (one / "children").read_text().split()]
    process.kill()
    process.join()
    assert list(tmp_path.glob(".*.part/data-*")), "killed in the middle"
    assert not list(tmp_path.glob("*/manifest.json"))
    assert len(children) == 1
    while any(map(_runs, children)) and time.monotonic() < deadline + 10:
        time.sleep(0.01)
    assert not any(map(_runs, children))
    assert len(rows_of(build())) > 662 and not list(tmp_path.glob(".*.part"))


def _runs(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_workers_load_no_tensorflow(maker):
    with Workers(maker, 1) as workers:
        list(workers.map([BATCH]))
        maps = Path(f"/proc/{workers._all[0]._process.pid}/maps").read_text()
    assert "libarrow" in maps
    assert "tensorflow" not in maps and "pandas" not in maps and "jaxlib" not in maps
