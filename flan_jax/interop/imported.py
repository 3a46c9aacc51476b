"""Run folders of weights that were not trained here."""

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

import flan_jax
from flan_jax import storage
from flan_jax.data import vocabularies
from flan_jax.data.vocabularies import AnyVocabulary
from flan_jax.model.config import ModelConfig
from flan_jax.model.layers import Params
from flan_jax.train import checkpoint, fingerprint, run_folder
from flan_jax.train.run_folder import RunFolder


class ConversionError(ValueError):
    """A folder that cannot be converted; the message says which and why."""


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where weights come from.

    Attributes:
      folder: the folder that they were read from.
      files: the files in it that they are a function of.
      family: what its format calls the model.
      vocabulary: the model's vocabulary, where it is one that we can read.
    """

    folder: Path
    files: Sequence[str]
    family: str
    vocabulary: AnyVocabulary | None = None


def check_empty(output_dir: str) -> None:
    """Refuses a run folder that holds checkpoints.

    Raises:
      ConversionError: it does.
    """
    if run_folder.committed_steps(output_dir):
        raise ConversionError(f"{output_dir} holds checkpoints already; choose another folder")


def new_folder(target: str | Path) -> Path:
    """Gives the absolute path of a local folder that is to be written.

    Raises:
      ConversionError: it exists, or is remote.
    """
    if storage.is_remote(target):
        raise ConversionError(
            f"{target}: expected a local folder to write; copy it to its place when it is there"
        )
    target = Path(target).absolute()
    if target.exists():
        raise ConversionError(f"{target} exists; choose another folder, or remove it")
    return target


def write_run(output_dir: str, config: ModelConfig, params: Params, origin: Origin) -> None:
    """Writes a run folder that `TrainRun.init_from` accepts; the checkpoint, number 0, comes last.

    Its fingerprint is that of the model and of the content of the files.

    Args:
      output_dir: the run folder, local or remote.
      config: the model.
      params: its parameters, on any mesh.
      origin: where they come from.
    """
    vocabulary = _facts(origin.vocabulary)
    fields = {
        **fingerprint.configuration_fields(model=config),
        "imported": _content_digest(origin.folder, origin.files),
        "vocabulary": vocabulary["digest"],
    }
    about = {
        "fingerprint": {"digest": fingerprint.digest(fields), "fields": fields},
        "vocabulary": vocabulary,
        "mixture": None,
        "init_from": None,
        "steps": 0,
        "imported": {"folder": str(origin.folder), "family": origin.family},
        "versions": {"flan_jax": flan_jax.__version__, "jax": jax.__version__},
    }
    folder = RunFolder(output_dir)
    try:
        run_folder.write_json(folder.root, "model.json", dataclasses.asdict(config))
        run_folder.write_json(folder.root, "run.json", about)
        run_folder.keep_vocabulary(folder.root, vocabulary)
        checkpoint.save_params(folder, params)
    finally:
        folder.close()


def _facts(vocabulary: AnyVocabulary | None) -> dict[str, Any]:
    """What `run.json` says of a vocabulary; no digest where there is none."""
    if vocabulary is None:
        return {"path": None, "digest": "", "sentinels": 0, "size": 0}
    return vocabularies.facts(vocabulary)


def _content_digest(folder: Path, files: Sequence[str]) -> str:
    """SHA-256 over names and content of files."""
    total = hashlib.sha256()
    for file in sorted(files):
        with open(folder / file, "rb") as opened:
            total.update(file.encode() + hashlib.file_digest(opened, "sha256").digest())
    return total.hexdigest()
