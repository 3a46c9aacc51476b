"""The language model in a Hugging Face folder that holds more: Gemma 3 with its eyes.

From 4B on, Gemma 3 is published with a vision tower. Its language model is a `gemma3_text` like
that of 1B; the other tensors are left out, and what is exported is the language model alone. Facts
from transformers 5.23 (`Gemma3Config`, `Gemma3TextConfig` and the renamings of "llava" in
`conversion_mapping.py`).
"""

import re
from collections.abc import Mapping
from typing import Any

# By `model_type`: that of the part, the entry that holds its configuration, and what this may lack.
_PARTS = {
    "gemma3": (
        "gemma3_text",
        "text_config",
        {"vocab_size": 262_208, "num_attention_heads": 8, "num_key_value_heads": 4},
    )
}
# Published files have the older names, files that transformers 5 writes the newer.
_NAME = re.compile(
    r"(?:language_model\.(?P<older>(?:model|lm_head)\..+)"
    r"|model\.language_model\.(?P<newer>.+)"
    r"|(?P<head>lm_head\..+))"
)
_REST = re.compile(r"(?:model\.)?(?:vision_tower|multi_modal_projector)\..+")


def config_of(hf: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the part of a `config.json` that describes a language model.

    Args:
      hf: the parsed file; returned as it is if the whole is a language model.
    """
    if hf.get("model_type") not in _PARTS:
        return hf
    family, entry, defaults = _PARTS[hf["model_type"]]
    own = {name: hf[name] for name in hf if name.endswith("token_id")}
    return {**own, **defaults, **hf.get(entry, {}), "model_type": family}


def name_of(hf: Mapping[str, Any], name: str) -> str | None:
    """Returns the name that a tensor has in the language model alone.

    Args:
      hf: content of the whole model's `config.json`.
      name: the tensor's name in the file.

    Returns:
      None for a tensor of another part; what is of no known part keeps its name.

    Example: `name_of({"model_type": "gemma3"}, "language_model.model.norm.weight")` is
    `"model.norm.weight"`.
    """
    if hf.get("model_type") not in _PARTS:
        return name
    if _REST.fullmatch(name):
        return None
    found = _NAME.fullmatch(name)
    if found is None:
        return name
    return f"model.{found['newer']}" if found["newer"] else found["older"] or found["head"]
