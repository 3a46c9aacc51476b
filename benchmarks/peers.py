"""Models with random weights in torch and in flan_jax, for benchmarks side by side.

They need torch and transformers: see tests/small_hf_models.py.
"""

import dataclasses
import json
import platform
import resource
import sys
import time
from pathlib import Path

import jax

from flan_jax.interop import hugging_face, weights
from flan_jax.interop.safetensors_folder import TensorFolder
from flan_jax.parallel.mesh import MeshConfig, make_mesh

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import small_hf_models  # noqa: E402

VOCAB = 32_128
# The shape of google/t5-v1_1-small.
T5_SMALL = dict(
    vocab_size=VOCAB, d_model=512, d_ff=1024, d_kv=64, num_layers=8, num_decoder_layers=8,
    num_heads=6, feed_forward_proj="gated-gelu", decoder_start_token_id=0,
)  # fmt: skip
# A decoder of about the same size (no published model).
LLAMA_SMALL = dict(
    vocab_size=VOCAB, hidden_size=512, intermediate_size=1408, num_hidden_layers=8,
    num_attention_heads=8, num_key_value_heads=4, max_position_embeddings=2048,
    pad_token_id=0, bos_token_id=2, eos_token_id=1, tie_word_embeddings=False,
)  # fmt: skip
SHAPES = {"t5": T5_SMALL, "llama": LLAMA_SMALL}


def make(name: str, folder: Path, scales: dict[int, float] | None = None):
    """Makes a model in a folder; returns torch's, our configuration and our parameters.

    Args:
      name: "t5" or "llama".
      folder: an empty one.
      scales: what the output embeddings of some tokens are multiplied by; the output layer of a
        T5 is then its own, where else it is tied to the embeddings.
    """
    import torch
    import transformers
    from safetensors.torch import load_file, save_file

    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(name, **SHAPES[name])
    kind = "AutoModelForSeq2SeqLM" if name == "t5" else "AutoModelForCausalLM"
    made = getattr(transformers, kind).from_config(config)
    with torch.no_grad():
        for path, parameter in made.named_parameters():
            # T5 does not scale attention; without small queries rounding errors would grow.
            scale = made.config.d_kv**-0.5 if name == "t5" and ".q." in path else 1
            if "shared" in path or "embed_tokens" in path:
                scale = parameter.shape[-1] ** 0.5  # so that what follows depends on the last token
            if parameter.ndim > 1:
                parameter.copy_(torch.randn(parameter.shape) * parameter.shape[-1] ** -0.5 * scale)
    made.save_pretrained(folder)
    if scales:
        if name == "t5":
            small_hf_models._untie(folder, torch.Generator().manual_seed(0))
        tensors = load_file(folder / "model.safetensors")
        for token, scale in scales.items():
            tensors["lm_head.weight"][token] *= scale
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    del made
    model = getattr(transformers, kind).from_pretrained(folder, dtype=torch.float32).eval()
    _, ours = hugging_face.read_config(folder)
    ours = dataclasses.replace(ours, dtype="float32")
    mesh = make_mesh(MeshConfig(data=1), jax.devices()[:1])
    return model, ours, weights.read_params(TensorFolder(folder), ours, mesh)


def cpu_seconds(function):
    """Calls a function; returns what it returns and the CPU seconds of all threads."""
    start = time.process_time()
    result = function()
    return result, time.process_time() - start


def report(**facts) -> None:
    """Prints a JSON line."""
    facts |= {"machine": platform.processor() or platform.machine()}
    facts |= {"peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}
    print(json.dumps(facts), flush=True)
