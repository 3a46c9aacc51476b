"""One Arrow file with a checksum for each record batch: writing, and memory-mapped reading."""

import io
import zlib
from collections.abc import Sequence
from pathlib import PurePath

import numpy as np
import pyarrow as pa
from jaxtyping import Int, Shaped

REMEDY = "delete the folder and build this cache again"


class CacheError(ValueError):
    """A cache that is missing, incomplete, damaged or of another kind than asked for."""


class _ChecksummedFile(io.RawIOBase):
    """A file that sums up what is written to it."""

    def __init__(self, path):
        super().__init__()
        self._file = open(path, "wb")
        self.position = self.crc32 = self.part_crc32 = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def write(self, data) -> int:
        view = memoryview(data)
        self._file.write(view)
        self.position += view.nbytes
        self.crc32 = zlib.crc32(view, self.crc32)
        self.part_crc32 = zlib.crc32(view, self.part_crc32)
        return view.nbytes

    def close(self) -> None:
        self._file.close()
        super().close()


class ArrowWriter:
    """Writes one Arrow file in record batches of equal size, and notes their checksums."""

    def __init__(self, path: str, columns: pa.Schema, rows_per_batch: int):
        """Opens the file.

        Args:
          path: local file to write.
          columns: names and types.
          rows_per_batch: rows of each record batch but the last.
        """
        self._name = PurePath(path).name
        self._schema = columns
        self._rows_per_batch = rows_per_batch
        self._pending: list[pa.RecordBatch] = []
        self._num_pending = 0
        self._loose: list[dict] = []  # rows that come after the pending ones
        self._batches: list[dict] = []
        self._frame_crc32 = 0  # of the bytes before the first batch and after the last
        self._file = _ChecksummedFile(path)
        self._writer = pa.ipc.new_file(self._file, columns)
        self.rows = 0

    def add(self, row: dict) -> None:
        """Adds one row: a value for each column."""
        self._loose.append(row)
        self.rows += 1
        if self._num_pending + len(self._loose) == self._rows_per_batch:
            self._flush()

    def extend(self, rows: pa.RecordBatch) -> None:
        """Adds many rows, with the columns of the file."""
        self._gather()
        self.rows += len(rows)
        while len(rows):
            taken = rows.slice(0, self._rows_per_batch - self._num_pending)
            rows = rows.slice(len(taken))
            self._pending.append(taken)
            self._num_pending += len(taken)
            if self._num_pending == self._rows_per_batch:
                self._flush()

    def _gather(self) -> None:
        if self._loose:
            self._pending.append(pa.RecordBatch.from_pylist(self._loose, schema=self._schema))
            self._num_pending += len(self._loose)
            self._loose = []

    def _flush(self) -> None:
        if not self._batches:
            self._frame_crc32 = self._file.part_crc32
        start, self._file.part_crc32 = self._file.position, 0
        self._gather()
        empty = pa.RecordBatch.from_pylist([], schema=self._schema)
        self._writer.write_batch(pa.concat_batches(self._pending or [empty]))
        entry = {"offset": start, "size": self._file.position - start}
        self._batches.append(entry | {"rows": self._num_pending, "crc32": self._file.part_crc32})
        self._pending, self._num_pending = [], 0

    def close(self) -> dict:
        """Completes the file and returns its entry in the manifest."""
        if self._num_pending or self._loose or not self._batches:
            self._flush()
        self._file.part_crc32 = self._frame_crc32
        self._writer.close()
        self._file.close()
        return {
            "name": self._name,
            "size": self._file.position,
            "crc32": self._file.crc32,
            "frame_crc32": self._file.part_crc32,
            "rows_per_batch": self._rows_per_batch,
            "batches": self._batches,
        }

    def abort(self) -> None:
        """Lets go of the file without completing it."""
        self._file.close()


class ArrowFile:
    """A memory-mapped Arrow file whose record batches are checked when first touched.

    Its buffers are found once for each record batch; from then on rows are read by index arithmetic
    on the mapped file, without Arrow.
    """

    def __init__(self, path: str, entry: dict):
        """Maps the file and checks all but its record batches.

        Args:
          path: local file.
          entry: its entry in the manifest, from `ArrowWriter.close`.

        Raises:
          CacheError: it is missing, has another size, or its header or footer is damaged.
        """
        self._path, self._entry = path, entry
        self._buffer = _map(path)
        self._bytes = memoryview(self._buffer)
        if len(self._bytes) != entry["size"]:
            raise CacheError(
                f"{path} has {len(self._bytes)} bytes, its manifest says {entry['size']}; {REMEDY}"
            )
        self._batches = entry["batches"]
        last = self._batches[-1]
        header = self._bytes[: self._batches[0]["offset"]]
        footer = self._bytes[last["offset"] + last["size"] :]
        self._compare(zlib.crc32(footer, zlib.crc32(header)), entry["frame_crc32"], "its frame")
        self._reader = pa.ipc.open_file(self._buffer)
        self.schema = self._reader.schema
        self.num_batches = len(self._batches)
        self._touched = np.zeros(self.num_batches, bool)
        self._views: dict[str, np.ndarray] = {}
        # Where each column's values (and list offsets) of each batch begin, in items of its view.
        self._value_bases = {
            name: np.zeros(self.num_batches, np.int64) for name in self.schema.names
        }
        self._offset_bases = {
            name: np.zeros(self.num_batches, np.int64) for name in self.schema.names
        }

    def touch(self, batches: Int[np.ndarray, " n"]) -> None:
        """Checks the given record batches unless they were before.

        Raises:
          CacheError: one does not have the checksum in the manifest.
        """
        new = batches[~self._touched[batches]]
        if not len(new):
            return
        for number in np.unique(new).tolist():
            entry = self._batches[number]
            content = self._bytes[entry["offset"] : entry["offset"] + entry["size"]]
            self._compare(zlib.crc32(content), entry["crc32"], f"record batch {number}")
            batch = self._reader.get_batch(number)
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                self._locate(number, name, column)
            self._touched[number] = True

    def _compare(self, actual: int, expected: int, part: str) -> None:
        if actual != expected:
            raise CacheError(
                f"{self._path} is damaged: {part} has checksum {actual:08x}, its manifest says "
                f"{expected:08x}; {REMEDY}"
            )

    def _locate(self, number: int, name: str, column: pa.Array) -> None:
        if pa.types.is_list(column.type):
            self._offset_bases[name][number] = self._item(column.buffers()[1], 4)
            column = column.values
        if pa.types.is_primitive(column.type) and len(column):
            width = column.type.bit_width // 8
            self._value_bases[name][number] = self._item(column.buffers()[1], width)

    def _item(self, buffer: pa.Buffer, width: int) -> int:
        position, rest = divmod(buffer.address - self._buffer.address, width)
        assert not rest, "Arrow aligns buffers to 8 bytes"
        return position

    def flat(self, column: str) -> Shaped[np.ndarray, " items"]:
        """Returns the file as an array of the column's items, for positions from `spans`."""
        if column not in self._views:
            kind = self.schema.field(column).type
            kind = kind.value_type if pa.types.is_list(kind) else kind
            dtype = np.dtype(np.float32 if pa.types.is_float32(kind) else str(kind))
            self._views[column] = self._view(dtype)
        return self._views[column]

    def _view(self, dtype: np.dtype) -> np.ndarray:
        return np.frombuffer(self._buffer, dtype, count=len(self._bytes) // dtype.itemsize)

    def spans(
        self, column: str, rows: Int[np.ndarray, " n"]
    ) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
        """Returns where in `flat` the list of each row begins, and its length."""
        batch, row = np.divmod(rows, self._entry["rows_per_batch"])
        self.touch(batch)
        if "offsets" not in self._views:
            self._views["offsets"] = self._view(np.dtype(np.int32))
        offsets = self._views["offsets"]
        at = self._offset_bases[column][batch] + row
        start = offsets[at].astype(np.int64)
        return self._value_bases[column][batch] + start, offsets[at + 1] - start

    def values(self, column: str, rows: Int[np.ndarray, " n"]) -> Shaped[np.ndarray, " n"]:
        """Returns the numbers of the given rows."""
        batch, row = np.divmod(rows, self._entry["rows_per_batch"])
        self.touch(batch)
        return self.flat(column)[self._value_bases[column][batch] + row]

    def table(self, columns: Sequence[str] | None) -> pa.Table:
        """Returns the given columns, or all, as an Arrow table; all batches are checked."""
        self.touch(np.arange(self.num_batches))
        table = self._reader.read_all()
        return table if columns is None else table.select(list(columns))


def _map(path: str) -> pa.Buffer:
    try:
        # The mapping outlives the file handle, so thousands of caches do not exhaust handles.
        with pa.memory_map(path) as file:
            return file.read_buffer()
    except FileNotFoundError as error:
        raise CacheError(f"{path} is missing, though its manifest names it; {REMEDY}") from error
