"""Paths to files, local or remote, without TensorFlow.

Local paths are etils' `epath.Path`. For `gs://` and the like epath loads TensorFlow wherever it is
installed, and it knows nothing of `memory://` and other file systems, so every remote path is a
`RemotePath` here: the same methods over fsspec. The package of the file system must be installed
(`gcsfs` for `gs://`, `s3fs` for `s3://`).
"""

import contextlib
import errno
import fcntl
import functools
import hashlib
import json
import os
import posixpath
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import fsspec
from etils import epath

MANIFEST = "manifest.json"
_BLOCK = 4 * 2**20  # bytes copied at a time


class StorageError(OSError):
    """A file that cannot be read, written or trusted; the message names it and the remedy."""


class RemotePath:
    """A path such as `gs://bucket/folder`, with the methods of `pathlib.Path` that we use."""

    def __init__(self, url: str):
        scheme, _, rest = str(url).partition("://")
        self._scheme = scheme
        self._rest = posixpath.normpath(rest) if rest else ""

    def __str__(self) -> str:
        return f"{self._scheme}://{self._rest}"

    __fspath__ = __str__

    def __repr__(self) -> str:
        return f"RemotePath({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemotePath) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __truediv__(self, name: str) -> "RemotePath":
        return RemotePath(f"{self._scheme}://{posixpath.join(self._rest, str(name))}")

    @property
    def name(self) -> str:
        """The last part of the path."""
        return posixpath.basename(self._rest)

    @property
    def parent(self) -> "RemotePath":
        """The folder that holds it."""
        return RemotePath(f"{self._scheme}://{posixpath.dirname(self._rest)}")

    @property
    def _system(self) -> fsspec.AbstractFileSystem:
        return _filesystem(self._scheme)

    def exists(self) -> bool:
        """Whether there is a file or folder of this name."""
        return self._system.exists(str(self))

    def is_dir(self) -> bool:
        """Whether it is a folder."""
        return self._system.isdir(str(self))

    def is_file(self) -> bool:
        """Whether it is a file."""
        return self._system.isfile(str(self))

    def iterdir(self) -> Iterator["RemotePath"]:
        """What lies in the folder, in order of name."""
        for entry in sorted(self._system.ls(str(self), detail=False)):
            yield self / posixpath.basename(entry.rstrip("/"))

    def size(self) -> int:
        """Bytes of the file."""
        return self._system.size(str(self))

    def mkdir(self, parents: bool = False, exist_ok: bool = False) -> None:
        """Makes the folder, which on object stores does nothing."""
        if not exist_ok and self.exists():
            raise FileExistsError(f"{self} exists")
        self._system.makedirs(str(self), exist_ok=True)

    def open(self, mode: str = "r") -> IO[Any]:
        """Opens the file."""
        return self._system.open(str(self), mode)

    def read_bytes(self) -> bytes:
        """Returns what is in the file."""
        return self._system.cat_file(str(self))

    def write_bytes(self, data: bytes) -> None:
        """Writes the file."""
        self._system.pipe_file(str(self), data)

    def read_text(self) -> str:
        """Returns what is in the file as UTF-8 text."""
        return self.read_bytes().decode()

    def unlink(self) -> None:
        """Removes the file."""
        self._system.rm_file(str(self))

    def rmtree(self) -> None:
        """Removes the folder with all that is in it."""
        self._system.rm(str(self), recursive=True)


AnyPath = epath.Path | RemotePath


def size(file: AnyPath) -> int:
    """Bytes of a file."""
    return file.size() if isinstance(file, RemotePath) else file.stat().length


def last_change(file: str | os.PathLike) -> int:
    """When a file was last changed, in nanoseconds, so that caches see it; 0 for a remote one."""
    return 0 if is_remote(file) else os.stat(file).st_mtime_ns


def path(location: str | os.PathLike) -> AnyPath:
    """Returns a path object for a local path or a URL such as `gs://bucket/folder`.

    Args:
      location: path or URL; `~` is expanded in local paths.
    """
    if isinstance(location, RemotePath):
        return location
    # Libraries that use epath themselves (orbax) shall not load TensorFlow for gs:// either.
    os.environ.setdefault("EPATH_USE_TF", "false")
    text = os.fspath(location)
    return RemotePath(text) if "://" in text else epath.Path(text).expanduser()


def is_remote(location: str | os.PathLike) -> bool:
    """Whether a path is a URL."""
    return "://" in os.fspath(location)


@functools.cache
def _filesystem(scheme: str) -> fsspec.AbstractFileSystem:
    try:
        return fsspec.filesystem(scheme)
    except (ImportError, ValueError) as error:
        packages = {"gs": "gcsfs", "gcs": "gcsfs", "s3": "s3fs", "az": "adlfs"}
        package = packages.get(scheme, f"fsspec's package for {scheme}://")
        raise StorageError(
            f"{scheme}:// paths cannot be opened ({error}); install {package}, for example "
            f"with `pip install {packages.get(scheme, 'fsspec')}`"
        ) from error


def write_atomically(target: str | os.PathLike, data: bytes) -> None:
    """Writes a file so that readers see the old content or the new, never a part of it.

    Args:
      target: file to write; remote stores are atomic of themselves.
      data: its content.
    """
    target = path(target)
    with disk_full_explained(target):
        if is_remote(target):
            target.write_bytes(data)
            return
        temporary = target.parent / f".{target.name}.{os.getpid()}.part"
        temporary.write_bytes(data)
        os.replace(temporary, target)


@contextlib.contextmanager
def disk_full_explained(target: str | os.PathLike) -> Iterator[None]:
    """Turns a "no space left" error inside the block into one that says what to do.

    Args:
      target: what is being written.

    Raises:
      StorageError: on a full disk or quota.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT) or isinstance(error, StorageError):
            raise
        message = (
            f"the disk is full while writing {os.fspath(target)}; what was complete before is "
            "kept. Free some space or choose another folder, and start again"
        )
        raise StorageError(error.errno, message) from error


@contextlib.contextmanager
def locked(folder: str | os.PathLike, name: str) -> Iterator[None]:
    """Lets one process at a time into the block; the system frees the lock of a killed one.

    Args:
      folder: local folder that exists; holds the lock file.
      name: name of what is being locked.
    """
    with open(Path(folder) / f".{name}.lock", "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def upload(local: str | os.PathLike, remote: str | os.PathLike) -> None:
    """Copies a local folder to a remote one, the manifest last, so that it marks completeness.

    Args:
      local: folder of files, one of them `manifest.json`.
      remote: URL of the folder to write.
    """
    target = path(remote)
    target.mkdir(parents=True, exist_ok=True)
    names = sorted(os.listdir(local), key=lambda name: (name == MANIFEST, name))
    for name in names:
        with open(Path(local) / name, "rb") as source, (target / name).open("wb") as sink:
            shutil.copyfileobj(source, sink, _BLOCK)


def stage(remote: str | os.PathLike, local_root: str | os.PathLike) -> epath.Path:
    """Brings a remote cache to the local disk, once, and checks what came.

    The folder's `manifest.json` lists its files: `{"files": [{"name", "size", "crc32"}, ...]}`. The
    local folder is named after the manifest's content, so another build of the same cache is
    staged anew. It appears in one step when all files are there and right; other processes
    that stage the same folder wait, and a killed one leaves nothing that is mistaken for a cache.

    Args:
      remote: folder to copy; a local folder is returned as it is.
      local_root: local folder under which staged folders are kept.

    Returns:
      The local folder.

    Raises:
      StorageError: the folder has no manifest, or a file differs from it after a second try.
    """
    source = path(remote)
    if not is_remote(source):
        return source
    if not (source / MANIFEST).exists():
        raise StorageError(f"{source} has no {MANIFEST}: it is no complete cache; build it again")
    manifest = (source / MANIFEST).read_bytes()
    name = f"{source.name}-{hashlib.sha256(manifest).hexdigest()[:12]}"
    root = path(local_root)
    root.mkdir(parents=True, exist_ok=True)
    target = root / name
    with locked(root, name), disk_full_explained(target):
        if target.exists():
            return target
        temporary = Path(root) / f".{name}.part"
        shutil.rmtree(temporary, ignore_errors=True)  # left by a killed process
        temporary.mkdir()
        for entry in json.loads(manifest)["files"]:
            _fetch(source / entry["name"], temporary / entry["name"], entry)
        (temporary / MANIFEST).write_bytes(manifest)
        os.rename(temporary, target)
    return target


def _fetch(source: RemotePath, target: Path, expected: dict) -> None:
    for _ in range(2):
        size, crc = 0, 0
        with source.open("rb") as reader, open(target, "wb") as writer:
            while block := reader.read(_BLOCK):
                writer.write(block)
                size, crc = size + len(block), zlib.crc32(block, crc)
        if (size, crc) == (expected["size"], expected["crc32"]):
            return
    raise StorageError(
        f"{source} came with {size} bytes and checksum {crc:08x}, its manifest says "
        f"{expected['size']} bytes and {expected['crc32']:08x}; build this cache again"
    )
