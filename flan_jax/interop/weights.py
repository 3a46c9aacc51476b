"""Parameters from the tensors of a checkpoint of others and back, slice by slice.

Each device reads only its own slice of each parameter. Beside what lies on the devices, the memory
of a host holds the slices of one parameter at a time.
"""

import functools
import math
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
from jax.experimental import multihost_utils

from flan_jax.interop import tensor_names
from flan_jax.interop.safetensors_folder import TensorFolder, TensorFolderError
from flan_jax.interop.tensor_names import TRANSPOSED
from flan_jax.model import transformer
from flan_jax.model.config import ModelConfig
from flan_jax.model.layers import Params
from flan_jax.parallel import rules

Report = Callable[[str, int], None]
Ranges = tuple[tuple[int, int], ...]
Read = Callable[[str, int | None, Ranges], np.ndarray]
DTYPES = {"float32": np.dtype(np.float32), "bfloat16": np.dtype(ml_dtypes.bfloat16)}


def read_params(
    folder: TensorFolder,
    config: ModelConfig,
    mesh: jax.sharding.Mesh,
    report: Report = lambda path, size: None,
) -> Params:
    """Reads the parameters of a model from a Hugging Face folder, each device its shards.

    Args:
      folder: the tensors.
      config: the model; `param_dtype` is what the values are turned into on the way.
      mesh: where the parameters go.
      report: called with each parameter's path and bytes when it is there.

    Returns:
      The tree of `transformer.init`.

    Raises:
      TensorFolderError: tensors are missing, extra, misshapen, or no floats; they are named.
    """
    check(folder, config)
    rows = tensor_names.rows(config)

    def read(path: str, layer: int | None, ranges: Ranges) -> np.ndarray:
        transposed = rows[path].stored == TRANSPOSED
        ranges = ranges[::-1] if transposed else ranges
        name = rows[path].name.format(layer)
        tensor = folder.read(name, tuple(slice(*one) for one in ranges))
        return tensor.T if transposed else tensor

    return place(config, mesh, read, report)


def place(config: ModelConfig, mesh: jax.sharding.Mesh, read: Read, report: Report) -> Params:
    """Makes the parameters of a model from a function that reads slices of them.

    Args:
      config: the model.
      mesh: where the parameters go.
      read: function from a parameter's path, a layer (None where the parameter has no layers) and
        the start and stop of each dimension in a layer to that slice.
      report: called with each parameter's path and bytes when it is there.
    """
    abstract = transformer.abstract(config)
    axes = tensor_names.flatten(transformer.logical_axes(config))
    shardings = rules.shardings(transformer.logical_axes(config), mesh, abstract)
    shardings = tensor_names.flatten(shardings)
    params = {}
    for path, leaf in tensor_names.flatten(abstract).items():
        part = functools.partial(read, path)
        stacked = axes[path][0] == "layers"
        callback = _Slices(part, leaf.shape, DTYPES[config.param_dtype], stacked)
        params[path] = jax.make_array_from_callback(leaf.shape, shardings[path], callback)
        jax.block_until_ready(params[path])
        report(path, leaf.size * leaf.dtype.itemsize)
    return tensor_names.unflatten(params)


def check(folder: TensorFolder, config: ModelConfig) -> None:
    """Checks that a folder holds exactly the tensors of a model.

    Raises:
      TensorFolderError: it does not; all that is wrong is named.
    """
    copies = tensor_names.copies_of_embedding(config)
    unused = [name for name in folder.shapes if tensor_names.is_unused(name)]
    folder.check(tensor_names.names(config), {*copies, *unused})
    table = tensor_names.rows(config)["embedding"].name
    for name in copies:
        if name in folder.shapes and not folder.same(name, table):
            raise TensorFolderError(
                f"{folder.path}: config.json says that {name} is the same as {table}, but it is "
                "not; if the model has an output layer of its own, tie_word_embeddings must be "
                "false"
            )


class _Slices:
    """Slices of one parameter; devices that hold the same one share what was read."""

    def __init__(
        self,
        read: Callable[[int | None, Ranges], np.ndarray],
        shape: tuple[int, ...],
        dtype: np.dtype,
        stacked: bool,
    ):
        self._read = read
        self._shape = shape
        self._dtype = dtype
        self._stacked = stacked
        self._kept: dict[Ranges, np.ndarray] = {}

    def __call__(self, index: tuple[slice, ...]) -> np.ndarray:
        ranges = tuple(
            part.indices(size)[:2] for part, size in zip(index, self._shape, strict=True)
        )
        if ranges not in self._kept:
            out = np.empty([stop - start for start, stop in ranges], self._dtype)
            if self._stacked:
                (first, last), *rest = ranges
                for layer in range(first, last):
                    out[layer - first] = self._read(layer, tuple(rest))
            else:
                out[...] = self._read(None, ranges)
            self._kept[ranges] = out
        return self._kept[ranges]


def tensors(
    config: ModelConfig, params: Params, dtype: np.dtype | None = None
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the tensors of a Hugging Face checkpoint; one at a time is held on the host.

    All processes must go through it together where the parameters lie on several hosts.

    Args:
      config: the model.
      params: its parameters, on any mesh.
      dtype: what values are turned into; None for as they are.

    Yields:
      Name and tensor.
    """
    rows = tensor_names.rows(config)
    for path, leaf in tensor_names.flatten(params).items():
        row = rows[path]
        for layer in range(leaf.shape[0] if row.stacked else 1):
            tensor = on_host(leaf[layer] if row.stacked else leaf)
            tensor = tensor.T if row.stored == TRANSPOSED else tensor
            yield row.name.format(layer), tensor.astype(dtype or tensor.dtype, copy=False)


def parameter_count(config: ModelConfig) -> int:
    """Number of parameters of a model."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(transformer.abstract(config)))


def on_host(array: jax.Array) -> np.ndarray:
    """Returns the whole of an array; all processes must call it together."""
    if array.is_fully_addressable:
        # Of a copy, since an array keeps what numpy was given of it for as long as it lives.
        return np.asarray(jnp.copy(array))
    return multihost_utils.process_allgather(array, tiled=True)
