"""The cache on disk: token ids as Arrow files with checksums, and a manifest.

A cache is a folder:

    manifest.json         what it holds, how it was made, and the checksums; written last
    data-00000.arrow      a row a rendering: inputs, targets, example, template, ...
    index-00000.arrow     a row an example: the number of its first row in the data file
    data-00001.arrow ...

The files are ordinary Arrow IPC files that any table tool opens. All record batches of a file but
the last have the same number of rows, so a row is found by division, and the values of any rows are
gathered from the memory-mapped file with a few array operations. A record batch is checked against
its checksum when one of its rows is first touched.
"""

import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Int, Shaped

from flan_jax import storage
from flan_jax.batch import Boundaries
from flan_jax.data.arrow_file import REMEDY, ArrowFile, ArrowWriter, CacheError
from flan_jax.data.ragged import Ragged, concatenate, indices, take

FORMAT_VERSION = 1
_INDEX = pa.schema([pa.field("first_row", pa.int64())])


def token_type(vocabulary_size: int) -> pa.DataType:
    """Returns the Arrow type of token ids: 16 bits where they suffice."""
    return pa.uint16() if vocabulary_size <= 2**16 else pa.int32()


def schema(
    vocabulary_size: int,
    *,
    weights: bool = False,
    evaluation: bool = False,
    content_free: bool = False,
) -> pa.Schema:
    """Returns the columns of a cache.

    Args:
      vocabulary_size: number of token ids.
      weights: with a loss weight for each token of the targets.
      evaluation: with what scoring needs.
      content_free: with what calibrated scores need beside.
    """
    tokens = pa.list_(token_type(vocabulary_size))
    fields = [
        pa.field("inputs", tokens),
        pa.field("targets", tokens),
        pa.field("example", pa.int64()),
        pa.field("template", pa.int16()),
    ]
    if weights:
        fields.append(pa.field("weights", pa.list_(pa.float32())))
    if evaluation:
        fields += [
            pa.field("prompt", pa.string()),
            pa.field("option_tokens", pa.list_(tokens)),
            pa.field("options", pa.list_(pa.string())),
            pa.field("answer", pa.int32()),
            pa.field("references", pa.list_(pa.string())),
        ]
    if content_free:
        fields += [
            pa.field("content_free_inputs", pa.list_(tokens)),
            pa.field("content_free_prompts", pa.list_(pa.string())),
        ]
    return pa.schema(fields)


class CacheWriter:
    """Writes the shards of a cache, example by example; see `write_manifest` for the last step."""

    def __init__(
        self,
        folder: str,
        columns: pa.Schema,
        *,
        rows_per_batch: int = 1024,
        rows_per_shard: int | None = 1_000_000,
        first_shard: int = 0,
    ):
        """Starts a cache in an existing local folder.

        Args:
          folder: folder to write to.
          columns: names and types, from `schema`.
          rows_per_batch: rows of a record batch, the unit of checking.
          rows_per_shard: rows after which a new pair of files is begun; None for never.
          first_shard: number of the first pair of files.
        """
        self._folder, self._schema = folder, columns
        self._rows_per_batch, self._rows_per_shard = rows_per_batch, rows_per_shard
        self._shards: list[dict] = []
        self._number = first_shard
        self._data: ArrowWriter | None = None
        self._index: ArrowWriter | None = None

    def add(self, rows: Sequence[dict]) -> None:
        """Adds one example with its renderings, one row each, at least one."""
        self._open_shard()
        self._index.add({"first_row": self._data.rows})
        for row in rows:
            self._data.add(row)
        self._close_full_shard()

    def extend(self, rows: pa.RecordBatch, counts: Int[np.ndarray, " n"]) -> None:
        """Adds many examples, in the files' columns; `counts` says how many rows each has."""
        stops = np.cumsum(counts)
        while len(stops):
            self._open_shard()
            taken = len(stops)
            if self._rows_per_shard:  # up to and with the example that fills the shard
                room = self._rows_per_shard - self._data.rows
                taken = min(int(np.searchsorted(stops, room)) + 1, taken)
            first = self._data.rows + stops[:taken] - counts[:taken]
            self._index.extend(pa.record_batch([pa.array(first)], _INDEX))
            stop = int(stops[taken - 1])
            self._data.extend(rows.slice(0, stop))
            rows, counts, stops = rows.slice(stop), counts[taken:], stops[taken:] - stop
            self._close_full_shard()

    def _open_shard(self) -> None:
        if self._data is None:
            name = f"{self._number:05d}.arrow"
            self._data = ArrowWriter(
                f"{self._folder}/data-{name}", self._schema, self._rows_per_batch
            )
            self._index = ArrowWriter(f"{self._folder}/index-{name}", _INDEX, 2**16)

    def _close_full_shard(self) -> None:
        if self._rows_per_shard and self._data.rows >= self._rows_per_shard:
            self._close_shard()

    def _close_shard(self) -> None:
        examples = self._index.rows
        self._index.add({"first_row": self._data.rows})
        self._shards.append(
            {
                "rows": self._data.rows,
                "examples": examples,
                "data": self._data.close(),
                "index": self._index.close(),
            }
        )
        self._number += 1
        self._data = self._index = None

    def close(self) -> list[dict]:
        """Completes the files and returns their entries for `write_manifest`."""
        if self._data is not None:
            self._close_shard()
        return self._shards

    def abort(self) -> None:
        """Lets go of open files without completing them."""
        for writer in (self._data, self._index):
            if writer is not None:
                writer.abort()


def write_manifest(folder: str, shards: list[dict], facts: dict) -> dict:
    """Writes the manifest, which makes the folder a complete cache.

    Args:
      folder: local folder of the files.
      shards: what `CacheWriter.close` returned, in order.
      facts: what else to record; see `flan_jax.data.cache`.

    Returns:
      The manifest.
    """
    files = [
        {key: shard[kind][key] for key in ("name", "size", "crc32")}
        for shard in shards
        for kind in ("data", "index")
    ]
    manifest = {
        "format_version": FORMAT_VERSION,
        **facts,
        "rows": sum(shard["rows"] for shard in shards),
        "examples": sum(shard["examples"] for shard in shards),
        "files": files,
        "shards": shards,
    }
    manifest["crc32"] = _manifest_crc32(manifest)
    text = json.dumps(manifest, indent=1, ensure_ascii=False)
    storage.write_atomically(f"{folder}/{storage.MANIFEST}", text.encode())
    return manifest


def _manifest_crc32(manifest: dict) -> int:
    content = {key: value for key, value in manifest.items() if key != "crc32"}
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())


def read_manifest(folder: str) -> dict:
    """Reads and checks the manifest of a cache.

    Args:
      folder: the cache, local or remote.

    Returns:
      The manifest.

    Raises:
      CacheError: there is none, it is damaged, or of another format.
    """
    path = storage.path(folder) / storage.MANIFEST
    if not path.exists():
        raise CacheError(
            f"{folder} is no complete cache (it has no {storage.MANIFEST}); build it first"
        )
    try:
        manifest = json.loads(path.read_text())
        found = manifest.get("format_version")
    except (ValueError, AttributeError) as error:
        raise CacheError(f"{path} is no valid JSON object ({error}); {REMEDY}") from error
    if found != FORMAT_VERSION:
        raise CacheError(
            f"{path} has format version {found!r}, this program reads {FORMAT_VERSION}; {REMEDY}"
        )
    expected, actual = manifest.get("crc32"), _manifest_crc32(manifest)
    if expected != actual:
        raise CacheError(
            f"{path} is damaged: its checksum is {actual:08x}, it says {expected!r}; {REMEDY}"
        )
    return manifest


@dataclass(frozen=True)
class Cache:
    """A complete cache, memory-mapped; made by `open_cache`.

    Attributes:
      path: its folder.
      manifest: what the manifest says.
      num_rows: number of rows (renderings).
      num_examples: number of source examples.
      columns: names of the columns.
    """

    path: str
    manifest: dict
    num_rows: int
    num_examples: int
    columns: tuple[str, ...]
    _data: tuple[ArrowFile, ...]
    _index: tuple[ArrowFile, ...]
    _first_rows: Int[np.ndarray, " shards"]
    _first_examples: Int[np.ndarray, " shards"]

    @property
    def boundaries(self) -> Boundaries:
        """What sequences begin and end with; T5's tokens where the manifest does not say."""
        said = self.manifest["vocabulary"]
        return Boundaries(**{name: said[name] for name in Boundaries._fields if name in said})

    def row_ranges(
        self, examples: Int[np.ndarray, " n"]
    ) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
        """Returns the first row and the number of rows (renderings) of each example."""
        first, stop = np.empty(len(examples), np.int64), np.empty(len(examples), np.int64)
        for shard, where in _by_shard(self._first_examples, examples):
            local = examples[where] - self._first_examples[shard]
            first[where] = self._index[shard].values("first_row", local) + self._first_rows[shard]
            stop[where] = self._index[shard].values("first_row", local + 1)
            stop[where] += self._first_rows[shard]
        return first, stop - first

    def lengths(self, column: str, rows: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        """Returns the lengths of a list column's values in the given rows."""
        result = np.empty(len(rows), np.int64)
        for shard, where in _by_shard(self._first_rows, rows):
            local = rows[where] - self._first_rows[shard]
            result[where] = self._data[shard].spans(column, local)[1]
        return result

    def gather(self, column: str, rows: Int[np.ndarray, " n"]) -> Ragged:
        """Returns a copy of a list column's values in the given rows, in their order."""
        parts, places = [], []
        for shard, where in _by_shard(self._first_rows, rows):
            local = rows[where] - self._first_rows[shard]
            starts, lengths = self._data[shard].spans(column, local)
            flat = self._data[shard].flat(column)
            parts.append(Ragged(flat[indices(starts, lengths)], lengths))
            places.append(where)
        return parts[0] if len(parts) == 1 else _in_places(parts, places, len(rows))

    def ragged(self, column: str) -> tuple[Shaped[np.ndarray, " t"], Int[np.ndarray, " n"]]:
        """Returns a whole list column as (flat values, offsets of length `num_rows + 1`)."""
        values = self.gather(column, np.arange(self.num_rows))
        return values.flat, np.concatenate([[0], np.cumsum(values.lengths)])

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Returns the rows as an Arrow table over the mapped files, all checked."""
        return pa.concat_tables([file.table(columns) for file in self._data])

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yields each row as a dict of Python values."""
        for batch in self.table().to_batches():
            yield from batch.to_pylist()

    def verify(self) -> None:
        """Checks every record batch now, rather than when first touched.

        Raises:
          CacheError: one is damaged.
        """
        for file in (*self._data, *self._index):
            file.touch(np.arange(file.num_batches))


def open_cache(folder: str) -> Cache:
    """Opens a complete cache on the local disk.

    Args:
      folder: the cache; see `storage.stage` for remote ones.

    Returns:
      The cache, its files mapped but not yet read.

    Raises:
      CacheError: it is missing, incomplete, damaged or of another format.
    """
    manifest = read_manifest(folder)
    shards = manifest["shards"]
    if not manifest["rows"]:
        raise CacheError(
            f"{folder} is empty: all examples were dropped, or the split has none. Its manifest "
            f"counts the reasons: {manifest.get('dropped')}"
        )
    data = tuple(ArrowFile(f"{folder}/{s['data']['name']}", s["data"]) for s in shards)
    return Cache(
        path=str(folder),
        manifest=manifest,
        num_rows=manifest["rows"],
        num_examples=manifest["examples"],
        columns=tuple(data[0].schema.names),
        _data=data,
        _index=tuple(ArrowFile(f"{folder}/{s['index']['name']}", s["index"]) for s in shards),
        _first_rows=np.cumsum([0] + [shard["rows"] for shard in shards[:-1]]),
        _first_examples=np.cumsum([0] + [shard["examples"] for shard in shards[:-1]]),
    )


def _by_shard(first: Int[np.ndarray, " shards"], numbers: Int[np.ndarray, " n"]):
    """Yields each shard that holds some of the numbers, and where in `numbers` those are."""
    if len(first) == 1:
        yield 0, slice(None)
        return
    shard = np.searchsorted(first, numbers, side="right") - 1
    for present in np.unique(shard):
        yield int(present), np.flatnonzero(shard == present)


def _in_places(parts: list[Ragged], places: list[np.ndarray], count: int) -> Ragged:
    joined = concatenate(parts)
    order = np.empty(count, np.int64)
    order[np.concatenate(places)] = np.arange(count)
    return take(joined, order)
