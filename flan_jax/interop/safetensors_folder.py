"""The tensors of a folder of safetensors files, read slice by slice.

A folder holds `model.safetensors`, or several files and `model.safetensors.index.json`, which says
what tensor is in what file. The files are mapped into memory; only what is asked for is read.
"""

import json
import math
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401 (numpy has bfloat16 from it, which safetensors returns)
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_FLOATS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


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

    def check(
        self, expected: Mapping[str, tuple[int, ...]], ignored: Collection[str] = ()
    ) -> None:
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
    """Writes a folder that `TensorFolder` and transformers read, a file of bounded size at a time.

    Files are named when it is known how many there are, so the folder is complete after `close`.
    """

    def __init__(self, path: str | Path, shard_bytes: int):
        """Args: `path`: folder that exists; `shard_bytes`: most bytes of tensors in a file."""
        self._path = Path(path)
        self._shard_bytes = shard_bytes
        self._held: dict[str, np.ndarray] = {}
        self._shards: list[list[str]] = []
        self._total = 0

    def add(self, name: str, tensor: np.ndarray) -> None:
        """Adds a tensor; it is held in memory until its file is full."""
        held = sum(one.nbytes for one in self._held.values())
        if self._held and held + tensor.nbytes > self._shard_bytes:
            self._flush()
        self._held[name] = np.ascontiguousarray(tensor)
        self._total += tensor.nbytes

    def close(self) -> None:
        """Writes what is left, gives the files their names, and writes the index."""
        self._flush()
        count = len(self._shards)
        if count == 1:
            self._shard_path(0).rename(self._path / SINGLE)
            return
        weight_map = {}
        for number, names in enumerate(self._shards):
            file = f"model-{number + 1:05d}-of-{count:05d}.safetensors"
            self._shard_path(number).rename(self._path / file)
            weight_map |= dict.fromkeys(names, file)
        index = {
            "metadata": {"total_size": self._total},
            "weight_map": dict(sorted(weight_map.items())),
        }
        (self._path / INDEX).write_text(json.dumps(index, indent=2) + "\n")

    def _flush(self) -> None:
        # transformers refuses files whose metadata does not name a framework.
        save_file(self._held, self._shard_path(len(self._shards)), metadata={"format": "pt"})
        self._shards.append(list(self._held))
        self._held = {}

    def _shard_path(self, number: int) -> Path:
        return self._path / f"part-{number}.safetensors"


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
