"""Files under the data folder: where they are, and which splits of a source are there."""

import os
from collections.abc import Callable, Sequence

from flan_jax import storage
from flan_jax.data.sources.protocol import LOCAL, MISSING, Availability


def place(version: str, file: str, data_dir: str | None) -> storage.AnyPath:
    """Says where a file is.

    Args:
      version: name of the source, for the error.
      file: path under the data folder; one that is absolute or a URL stands for itself.
      data_dir: the data folder.

    Raises:
      ValueError: it is under a data folder, and none is given.
    """
    if _stands_alone(file):
        return storage.path(file)
    if not data_dir:
        raise ValueError(
            f"source {version} reads files under a data folder, and none was given; "
            "register the collection with data_dir, or pass --data_dir"
        )
    return storage.path(data_dir) / file


def availability(
    pattern: str,
    splits: Sequence[str],
    find: Callable[[str], Sequence[storage.AnyPath]],
    data_dir: str | None,
) -> Availability:
    """Says which splits of a source are there.

    Args:
      pattern: path that its files have under the data folder, for people to read.
      splits: its splits.
      find: gives the files of a split; raises FileNotFoundError or ValueError where there are none.
      data_dir: the data folder.
    """
    found: dict[storage.AnyPath, None] = {}  # a file may hold several splits
    lacking = []
    for split in splits:
        try:
            found.update(dict.fromkeys(find(split)))
        except (FileNotFoundError, ValueError):
            lacking.append(split)
    if not found:
        return Availability(MISSING, *_absent(pattern, splits, data_dir))
    detail = str(next(iter(found)).parent)
    if lacking:
        detail += f", without {', '.join(lacking)}"
    size = sum(map(storage.size, found))
    return Availability(LOCAL, detail, size=size, lacking=tuple(lacking))


def _absent(pattern: str, splits: Sequence[str], data_dir: str | None) -> tuple[str, str]:
    """Says what is not there, and what to do."""
    if not (data_dir or _stands_alone(pattern)):
        return "no data folder is given", "name one that holds it with --data_dir"
    return (
        f"there is no {pattern} in {data_dir}",
        f"put its splits ({', '.join(splits)}) there, or name another --data_dir",
    )


def _stands_alone(file: str) -> bool:
    return os.path.isabs(file) or storage.is_remote(file)
