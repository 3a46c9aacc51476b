"""The cache on disk: round trips, checksums, and what happens to damaged ones."""

import itertools
import json
import os
import zlib

import numpy as np
import pyarrow as pa
import pytest
from make_cache import random_examples, write_cache

from flan_jax import storage
from flan_jax.data import arrow_file, store
from flan_jax.data.store import CacheError
from flan_jax.storage import StorageError


@pytest.fixture
def examples():
    return [
        renderings[: 1 + number % 3]
        for number, renderings in enumerate(random_examples(0, 100, renderings=3))
    ]


@pytest.fixture
def folder(tmp_path, examples):
    write_cache(tmp_path / "cache", examples, rows_per_batch=16, rows_per_shard=70)
    return tmp_path / "cache"


def test_rows_come_back(folder, examples):
    cache = store.open_cache(folder)
    expected = [row for renderings in examples for row in renderings]
    assert (cache.num_rows, cache.num_examples) == (len(expected), 100)
    rows = list(cache.rows())
    assert [row["inputs"] for row in rows] == [row["inputs"] for row in expected]
    assert [row["targets"] for row in rows] == [row["targets"] for row in expected]
    assert rows[3]["example"] == 2 and rows[3]["template"] == 0


def test_any_rows_can_be_gathered(folder, examples):
    cache = store.open_cache(folder)
    expected = [row["targets"] for renderings in examples for row in renderings]
    rows = np.random.default_rng(0).permutation(cache.num_rows)[:50]
    values = cache.gather("targets", rows)
    assert values.flat.dtype == np.uint16
    parts = np.split(values.flat, np.cumsum(values.lengths)[:-1])
    assert [part.tolist() for part in parts] == [expected[row] for row in rows]
    assert cache.lengths("targets", rows).tolist() == [len(expected[row]) for row in rows]


def test_an_example_knows_its_rows(folder, examples):
    cache = store.open_cache(folder)
    numbers = np.array([99, 0, 41, 40])
    first, count = cache.row_ranges(numbers)
    assert count.tolist() == [len(examples[number]) for number in numbers]
    example = cache.table(["example"])["example"].to_numpy()
    assert example[first].tolist() == numbers.tolist()


def test_whole_columns_are_ragged_arrays(folder, examples):
    flat, offsets = store.open_cache(folder).ragged("inputs")
    expected = [row["inputs"] for renderings in examples for row in renderings]
    assert [part.tolist() for part in np.split(flat, offsets[1:-1])] == expected


def test_wide_vocabularies_get_wide_tokens(tmp_path):
    vocabulary = {"digest": "d", "size": 2**16 + 1, "sentinels": 0, "path": None}
    row = {"inputs": [65_536, 1], "targets": [1]}
    write_cache(tmp_path / "wide", [[row]], vocabulary=vocabulary)
    values = store.open_cache(tmp_path / "wide").gather("inputs", np.array([0]))
    assert values.flat.dtype == np.int32 and values.flat.tolist() == [65_536, 1]


def test_evaluation_columns(tmp_path):
    row = {
        "inputs": [5, 1],
        "targets": [6, 1],
        "example": 0,
        "template": 2,
        "prompt": "Does it?",
        "option_tokens": [[6, 1], [7, 8, 1]],
        "options": ["yes", "no"],
        "answer": 0,
        "references": ["yes"],
    }
    writer = store.CacheWriter(str(tmp_path), store.schema(100, evaluation=True))
    writer.add([row])
    store.write_manifest(str(tmp_path), writer.close(), {})
    assert list(store.open_cache(tmp_path).rows()) == [row]


def test_files_open_in_any_arrow_tool(folder):
    with pa.memory_map(str(folder / "data-00000.arrow")) as file:
        table = pa.ipc.open_file(file).read_all()
    assert table.column_names == ["inputs", "targets", "example", "template"]
    assert json.loads((folder / "manifest.json").read_text())["rows"] > table.num_rows


def flip(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 0x10
    path.write_bytes(content)


@pytest.mark.parametrize("number", [0, 2])
def test_a_flipped_byte_is_found_when_its_batch_is_touched(folder, number):
    path = folder / "data-00000.arrow"
    entry = store.read_manifest(folder)["shards"][0]["data"]["batches"][number]
    flip(path, entry["offset"] + entry["size"] // 2)
    cache = store.open_cache(folder)
    cache.gather("inputs", np.arange(16, 32))  # batch 1 is sound
    damaged = zlib.crc32(path.read_bytes()[entry["offset"] : entry["offset"] + entry["size"]])
    message = (
        f"data-00000.arrow is damaged: record batch {number} has checksum {damaged:08x}, its "
        f"manifest says {entry['crc32']:08x}; delete the folder and build"
    )
    with pytest.raises(CacheError, match=message):
        cache.gather("inputs", np.array([number * 16]))
    with pytest.raises(CacheError, match=message):
        cache.table()
    with pytest.raises(CacheError, match=message):
        cache.verify()


def test_all_of_a_file_is_covered(tmp_path):
    """Wherever a byte is flipped, in whichever file, it is found."""
    write_cache(tmp_path / "small", random_examples(0, 3), rows_per_batch=2)
    for path in sorted((tmp_path / "small").glob("*.arrow")):
        sound = path.read_bytes()
        for position in range(0, len(sound), 13):
            flip(path, position)
            with pytest.raises(CacheError, match="is damaged"):
                store.open_cache(tmp_path / "small").verify()
            path.write_bytes(sound)
    store.open_cache(tmp_path / "small").verify()


def test_a_damaged_manifest_is_refused(folder):
    path = folder / "manifest.json"
    sound = path.read_text()
    path.write_text(sound.replace('"rows_per_batch": 16', '"rows_per_batch": 32'))
    with pytest.raises(CacheError, match="manifest.json is damaged: its checksum is"):
        store.open_cache(folder)
    path.write_text(sound[: len(sound) // 2])
    with pytest.raises(CacheError, match="is no valid JSON object"):
        store.open_cache(folder)
    path.write_text(sound.replace('"format_version": 1', '"format_version": 9'))
    with pytest.raises(CacheError, match="format version 9, this program reads 1"):
        store.open_cache(folder)


def test_incomplete_caches_are_refused(folder):
    os.truncate(folder / "data-00001.arrow", 100)
    with pytest.raises(CacheError, match="data-00001.arrow has 100 bytes, its manifest says"):
        store.open_cache(folder)
    (folder / "data-00001.arrow").unlink()
    with pytest.raises(CacheError, match="data-00001.arrow is missing"):
        store.open_cache(folder)
    (folder / "manifest.json").unlink()
    with pytest.raises(CacheError, match="is no complete cache .* build it first"):
        store.open_cache(folder)


def test_empty_caches_say_why(tmp_path):
    writer = store.CacheWriter(str(tmp_path), store.schema(100))
    store.write_manifest(str(tmp_path), writer.close(), {"dropped": {"empty answer": 7}})
    with pytest.raises(CacheError, match=r"is empty: .*'empty answer': 7"):
        store.open_cache(tmp_path)


def test_open_caches_hold_no_file_handles(folder):
    before = len(os.listdir("/proc/self/fd"))
    caches = [store.open_cache(folder) for _ in range(20)]
    for cache in caches:
        cache.verify()
    assert len(os.listdir("/proc/self/fd")) <= before + 1


def test_a_full_disk_is_explained(tmp_path):
    """/dev/full takes no bytes, as a full disk does."""
    with pytest.raises(StorageError, match="the disk is full while writing .*full.*Free some"):
        with storage.disk_full_explained("/dev/full"):
            writer = arrow_file.ArrowWriter("/dev/full", store.schema(100), 4)
            for row in range(100_000):
                writer.add({"inputs": [5] * 50, "targets": [1], "example": row, "template": 0})


@pytest.mark.parametrize("rows_per_shard", [None, 7, 12])
def test_columns_and_rows_give_the_same_files(tmp_path, rows_per_shard):
    """However the rows are given to the writer, the files have the same bytes."""
    columns = store.schema(100, evaluation=True)
    examples = [
        [
            {
                "inputs": list(range(number % 5)),
                "targets": [template, 1],
                "example": number,
                "template": template,
                "prompt": "é" * number,
                "option_tokens": [[1]] * template,
                "options": ["a"] * template,
                "answer": -1,
                "references": ["yes"],
            }
            for template in range(1 + number % 3)
        ]
        for number in range(20)
    ]
    made = []
    for parts in (None, [20], [1, 3, 9, 7]):
        folder = tmp_path / f"{parts}"
        folder.mkdir()
        writer = store.CacheWriter(
            str(folder), columns, rows_per_batch=4, rows_per_shard=rows_per_shard
        )
        remaining = iter(examples)
        for size in parts or [1] * 20:
            some = list(itertools.islice(remaining, size))
            if parts is None:
                writer.add(some[0])
                continue
            rows = pa.RecordBatch.from_pylist([row for one in some for row in one], columns)
            writer.extend(rows, np.array([len(one) for one in some]))
        made.append((writer.close(), {f.name: f.read_bytes() for f in folder.iterdir()}))
    assert made[0] == made[1] == made[2]
    assert len(made[0][0]) == {None: 1, 7: 5, 12: 4}[rows_per_shard]
