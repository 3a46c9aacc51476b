"""The folder of a run: what it holds, and how it is kept on remote storage.

    run.json             fingerprint, vocabulary, mixture, versions
    model.json           the model's configuration
    vocabulary.model     the SentencePiece model, or vocabulary.json, a tokenizer.json
    checkpoints/<step>/  params, optimizer, progress
    metrics.jsonl, tensorboard/, profile/
    ledger.json          what the run has seen of each task, written when it ends

The first three and a checkpoint are all that evaluation and generation need. Orbax
writes checkpoints to `gs://` and `s3://` by itself, every host its part. For other remote file
systems, and for the logs, which object stores cannot append to, files are written to a local
folder and copied after each save.
"""

import dataclasses
import json
import shutil
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

import jax
from etils import epath

from flan_jax import storage
from flan_jax.data import vocabularies
from flan_jax.data.vocabularies import AnyVocabulary
from flan_jax.model.config import ModelConfig

CHECKPOINTS = "checkpoints"
VOCABULARY, TOKENIZER = "vocabulary.model", "vocabulary.json"
COMMITTED = "commit_success.txt"  # orbax writes it into a checkpoint when all else is there
_ORBAX_SCHEMES = ("gs", "s3")
_LOGS = ("metrics.jsonl", "tensorboard", "profile")


class RunFolderError(ValueError):
    """A folder that holds no run, or no checkpoint, where one is expected."""


class RunFolder:
    """Where a training run writes."""

    def __init__(self, output_dir: str):
        """Opens the folder, making it if need be, and fetches what a resumed run goes on with.

        Args:
          output_dir: local path or URL.

        Raises:
          RunFolderError: the file system is one that only a single process can write to.
        """
        self.root = storage.path(output_dir)
        self.remote = storage.is_remote(output_dir)
        self._copies_checkpoints = self.remote and _scheme(output_dir) not in _ORBAX_SCHEMES
        if self._copies_checkpoints and jax.process_count() > 1:
            raise RunFolderError(
                f"{output_dir}: {jax.process_count()} processes write one checkpoint, which needs "
                f"a shared folder or one of {', '.join(s + '://' for s in _ORBAX_SCHEMES)}"
            )
        if not self.remote:
            self.local = Path(self.root).absolute()
            self.local.mkdir(parents=True, exist_ok=True)
            return
        self.root.mkdir(parents=True, exist_ok=True)
        self.local = Path(tempfile.mkdtemp(prefix="flan_jax_run_"))
        for name in _LOGS:
            _copy_tree(self.root / name, self.local / name)
        if self._copies_checkpoints:
            for step in committed_steps(self.root):
                _copy_tree(self.root / CHECKPOINTS / str(step), self._local_checkpoint(step))

    @property
    def checkpoints(self) -> epath.Path:
        """The folder of checkpoints, as orbax takes it."""
        if self.remote and not self._copies_checkpoints:
            return epath.Path(str(self.root / CHECKPOINTS))
        return epath.Path(self.local / CHECKPOINTS)

    def push(self) -> None:
        """Copies logs and new checkpoints to remote storage and removes retired ones there."""
        if not self.remote or jax.process_index() > 0:
            return
        for name in _LOGS:
            _copy_tree(self.local / name, self.root / name)
        if not self._copies_checkpoints:
            return
        here, there = set(committed_steps(self.local)), set(committed_steps(self.root))
        for step in sorted(here - there):
            _copy_tree(self._local_checkpoint(step), self.root / CHECKPOINTS / str(step))
        for step in sorted(there - here):
            (self.root / CHECKPOINTS / str(step)).rmtree()

    def close(self) -> None:
        """Removes the local copy of a remote folder."""
        if self.remote:
            self.push()
            shutil.rmtree(self.local, ignore_errors=True)

    def _local_checkpoint(self, step: int) -> Path:
        return self.local / CHECKPOINTS / str(step)


def write_json(folder: Any, name: str, value: Any) -> None:
    """Writes one JSON file into a run's folder, atomically, on the first process only."""
    if jax.process_index() == 0:
        text = json.dumps(value, indent=2) + "\n"
        storage.write_atomically(storage.path(folder) / name, text.encode())


def write_text(folder: Any, name: str, text: str) -> None:
    """Writes one text file into a folder, atomically, on the first process only."""
    if jax.process_index() == 0:
        folder = storage.path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        storage.write_atomically(folder / name, text.encode())


def vocabulary_file(vocabulary: dict[str, Any]) -> str:
    """Name of the vocabulary's file in a run's folder, for what `run.json` says of it."""
    return TOKENIZER if vocabulary.get("special") else VOCABULARY


def keep_vocabulary(folder: Any, vocabulary: dict[str, Any]) -> None:
    """Copies the vocabulary's file into a run's folder, which is then complete by itself.

    Args:
      folder: the run's folder.
      vocabulary: `path` and more, as a cache's manifest has it; nothing is done without a file.
    """
    source = storage.path(vocabulary["path"]) if vocabulary["path"] else None
    if jax.process_index() == 0 and source is not None and source.exists():
        target = storage.path(folder) / vocabulary_file(vocabulary)
        storage.write_atomically(target, source.read_bytes())


def read_vocabulary(folder: Any) -> AnyVocabulary:
    """Reads the vocabulary that a run was trained with.

    Raises:
      RunFolderError: it is not in the run's folder, or is another one.
    """
    facts = read_run(folder)["vocabulary"]
    name = vocabulary_file(facts)
    kept = storage.path(folder) / name
    if not kept.exists():
        raise RunFolderError(
            f"{folder} has no {name}: put the file of the run's vocabulary there (it was "
            f"{facts['path']}, digest {facts['digest'][:12]})"
        )
    vocabulary = vocabularies.from_facts(facts, str(kept))
    if vocabulary.digest != facts["digest"]:
        raise RunFolderError(
            f"{kept} (digest {vocabulary.digest[:12]}) is not the vocabulary that the run was "
            f"trained with (digest {facts['digest'][:12]}): restore the original file"
        )
    return vocabulary


def read_json(folder: Any, name: str) -> dict[str, Any] | None:
    """Reads one JSON file of a run's folder; None where it is absent.

    Raises:
      RunFolderError: it is no JSON.
    """
    file = storage.path(folder) / name
    if not file.exists():
        return None
    try:
        return json.loads(file.read_text())
    except ValueError as error:
        raise RunFolderError(
            f"{file} is damaged ({error}): restore it, or write it anew by starting the run's "
            "command in another folder"
        ) from error


def read_run(folder: str) -> dict[str, Any]:
    """Reads `run.json`: `fingerprint`, `vocabulary` (path, digest), `mixture`, `versions`.

    Raises:
      RunFolderError: the folder holds no run.
    """
    return _required(folder, "run.json")


def read_model_config(folder: str) -> ModelConfig:
    """Reads the model's configuration from a run's folder.

    Raises:
      RunFolderError: the folder holds no run, or one of another version of the model.
    """
    values = _required(folder, "model.json")
    unknown = sorted(set(values) - {field.name for field in dataclasses.fields(ModelConfig)})
    if unknown:
        raise RunFolderError(
            f"{folder}/model.json names settings that this version does not have: "
            f"{', '.join(unknown)}; use the version in {folder}/run.json"
        )
    return ModelConfig(**values)


def locate(path: str, step: int | None = None) -> tuple[Any, int]:
    """Finds a checkpoint.

    Args:
      path: a run's folder, or one checkpoint in it (`<run>/checkpoints/<step>`).
      step: which checkpoint of a run's folder; None for the latest.

    Returns:
      The run's folder and the step.

    Raises:
      RunFolderError: there is no such complete checkpoint; what there is, is listed.
    """
    path = storage.path(path)
    if path.name.isdigit() and path.parent.name == CHECKPOINTS:
        path, step = path.parent.parent, int(path.name)
    steps = committed_steps(path)
    if step is None and steps:
        step = steps[-1]
    if step not in steps:
        there_are = f"complete checkpoints there: {steps}" if steps else "there is none there"
        wanted = "a complete checkpoint" if step is None else f"a complete checkpoint {step}"
        raise RunFolderError(f"{path}: expected {wanted}; {there_are}. Give a run's folder, "
                             f"or <run>/{CHECKPOINTS}/<step>")  # fmt: skip
    return path, step


def committed_steps(folder: Any) -> list[int]:
    """Steps of the complete checkpoints in a run's folder, ascending."""
    checkpoints = storage.path(folder) / CHECKPOINTS
    if not checkpoints.exists():
        return []
    return sorted(
        int(entry.name)
        for entry in checkpoints.iterdir()
        if entry.name.isdigit() and (entry / COMMITTED).exists()
    )


def local_checkpoint(folder: Any, step: int) -> epath.Path:
    """A checkpoint as a path that orbax reads, copied here from file systems it does not know."""
    checkpoint = storage.path(folder) / CHECKPOINTS / str(step)
    if not storage.is_remote(checkpoint):
        return epath.Path(Path(checkpoint).absolute())  # orbax reads nothing from a relative path
    if _scheme(str(checkpoint)) in _ORBAX_SCHEMES:
        return epath.Path(str(checkpoint))
    local = Path(tempfile.mkdtemp(prefix="flan_jax_checkpoint_")) / str(step)
    _copy_tree(checkpoint, local)
    return epath.Path(local)


def _required(folder: str, name: str) -> dict[str, Any]:
    values = read_json(folder, name)
    if values is None:
        raise RunFolderError(f"{folder} has no {name}: expected the folder of a training run")
    return values


def _scheme(url: str) -> str:
    return str(url).partition("://")[0]


def _copy_tree(source: Any, target: Any) -> None:
    """Copies a file or folder between local and remote; a marker of completeness goes last."""
    source, target = storage.path(source), storage.path(target)
    if not source.exists():
        return
    if not source.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
        return
    entries = {PurePosixPath(str(entry)).name for entry in source.iterdir()}
    for name in sorted(entries, key=lambda name: (name == COMMITTED, name)):
        _copy_tree(source / name, target / name)
