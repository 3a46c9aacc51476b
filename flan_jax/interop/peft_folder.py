"""Adapter folders that `peft` loads: what was trained, without the weights it was trained beside.

    adapter_config.json          LoRA: rank, alpha, the modules that have an adapter
    adapter_model.safetensors    LoRA: base_model.model.<module>.lora_A.weight [R, I], lora_B [O, R]
                                 prompt tuning: prompt_embeddings [P, D]
    README.md                    the model card

Axes: L layers, I inputs and O outputs of a kernel, R rank, P vectors of a soft prompt, D width of
the model. Facts are those of peft 0.21: torch stores kernels as [out, in], so that A and B are
transposed, and the names of modules are those of the model's own class.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict
from safetensors.numpy import save_file

from flan_jax import storage
from flan_jax.interop import families, model_card, tensor_names, weights
from flan_jax.interop.imported import ConversionError, new_folder
from flan_jax.model import transformer
from flan_jax.model.config import ModelConfig
from flan_jax.model.layers import Params
from flan_jax.model.lora import LoraConfig, targeted
from flan_jax.model.soft_prompt import PromptTuningConfig
from flan_jax.parallel.mesh import MeshConfig, make_mesh
from flan_jax.train import partial_run, run_folder

CONFIG, TENSORS = "adapter_config.json", "adapter_model.safetensors"
_TASKS = {"encoder_decoder": "SEQ_2_SEQ_LM", "decoder_only": "CAUSAL_LM"}


def export_folder(
    run: str,
    target: str | Path,
    base_model: str = "",
    family: str | None = None,
    dtype: str | None = None,
    mesh: MeshConfig | None = None,
) -> None:
    """Turns a run of LoRA or prompt tuning into an adapter folder, which appears when complete.

    Args:
      run: a run's folder, or a checkpoint in it.
      target: local folder to write; it must not exist.
      base_model: folder or name of the Hugging Face model that the base was imported from, which
        peft loads the adapter onto.
      family: `model_type` of that model; None for the first that fits.
      dtype: "float32" or "bfloat16"; None for that of the parameters.
      mesh: devices that the parameters go through; None for all along `fsdp`.

    Raises:
      ConversionError: the target exists or is remote, or the run trained all parameters.
      FamilyError: no family computes what the model does.
      RunFolderError: there is no such checkpoint.
    """
    folder, step = run_folder.locate(run)
    config = run_folder.read_model_config(folder)
    # The names of modules are those of a known family.
    family = families.config_json(config, family)["model_type"]
    record = partial_run.read(folder)
    if record is None:
        raise ConversionError(
            f"{run} trained all parameters: it has no adapter to write; export its weights instead"
        )
    adaptation = record[0]
    device_mesh = make_mesh(mesh or MeshConfig(data=1, fsdp=-1))
    trained = partial_run.load_trained(folder, step, adaptation, config, device_mesh)
    number = weights.DTYPES[dtype or config.param_dtype]
    if isinstance(adaptation, LoraConfig):
        tensors = adapter_tensors(config, trained, number)
        content = adapter_config(config, adaptation, base_model)
    else:
        tensors = {"prompt_embeddings": weights.on_host(trained["prompt"]).astype(number)}
        content = prompt_config(config, adaptation, base_model)
    card = model_card.text(folder, step, config, family, library="peft")
    target = new_folder(target)
    if jax.process_index() > 0:
        return
    aside = target.parent / f".{target.name}.{os.getpid()}.part"
    aside.mkdir(parents=True)
    try:
        with storage.disk_full_explained(target):
            save_file(tensors, aside / TENSORS, metadata={"format": "pt"})
            (aside / CONFIG).write_text(json.dumps(content, indent=2) + "\n")
            (aside / "README.md").write_text(card)
            os.rename(aside, target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def adapter_config(config: ModelConfig, lora: LoraConfig, base_model: str) -> dict[str, Any]:
    """Returns the content of `adapter_config.json`.

    Args:
      config: the model.
      lora: its adapters.
      base_model: folder or name of the Hugging Face model.
    """
    return {
        "peft_type": "LORA",
        "task_type": _TASKS[config.architecture],
        "base_model_name_or_path": base_model,
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout_rate,
        "target_modules": target_modules(config, lora),
        "bias": "none",
        "fan_in_fan_out": False,
        "modules_to_save": None,
        "init_lora_weights": True,
        "use_rslora": False,
        "use_dora": False,
        "inference_mode": True,
    }


def prompt_config(
    config: ModelConfig, prompt: PromptTuningConfig, base_model: str
) -> dict[str, Any]:
    """Returns the content of `adapter_config.json` for a soft prompt.

    Args:
      config: the model.
      prompt: its soft prompt.
      base_model: folder or name of the Hugging Face model.
    """
    return {
        "peft_type": "PROMPT_TUNING",
        "task_type": _TASKS[config.architecture],
        "base_model_name_or_path": base_model,
        "num_virtual_tokens": prompt.length,
        "token_dim": config.d_model,
        "num_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        # Of an encoder with a decoder, the encoder alone gets the prompt.
        "num_transformer_submodules": 1,
        "prompt_tuning_init": "RANDOM",
        "inference_mode": True,
    }


def target_modules(config: ModelConfig, lora: LoraConfig) -> list[str]:
    """Returns the modules that have an adapter: by last names, if these name no other, or in full.

    For instance ["q", "v"] for all queries and values of a T5.
    """
    rows = tensor_names.rows(config)
    counts = {path: leaf.shape[0] for path, leaf in _layers(config).items()}
    chosen = {"/".join(path) for path in targeted(lora, config)}
    last = {path: _module(rows[path].name).rpartition(".")[2] for path in counts}
    short = {last[path] for path in chosen}
    if {path for path in counts if last[path] in short} == chosen:
        return sorted(short)
    return sorted(
        _module(rows[path].name).format(layer) for path in chosen for layer in range(counts[path])
    )


def adapter_tensors(config: ModelConfig, trained: Params, dtype: np.dtype) -> dict[str, np.ndarray]:
    """Returns the tensors of an adapter by peft's names.

    Args:
      config: the model.
      trained: the adapters, on any mesh.
      dtype: of the tensors.
    """
    rows, tensors = tensor_names.rows(config), {}
    for (*path, part), leaf in flatten_dict(trained).items():
        module = _module(rows["/".join(path)].name)
        for layer, matrix in enumerate(weights.on_host(leaf)):
            name = f"base_model.model.{module.format(layer)}.lora_{part.upper()}.weight"
            tensors[name] = np.ascontiguousarray(matrix.T.astype(dtype))
    return tensors


def _layers(config: ModelConfig) -> dict[str, jax.ShapeDtypeStruct]:
    """The stacked kernels of a model by path, the only parameters that peft has modules for."""
    rows = tensor_names.rows(config)
    shapes = tensor_names.flatten(transformer.abstract(config))
    return {
        path: leaf
        for path, leaf in shapes.items()
        if rows[path].stacked and rows[path].stored == tensor_names.TRANSPOSED
    }


def _module(name: str) -> str:
    return name.removesuffix(".weight")
