"""Small Hugging Face models of every family, with random weights, for the tests of `interop`.

They need torch and transformers, which flan_jax does not: `pip install -e '.[hf]' torch` (on Linux,
`pip install torch --index-url https://download.pytorch.org/whl/cpu` gives the smaller CPU build).
Written with torch 2.13.0 and transformers 5.23.0.
"""

import json
from pathlib import Path

VOCAB = 96
_T5 = dict(
    vocab_size=VOCAB, d_model=32, d_ff=48, d_kv=8, num_layers=2, num_decoder_layers=3, num_heads=4,
    decoder_start_token_id=0,
)  # fmt: skip
_DECODER = dict(
    vocab_size=VOCAB, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2, rms_norm_eps=1e-5, max_position_embeddings=256,
    pad_token_id=0, bos_token_id=2, eos_token_id=1,
)  # fmt: skip
_LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64, "rope_theta": 500.0,
}  # fmt: skip
_GEMMA = _DECODER | dict(
    num_hidden_layers=3, head_dim=16, query_pre_attn_scalar=12, sliding_window=5
)
# Name -> model_type and the arguments of its configuration. Windows are shorter than the rows.
MODELS = {
    "t5_1_0": ("t5", _T5 | dict(feed_forward_proj="relu")),
    "t5_1_1": ("t5", _T5 | dict(feed_forward_proj="gated-gelu", tie_word_embeddings=False)),
    "mt5": ("mt5", _T5 | dict(feed_forward_proj="gated-gelu", tie_word_embeddings=False)),
    "umt5": ("umt5", _T5 | dict(feed_forward_proj="gated-gelu")),
    "umt5_untied": ("umt5", _T5 | dict(feed_forward_proj="gated-gelu", tie_word_embeddings=False)),
    "llama2": ("llama", _DECODER | dict(num_key_value_heads=4)),
    "llama3": ("llama", _DECODER | dict(rope_parameters=_LLAMA3, tie_word_embeddings=True)),
    "mistral": ("mistral", _DECODER | dict(sliding_window=6, head_dim=16)),
    "qwen2": ("qwen2", _DECODER | dict(tie_word_embeddings=True)),
    "qwen3": ("qwen3", _DECODER | dict(head_dim=16)),
    "gemma2": (
        "gemma2",
        _GEMMA | dict(attn_logit_softcapping=2.0, final_logit_softcapping=3.0),
    ),
    "gemma3": (
        "gemma3_text",
        _GEMMA | dict(layer_types=["sliding_attention", "sliding_attention", "full_attention"]),
    ),
    # As published from 4B on, with eyes, which are left out, and all layers stretched.
    "gemma3_vision": (
        "gemma3",
        dict(
            text_config=_GEMMA
            | dict(
                layer_types=["sliding_attention", "sliding_attention", "full_attention"],
                rope_scaling={"rope_type": "linear", "factor": 8.0},
            ),
            vision_config=dict(
                hidden_size=16,
                intermediate_size=16,
                num_hidden_layers=1,
                num_attention_heads=2,
                image_size=28,
                patch_size=14,
            ),
            mm_tokens_per_image=4,
        ),
    ),
}


def save(name: str, folder: Path) -> None:
    """Writes one model, as transformers writes it, with no weight at a symmetric point."""
    import torch
    import transformers

    family, arguments = MODELS[name]
    config = transformers.AutoConfig.for_model(family, **arguments)
    is_t5 = family in ("t5", "mt5", "umt5")
    auto = transformers.AutoModelForSeq2SeqLM if is_t5 else transformers.AutoModelForCausalLM
    model = auto.from_config(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim == 1:
                parameter += 0.2 * noise
            else:
                parameter.copy_(noise * parameter.shape[-1] ** -0.5)
    model.save_pretrained(folder)
    if is_t5 and arguments.get("tie_word_embeddings") is False:
        _untie(folder, generator)


def _untie(folder: Path, generator) -> None:
    """Gives a T5 an output layer of its own, as published ones of version 1.1 have.

    transformers 5.23 ties those of a fresh model whatever its configuration says, and keeps apart
    those of a checkpoint that has both.
    """
    import torch
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    noise = torch.randn(weights["shared.weight"].shape, generator=generator)
    weights["lm_head.weight"] = noise * noise.shape[1] ** -0.5
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config |= {"tie_word_embeddings": False}
    config.pop("scale_decoder_outputs", None)
    (folder / "config.json").write_text(json.dumps(config))


def load(name: str, folder: Path):
    """Loads a folder with transformers, in float32 on the CPU."""
    import torch
    import transformers

    is_t5 = MODELS[name][0] in ("t5", "mt5", "umt5")
    auto = transformers.AutoModelForSeq2SeqLM if is_t5 else transformers.AutoModelForCausalLM
    model = auto.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32)
    # Greedy generation goes on to the end, so that all steps are compared.
    model.generation_config.eos_token_id = None
    return model.eval()
