"""The tensors of a folder of safetensors files, read slice by slice.

A folder holds `model.safetensors`, or several files and `model.safetensors.index.json`, which says
what tensor is in what file. The files are mapped into memory; only what is asked for is read.
"""

import json
import math
import re
import struct
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401 (numpy has bfloat16 from it, which safetensors returns)
import numpy as np
from safetensors import SafetensorError, safe_open

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_FLOATS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
_NAMES = {"float32": "F32", "bfloat16": "BF16"}


class TensorFolderError(ValueError):
    """A folder whose tensors cannot be read, or are not those that are expected."""


class TensorFolder:
    """The tensors of a folder, by name.

    Attributes:
      path: the folder.
      shapes: shape of every tensor.
    """

    def __init__(self, path: str | Path, rename: Callable[[str], str | None] = str):
        """Opens the files and reads their headers.

        Args:
          path: local folder.
          rename: function from a tensor's name in the file to that in this object; None leaves it
            out.

        Raises:
          TensorFolderError: a file is missing or damaged; a tensor is not where the index says; it
            is named.
        """
        self.path = Path(path)
        self._files = {file: _open(self.path / file) for file in self._find()}
        self._file_of = {}
        for file, opened in self._files.items():
            for name in opened.keys():
                if name in self._file_of:
                    raise TensorFolderError(
                        f"{self.path}: tensor {name} is in both {self._file_of[name]} and {file}"
                    )
                self._file_of[name] = file
        self._check_index()
        self._slices = {
            name: self._files[file].get_slice(stored)
            for stored, file in self._file_of.items()
            if (name := rename(stored)) is not None
        }
        self.shapes = {name: tuple(one.get_shape()) for name, one in self._slices.items()}

    def _find(self) -> list[str]:
        if (self.path / SINGLE).exists():
            return [SINGLE]
        if (self.path / INDEX).exists():
            files = sorted({*self._index().values()})
            missing = [file for file in files if not (self.path / file).exists()]
            if missing:
                raise TensorFolderError(
                    f"{self.path} lacks {', '.join(missing)}, which {INDEX} names; get the rest "
                    "of the checkpoint"
                )
            return files
        raise TensorFolderError(
            f"{self.path} has neither {SINGLE} nor {INDEX}; `scripts/convert.py unpickle` makes "
            "them from .bin files"
        )

    def _index(self) -> Mapping[str, str]:
        try:
            return json.loads((self.path / INDEX).read_text())["weight_map"]
        except (ValueError, KeyError) as error:
            raise TensorFolderError(f"{self.path / INDEX} is damaged: {error!r}") from error

    def _check_index(self) -> None:
        if SINGLE in self._files:
            return
        for name, file in self._index().items():
            if self._file_of.get(name) != file:
                raise TensorFolderError(f"{INDEX} says that {file} has tensor {name}; it has not")

    @property
    def files(self) -> list[str]:
        """Names of the files that hold the tensors."""
        return list(self._files)

    def dtype(self, name: str) -> str:
        """The type of a tensor as safetensors has it, e.g. "BF16"."""
        return self._slices[name].get_dtype()

    def read(self, name: str, index: tuple[slice, ...]) -> np.ndarray:
        """Reads a part of a tensor.

        Args:
          name: the tensor.
          index: a slice for each dimension, of step one.
        """
        return self._slices[name][index]

    def check(self, expected: Mapping[str, tuple[int, ...]], ignored: Collection[str] = ()) -> None:
        """Checks that the folder holds tensors of these names and shapes, of numbers we can read.

        Args:
          expected: shapes by name.
          ignored: names that may be there beside them.

        Raises:
          TensorFolderError: names every tensor that is missing, extra, misshapen or of integers.
        """
        faults = [f"  missing: {name} {shape}" for name, shape in expected.items()
                  if name not in self.shapes]  # fmt: skip
        for name, shape in self.shapes.items():
            if name in expected and expected[name] != shape:
                faults.append(f"  wrong shape: {name} is {shape}, expected {expected[name]}")
            elif name in expected and self.dtype(name) not in _FLOATS:
                faults.append(f"  wrong type: {name} is {self.dtype(name)}, expected a float")
            elif name not in expected and name not in ignored:
                faults.append(f"  extra: {name} {shape}")
        if faults:
            raise TensorFolderError(
                f"{self.path} does not hold the model of its config.json:\n"
                + "\n".join(_shortened(faults))
            )

    def bytes(self, name: str) -> int:
        """Bytes of a tensor in the file."""
        return math.prod(self.shapes[name]) * _FLOATS[self.dtype(name)]

    def same(self, first: str, second: str) -> bool:
        """Whether two tensors hold the same bits; a few rows are read at a time."""
        if self.shapes[first] != self.shapes[second] or self.dtype(first) != self.dtype(second):
            return False
        rows, columns = self.shapes[first]
        step = max(1, 2**24 // columns)
        return all(
            self.read(first, part).tobytes() == self.read(second, part).tobytes()
            for start in range(0, rows, step)
            for part in [(slice(start, min(start + step, rows)), slice(0, columns))]
        )


class TensorWriter:
    """Writes a folder that `TensorFolder` and transformers read, a tensor at a time.

    The library writes files whose tensors are all in memory. Here places are known beforehand, so
    that each tensor goes to its own and none is held; the format is that of the library's
    specification (github.com/huggingface/safetensors): the header's length, the header as JSON, and
    the tensors one behind the other.
    """

    def __init__(
        self, path: str | Path, shapes: Mapping[str, tuple[int, ...]], dtype: np.dtype, size: int
    ):
        """Lays out the files and writes their headers, and the index if there are several.

        Args:
          path: folder that exists.
          shapes: shape of every tensor.
          dtype: float32 or bfloat16, of all.
          size: most bytes of tensors in a file, unless one alone has more.
        """
        self._dtype = np.dtype(dtype)
        self._places: dict[str, tuple[Path, int]] = {}
        self._shapes = dict(shapes)
        shards = self._deal(size)
        total = sum(map(self._bytes, shapes))
        weight_map = {}
        for number, names in enumerate(shards, 1):
            several = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
            file = SINGLE if len(shards) == 1 else several
            self._write_header(Path(path) / file, names)
            weight_map |= dict.fromkeys(names, file)
        if len(shards) > 1:
            index = {
                "metadata": {"total_size": total},
                "weight_map": dict(sorted(weight_map.items())),
            }
            (Path(path) / INDEX).write_text(json.dumps(index, indent=2) + "\n")

    def add(self, name: str, tensor: np.ndarray) -> None:
        """Writes a tensor to its place.

        Args:
          name: one of the names, each once, in any order.
          tensor: of its shape; turned into the type of all.
        """
        assert tensor.shape == self._shapes[name], (name, tensor.shape)
        file, start = self._places.pop(name)
        with file.open("r+b") as opened:
            opened.seek(start)
            opened.write(np.ascontiguousarray(tensor, self._dtype).reshape(-1).view(np.uint8))

    def close(self) -> None:
        """Checks that every tensor was written."""
        assert not self._places, sorted(self._places)

    def _bytes(self, name: str) -> int:
        return math.prod(self._shapes[name]) * self._dtype.itemsize

    def _deal(self, size: int) -> list[list[str]]:
        shards, free = [], 0
        for name in self._shapes:
            if self._bytes(name) > free or not shards:
                shards.append([])
                free = size
            shards[-1].append(name)
            free -= self._bytes(name)
        return shards

    def _write_header(self, file: Path, names: list[str]) -> None:
        # transformers refuses files whose metadata does not name a framework.
        header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        kind, at, offsets = _NAMES[self._dtype.name], 0, {}
        for name in names:
            offsets[name], end = at, at + self._bytes(name)
            header[name] = {
                "dtype": kind, "shape": list(self._shapes[name]), "data_offsets": [at, end]
            }  # fmt: skip
            at = end
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)  # tensors begin at multiples of eight bytes
        with file.open("wb") as opened:
            opened.write(struct.pack("<Q", len(text)) + text)
            opened.truncate(8 + len(text) + at)
        for name, offset in offsets.items():
            self._places[name] = file, 8 + len(text) + offset


def _open(file: Path) -> Any:
    try:
        return safe_open(file, framework="np")
    except (SafetensorError, OSError) as error:
        raise TensorFolderError(
            f"{file} is damaged or cut short ({error}); get it again"
        ) from error


def _shortened(lines: list[str]) -> list[str]:
    """Names the layers of a fault together: a model has hundreds of tensors."""
    groups: dict[str, list[str]] = {}
    for line in lines:
        groups.setdefault(re.sub(r"\.\d+\.", ".*.", line), []).append(line)
    return [
        line
        for group in groups.values()
        for line in (group if len(group) < 4 else [group[0], f"  ... and {len(group) - 1} like it"])
    ]
