"""Unpacks zip and tar archives of data, and nothing outside the folder that is asked for.

    unpack("natural-instructions-master.zip", "data/natural-instructions")

An archive may come from anywhere. A member that would be written elsewhere (an absolute path,
`..`), or that is no plain file or folder (a link, a device), is an error that names it, and nothing
is unpacked then.
"""

import posixpath
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from flan_jax import storage

# Unpacked bytes at most for a packed one; more is a bomb (deflate's own limit is about 1,032).
MAX_RATIO = 1000
_LINK = 0o120000
_KIND = 0o170000


class ArchiveError(ValueError):
    """An archive that is not unpacked; the message names the archive and the member."""


class _Member(NamedTuple):
    name: str
    size: int
    folder: bool
    open: object


def unpack(archive: str | Path, target: str | Path) -> Path:
    """Unpacks an archive into a folder of its own, in one step.

    A single folder that holds all else, as code hosts make it, is left out.

    Args:
      archive: a `.zip`, `.tar`, `.tar.gz`, `.tgz`, `.tar.bz2` or `.tar.xz` file.
      target: the folder, which must not exist.

    Returns:
      The folder.

    Raises:
      ArchiveError: a path is remote; or it is no such archive, is broken, a member would be written
        elsewhere or is no plain file, or it would become more than `MAX_RATIO` times as large.
      FileExistsError: the folder exists.
    """
    if remote := next(filter(storage.is_remote, (archive, target)), None):
        raise ArchiveError(f"{remote}: expected a local path; fetch archives, and unpack them here")
    archive, target = Path(archive), Path(target)
    if target.exists():
        raise FileExistsError(f"{target} exists; remove it, or name another folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.part") as beside:
        try:
            with _opened(archive) as file:
                members = list(_members(file))
                _check(archive, members)
                for member in members:
                    _write(member, Path(beside) / member.name)
        except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
            raise ArchiveError(f"{archive}: broken archive ({error})") from error
        inside = list(Path(beside).iterdir())
        alone = len(inside) == 1 and inside[0].is_dir()
        shutil.move(inside[0] if alone else beside, target)
        Path(beside).mkdir(exist_ok=True)  # what the context removes
    return target


def _opened(archive: Path) -> zipfile.ZipFile | tarfile.TarFile:
    if zipfile.is_zipfile(archive):
        return zipfile.ZipFile(archive)
    if archive.is_file() and tarfile.is_tarfile(archive):
        return tarfile.open(archive)
    state = "is neither" if archive.is_file() else "does not exist"
    raise ArchiveError(f"{archive}: expected a zip or tar archive, and it {state}")


def _members(file: zipfile.ZipFile | tarfile.TarFile) -> Iterator[_Member]:
    if isinstance(file, zipfile.ZipFile):
        for info in file.infolist():
            if (info.external_attr >> 16) & _KIND == _LINK:
                raise ArchiveError(f"{file.filename}: member {info.filename!r} is a link")
            opened = lambda info=info: file.open(info)  # noqa: E731
            yield _Member(info.filename, info.file_size, info.is_dir(), opened)
        return
    for info in file:
        if not (info.isfile() or info.isdir()):
            raise ArchiveError(f"{file.name}: member {info.name!r} is a link or a device")
        opened = lambda info=info: file.extractfile(info)  # noqa: E731
        yield _Member(info.name, info.size, info.isdir(), opened)


def _check(archive: Path, members: list[_Member]) -> None:
    for member in members:
        name = member.name.replace("\\", "/")
        parts = name.split("/")
        if posixpath.isabs(name) or ".." in parts or ":" in parts[0] or "\x00" in name:
            raise ArchiveError(
                f"{archive}: member {member.name!r} would be written outside the folder; nothing "
                "was unpacked. Get the archive from its publisher"
            )
    size = sum(member.size for member in members)
    if size > MAX_RATIO * max(archive.stat().st_size, 1):
        raise ArchiveError(
            f"{archive}: {archive.stat().st_size:,} bytes would become {size:,}; nothing was "
            "unpacked"
        )


def _write(member: _Member, path: Path) -> None:
    if member.folder:
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    source: IO[bytes]
    with member.open() as source, path.open("wb") as file:
        shutil.copyfileobj(source, file)
