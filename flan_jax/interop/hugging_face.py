"""Hugging Face folders in, as run folders that training starts from, and out again.

    import_folder("flan-t5-xl", "imported/flan-t5-xl")        # then TrainRun.init_from names it
    export_folder("runs/tuned", "served/tuned", like="flan-t5-xl")

A Hugging Face folder is a local one: `config.json` and safetensors files. `like` is the folder that
the weights came from: what our side knows nothing of (tokenizer, special tokens, the longest row)
is taken from there.
"""

import dataclasses
import functools
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from flan_jax import storage
from flan_jax.batch import EOS_ID, PAD_ID
from flan_jax.data import vocabularies
from flan_jax.data.tokenizer_json import TokenizerVocabulary
from flan_jax.interop import families, imported, model_card, tensor_names, text_part, weights
from flan_jax.interop.imported import ConversionError, Origin, new_folder
from flan_jax.interop.safetensors_folder import TensorFolder, TensorWriter
from flan_jax.model.config import ModelConfig
from flan_jax.model.layers import Params
from flan_jax.parallel.mesh import MeshConfig, make_mesh
from flan_jax.train import checkpoint, partial_run, run_folder

CONFIG, GENERATION = "config.json", "generation_config.json"
# As transformers does: files that a browser or a git server still handles.
SHARD_BYTES = 5 * 10**9
# What a tokenizer may consist of.
_TOKENIZER = (
    "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "spiece.model", "vocab.json",
    "merges.txt", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja",
)  # fmt: skip
# Entries of config.json that are no part of the function, which `like` provides.
_KEPT = (
    "max_position_embeddings", "bos_token_id", "eos_token_id", "pad_token_id",
    "decoder_start_token_id", "n_positions", "initializer_range", "initializer_factor",
)  # fmt: skip


def read_config(folder: str | Path) -> tuple[str, ModelConfig]:
    """Reads the family and the configuration of a Hugging Face folder.

    Raises:
      ConversionError: there is no readable `config.json`.
      FamilyError: the family, or a feature of the model, is not known.
    """
    return families.read_config(text_part.config_of(_read_json(Path(folder) / CONFIG)))


def open_tensors(folder: str | Path) -> TensorFolder:
    """Opens the tensors of the language model of a Hugging Face folder.

    Raises:
      TensorFolderError: a file is missing or damaged; it is named.
    """
    whole = _read_json(Path(folder) / CONFIG)
    return TensorFolder(folder, functools.partial(text_part.name_of, whole))


def import_folder(
    source: str | Path,
    output_dir: str,
    mesh: MeshConfig | None = None,
    param_dtype: str = "float32",
    report: weights.Report = lambda path, size: None,
) -> ModelConfig:
    """Turns a Hugging Face folder into a run folder that `TrainRun.init_from` accepts.

    Args:
      source: local folder of `config.json` and safetensors files.
      output_dir: the run folder to write, local or remote; it must hold no checkpoint.
      mesh: devices that the parameters go through; None for all along `fsdp`.
      param_dtype: "float32" or "bfloat16", what the parameters are turned into.
      report: called with each parameter's path and bytes.

    Returns:
      The model's configuration, as in `model.json`.

    Raises:
      ConversionError: the source has no config.json, or the output a checkpoint already.
      FamilyError: the family, or a feature of the model, is not known.
      TensorFolderError: tensors are missing, extra, misshapen or damaged; they are named.
      ValueError: there is a tokenizer that cannot be read.
    """
    family, config = read_config(source)
    config = dataclasses.replace(config, param_dtype=param_dtype)
    imported.check_empty(output_dir)
    vocabulary = None
    if any((Path(source) / name).exists() for name in vocabularies.FILES):
        vocabulary = vocabularies.load(str(source))
    tensors = open_tensors(source)
    device_mesh = make_mesh(mesh or MeshConfig(data=1, fsdp=-1))
    params = weights.read_params(tensors, config, device_mesh, report)
    origin = Origin(Path(source), [CONFIG, *tensors.files], family, vocabulary)
    imported.write_run(output_dir, config, params, origin)
    return config


def export_folder(
    run: str,
    target: str | Path,
    like: str | Path | None = None,
    family: str | None = None,
    dtype: str | None = None,
    mesh: MeshConfig | None = None,
    shard_bytes: int = SHARD_BYTES,
    report: weights.Report = lambda path, size: None,
) -> None:
    """Turns a run into a folder that transformers loads (and vLLM, if it is decoder-only).

    The folder is written aside and appears when it is complete. Adapters of LoRA are merged into
    the weights; `interop.peft_folder` writes them alone.

    Args:
      run: a run's folder, or a checkpoint in it.
      target: local folder to write; it must not exist.
      like: the Hugging Face folder whose tokenizer, special tokens and family are taken over; None
        for our own vocabulary and ids.
      family: `model_type` to write; None for that of `like`, or the first that fits.
      dtype: "float32" or "bfloat16"; None for that of the parameters.
      mesh: devices that the parameters go through; None for all along `fsdp`.
      shard_bytes: most bytes in a file.
      report: called with each tensor's name and bytes.

    Raises:
      ConversionError: the target exists or is remote, or `like` is no Hugging Face folder.
      FamilyError: no family computes what the model does.
      RunFolderError: there is no such checkpoint, or it holds a soft prompt.
    """
    folder, step = run_folder.locate(run)
    config = run_folder.read_model_config(folder)
    original = text_part.config_of(_read_json(Path(like) / CONFIG)) if like else {}
    written = families.config_json(config, family or original.get("model_type"))
    written |= _special_tokens(config, original, run_folder.read_run(folder)["vocabulary"])
    written["torch_dtype"] = dtype or config.param_dtype
    params = checkpoint.load_params(
        str(folder), config, make_mesh(mesh or MeshConfig(data=1, fsdp=-1)), step
    )
    partial_run.refuse_prompt(params, run)
    beside = functools.partial(_write_beside, folder=folder, like=like, written=written)
    card = model_card.text(folder, step, config, written["model_type"])
    write_folder(target, config, params, written, dtype, shard_bytes, report, beside, card)


def write_folder(
    target: str | Path,
    config: ModelConfig,
    params: Params,
    config_json: dict[str, Any],
    dtype: str | None = None,
    shard_bytes: int = SHARD_BYTES,
    report: weights.Report = lambda path, size: None,
    beside: Callable[[Path], None] = lambda folder: None,
    card: str = "",
) -> None:
    """Writes a Hugging Face folder aside, and renames it when it is complete.

    Args:
      target: local folder, which must not exist.
      config: the model.
      params: its parameters, on any mesh.
      config_json: content of its `config.json`.
      dtype: "float32" or "bfloat16"; None for that of the parameters.
      shard_bytes: most bytes in a file.
      report: called with each tensor's name and bytes.
      beside: writes further files into the folder that it is given.
      card: the model card.

    Raises:
      ConversionError: the target exists, or is remote.
    """
    target = new_folder(target)
    writes = jax.process_index() == 0
    aside = target.parent / f".{target.name}.{os.getpid()}.part"
    if writes:
        aside.mkdir(parents=True)
    try:
        with storage.disk_full_explained(target):
            numbers = weights.DTYPES[dtype] if dtype else jax.tree.leaves(params)[0].dtype
            if writes:
                writer = TensorWriter(aside, tensor_names.names(config), numbers, shard_bytes)
            for name, tensor in weights.tensors(config, params, numbers):
                if writes:
                    writer.add(name, tensor)
                report(name, tensor.nbytes)
            if writes:
                writer.close()
                _write_json(aside / CONFIG, config_json)
                beside(aside)
                (aside / "README.md").write_text(card)
                os.rename(aside, target)
    finally:
        if writes:
            shutil.rmtree(aside, ignore_errors=True)


def _write_beside(
    aside: Path, folder: Any, like: str | Path | None, written: dict[str, Any]
) -> None:
    """Writes the generation configuration and the tokenizer."""
    tokens = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
    _write_json(aside / GENERATION, {name: written[name] for name in tokens if name in written})
    for name in [*_TOKENIZER, GENERATION] if like else []:
        if (Path(like) / name).exists():
            shutil.copyfile(Path(like) / name, aside / name)
    facts = run_folder.read_run(folder)["vocabulary"]
    kept = storage.path(folder) / run_folder.vocabulary_file(facts)
    if like or not kept.exists():
        return
    if not facts.get("special"):
        (aside / "spiece.model").write_bytes(kept.read_bytes())
        return
    (aside / "tokenizer.json").write_bytes(kept.read_bytes())
    vocabulary = vocabularies.from_facts(facts, str(kept))
    _write_json(aside / "tokenizer_config.json", _tokenizer_config(vocabulary))


def _tokenizer_config(vocabulary: TokenizerVocabulary) -> dict[str, Any]:
    """What transformers asks beside a tokenizer.json: its special tokens, by text."""
    special = vocabulary.special
    ids = {"bos_token": special.bos, "eos_token": special.eos, "pad_token": special.pad}
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_bos_token": bool(special.begins),
        "add_eos_token": bool(special.ends),
        **{name: vocabulary.pieces([token])[0] for name, token in ids.items() if token is not None},
    }


def _special_tokens(
    config: ModelConfig, original: dict[str, Any], vocabulary: dict[str, Any]
) -> dict[str, Any]:
    """Special ids and sizes: those of the original, or those that our data has."""
    if original:
        return {name: original[name] for name in _KEPT if original.get(name) is not None}
    if special := vocabulary.get("special"):
        ids = {f"{name}_token_id": special[name] for name in ("bos", "eos", "pad")}
        return {name: token for name, token in ids.items() if token is not None}
    # Our decoder inputs begin with padding (`model.decoding`).
    start = "decoder_start_token_id" if config.encoder_layers else "bos_token_id"
    return {start: PAD_ID, "pad_token_id": PAD_ID, "eos_token_id": EOS_ID}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise ConversionError(
            f"there is no {path}: expected a local Hugging Face folder"
        ) from error
    except ValueError as error:
        raise ConversionError(f"{path} is damaged: {error}") from error


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")
