"""The families of models: `config.json` of Hugging Face to our configuration and back.

A family is a pair of functions. Facts are those of the configuration and modelling files in
transformers 5.23; `config.json` of the published models has the names of older versions, which the
new ones read as well, so these are what is written.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from flan_jax.model.config import ModelConfig

Json = dict[str, Any]


class FamilyError(ValueError):
    """A model that is of no known family, or has a feature that the other side lacks."""


class Family(NamedTuple):
    """How one `model_type` of Hugging Face is read and written.

    Attributes:
      kind: the architecture that its models have here.
      architecture: name of its class in transformers.
      read: function from the content of `config.json` to our configuration.
      write: function from our configuration to the content of `config.json`; what it cannot say is
        found by reading it again (`config_json`).
    """

    kind: str
    architecture: str
    read: Callable[[Mapping], ModelConfig]
    write: Callable[[ModelConfig], Json]


# ---- T5, mT5, umT5 -----------------------------------------------------------------------

_T5_MLP = {"relu": "relu", "gated-gelu": "gated_gelu"}


def _read_t5(family: str, hf: Mapping) -> ModelConfig:
    # T5 1.0 has no such entry; mT5's published weights are never tied; versions from 5 on
    # write that everything is tied and keep the truth in `scale_decoder_outputs`.
    tied = hf.get("scale_decoder_outputs", hf.get("tie_word_embeddings", True) is not False)
    layers = hf.get("num_layers", 6 if family == "t5" else 8)
    decoder_layers = hf.get("num_decoder_layers") or layers
    dropout = float(hf.get("dropout_rate", 0.1))
    activation = hf.get("feed_forward_proj", "relu" if family == "t5" else "gated-gelu")
    return ModelConfig(
        architecture="encoder_decoder",
        vocab_size=hf["vocab_size"],
        d_model=hf["d_model"],
        d_ff=hf["d_ff"],
        num_layers=decoder_layers,
        num_encoder_layers=None if decoder_layers == layers else layers,
        num_heads=hf["num_heads"],
        head_dim=hf["d_kv"],
        mlp=_choice(family, "feed_forward_proj", activation, _T5_MLP),
        positions="relative_bias_per_layer" if family == "umt5" else "relative_bias",
        relative_buckets=hf.get("relative_attention_num_buckets", 32),
        relative_max_distance=hf.get("relative_attention_max_distance", 128),
        tie_embeddings=bool(tied) and family != "mt5",
        norm_epsilon=hf.get("layer_norm_epsilon", 1e-6),
        dropout_rate=dropout,
        attention_dropout_rate=dropout,
    )


def _write_t5(config: ModelConfig) -> Json:
    activations = {ours: theirs for theirs, ours in _T5_MLP.items()}
    return {
        "is_encoder_decoder": True,
        "vocab_size": config.vocab_size,
        "d_model": config.d_model,
        "d_ff": config.d_ff,
        "num_layers": config.encoder_layers,
        "num_decoder_layers": config.num_layers,
        "num_heads": config.num_heads,
        "d_kv": config.head_dim,
        "feed_forward_proj": activations.get(config.mlp, "gated-gelu"),
        "relative_attention_num_buckets": config.relative_buckets,
        "relative_attention_max_distance": config.relative_max_distance,
        "tie_word_embeddings": config.tie_embeddings,
        "layer_norm_epsilon": config.norm_epsilon,
        "dropout_rate": config.dropout_rate,
    }


# ---- Llama, Mistral, Qwen, Gemma -----------------------------------------------------------


def _read_shared(family: str, hf: Mapping, **fields: Any) -> ModelConfig:
    """Reads what all decoder-only families have; `fields` are those of the family."""
    for name in ("attention_bias", "mlp_bias", "use_bidirectional_attention"):
        if hf.get(name):
            raise FamilyError(f"{family}: config.json has {name}={hf[name]!r}, which is not known")
    heads = hf["num_attention_heads"]
    dropout = float(hf.get("attention_dropout", 0.0))
    return ModelConfig(
        architecture="decoder_only",
        vocab_size=hf["vocab_size"],
        d_model=hf["hidden_size"],
        d_ff=hf["intermediate_size"],
        num_layers=hf["num_hidden_layers"],
        num_heads=heads,
        num_kv_heads=hf.get("num_key_value_heads") or heads,
        head_dim=hf.get("head_dim") or hf["hidden_size"] // heads,
        positions="rope",
        norm_epsilon=hf.get("rms_norm_eps", 1e-6),
        attention_dropout_rate=dropout,
        **fields,
    )


def _write_shared(config: ModelConfig) -> Json:
    written = {
        "is_encoder_decoder": False,
        "vocab_size": config.vocab_size,
        "hidden_size": config.d_model,
        "intermediate_size": config.d_ff,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "rms_norm_eps": config.norm_epsilon,
        "attention_dropout": config.attention_dropout_rate,
        "tie_word_embeddings": config.tie_embeddings,
        "rope_theta": config.rope_theta,
    }
    if config.rope_scaling != "none":
        written["rope_scaling"] = {"rope_type": config.rope_scaling, "factor": config.rope_factor}
    if config.rope_scaling == "llama3":
        written["rope_scaling"] |= {
            "low_freq_factor": config.rope_low_factor,
            "high_freq_factor": config.rope_high_factor,
            "original_max_position_embeddings": config.rope_original_length,
        }
    return written


def _read_rope(family: str, hf: Mapping, theta: float = 10_000.0) -> Json:
    """Reads the rotary embedding of layers without a window, in the older or the newer form."""
    newer = hf.get("rope_parameters") or {}
    newer = newer.get("full_attention", newer)
    fields = newer or hf.get("rope_scaling") or {}
    kind = fields.get("rope_type", fields.get("type", "default"))
    kinds = {"default": "none", "linear": "linear", "llama3": "llama3"}
    read = {
        "rope_theta": float(newer.get("rope_theta", hf.get("rope_theta", theta))),
        "rope_scaling": _choice(family, "rope_type", kind, kinds),
    }
    if kind != "default":
        read["rope_factor"] = float(fields["factor"])
    if kind == "llama3":
        read["rope_low_factor"] = float(fields["low_freq_factor"])
        read["rope_high_factor"] = float(fields["high_freq_factor"])
        read["rope_original_length"] = fields["original_max_position_embeddings"]
    return read


def _read_llama(family: str, hf: Mapping) -> ModelConfig:
    _choice(family, "hidden_act", hf.get("hidden_act", "silu"), {"silu": "silu"})
    if family in ("qwen2", "qwen3"):
        windows = hf.get("use_sliding_window") and hf.get("sliding_window")
        if windows and hf.get("max_window_layers", 28) < hf["num_hidden_layers"]:
            raise FamilyError(f"{family}: sliding windows in the upper layers are not known")
    return _read_shared(
        family,
        hf,
        mlp="swiglu",
        scaling="standard",
        tie_embeddings=hf.get("tie_word_embeddings", False),
        sliding_window=hf.get("sliding_window", 4096) if family == "mistral" else None,
        qkv_bias=family == "qwen2",
        qk_norm=family == "qwen3",
        **_read_rope(family, hf),
    )


def _write_llama(config: ModelConfig) -> Json:
    return _write_shared(config) | {"hidden_act": "silu"}


def _write_mistral(config: ModelConfig) -> Json:
    return _write_llama(config) | {"sliding_window": config.sliding_window}


def _write_qwen(config: ModelConfig) -> Json:
    return _write_llama(config) | {"use_sliding_window": False}


def _read_gemma(family: str, hf: Mapping) -> ModelConfig:
    activation = hf.get("hidden_activation") or "gelu_pytorch_tanh"
    _choice(family, "hidden_activation", activation, {"gelu_pytorch_tanh": "gated_gelu"})
    every, theta = (2, 10_000.0) if family == "gemma2" else (6, 1_000_000.0)
    local = None
    if family == "gemma3_text":
        newer = (hf.get("rope_parameters") or {}).get("sliding_attention") or {}
        local = float(newer.get("rope_theta", hf.get("rope_local_base_freq", 10_000.0)))
    layers = hf["num_hidden_layers"]
    every = hf.get("sliding_window_pattern", every)
    kinds = hf.get("layer_types") or _layer_types(layers, every)
    gemma2 = family == "gemma2"
    cap = hf.get("attn_logit_softcapping", 50.0 if gemma2 else None)
    if cap and not gemma2:
        raise FamilyError(f"{family}: attn_logit_softcapping={cap} is not known")
    return _read_shared(
        family,
        {"head_dim": 256, "num_key_value_heads": 4} | dict(hf),
        mlp="gated_gelu",
        scaling="original",
        query_scaling_dim=hf.get("query_pre_attn_scalar", 256),
        sliding_window=hf.get("sliding_window", 4096),
        global_every=_global_every(family, kinds),
        rope_theta_local=local,
        qk_norm=family == "gemma3_text",
        post_norms=True,
        zero_centered_norm=True,
        attention_softcap=cap,
        logit_softcap=hf.get("final_logit_softcapping", 30.0 if gemma2 else None),
        tie_embeddings=hf.get("tie_word_embeddings", True),
        **_read_rope(family, hf, theta),
    )


def _write_gemma2(config: ModelConfig) -> Json:
    return _write_shared(config) | {
        "hidden_activation": "gelu_pytorch_tanh",
        "hidden_act": "gelu_pytorch_tanh",  # what vLLM and older versions read
        "query_pre_attn_scalar": config.query_scaling_dim or config.head_dim,
        "sliding_window": config.sliding_window,
        "layer_types": _layer_types(config.num_layers, config.global_every or 10**9),
        "attn_logit_softcapping": config.attention_softcap,
        "final_logit_softcapping": config.logit_softcap,
    }


def _write_gemma3(config: ModelConfig) -> Json:
    written = _write_gemma2(config)
    del written["attn_logit_softcapping"]
    return written | {
        "rope_local_base_freq": config.rope_theta_local or config.rope_theta,
        "sliding_window_pattern": config.global_every or config.num_layers + 1,
    }


def _layer_types(layers: int, every: int) -> list[str]:
    kinds = ("full_attention", "sliding_attention")
    return [kinds[layer % every != 0] for layer in range(1, layers + 1)]


def _global_every(family: str, kinds: Sequence[str]) -> int | None:
    """Reads `layer_types`; None if no layer is without the window."""
    if "full_attention" not in kinds:
        return None
    every = kinds.index("full_attention") + 1
    if list(kinds) != _layer_types(len(kinds), every):
        raise FamilyError(
            f"{family}: expected every n-th entry of layer_types to be 'full_attention' and the "
            f"others 'sliding_attention', got {list(kinds)}"
        )
    return every


def _choice(family: str, name: str, value: str, known: Mapping[str, str]) -> str:
    if value not in known:
        raise FamilyError(f"{family}: {name}={value!r} is not known; known are {', '.join(known)}")
    return known[value]


# ---- all of them -------------------------------------------------------------------------


def _family(name: str, architecture: str, read: Callable, write: Callable) -> Family:
    kind = "encoder_decoder" if read is _read_t5 else "decoder_only"
    return Family(kind, architecture, lambda hf: read(name, hf), write)


# By `model_type`. In the order in which a family is looked for that can express a model.
FAMILIES = {
    "t5": _family("t5", "T5ForConditionalGeneration", _read_t5, _write_t5),
    "mt5": _family("mt5", "MT5ForConditionalGeneration", _read_t5, _write_t5),
    "umt5": _family("umt5", "UMT5ForConditionalGeneration", _read_t5, _write_t5),
    "llama": _family("llama", "LlamaForCausalLM", _read_llama, _write_llama),
    "mistral": _family("mistral", "MistralForCausalLM", _read_llama, _write_mistral),
    "qwen2": _family("qwen2", "Qwen2ForCausalLM", _read_llama, _write_qwen),
    "qwen3": _family("qwen3", "Qwen3ForCausalLM", _read_llama, _write_qwen),
    "gemma2": _family("gemma2", "Gemma2ForCausalLM", _read_gemma, _write_gemma2),
    "gemma3_text": _family("gemma3_text", "Gemma3ForCausalLM", _read_gemma, _write_gemma3),
}


def read_config(hf: Mapping) -> tuple[str, ModelConfig]:
    """Returns the family and our configuration for the content of a `config.json`.

    Args:
      hf: the parsed file.

    Raises:
      FamilyError: the family, or a feature of the model, is not known.
    """
    family = hf.get("model_type")
    if family not in FAMILIES:
        raise FamilyError(f"config.json has model_type {family!r}; known are {', '.join(FAMILIES)}")
    try:
        return family, FAMILIES[family].read(hf)
    except KeyError as error:
        raise FamilyError(f"{family}: config.json lacks {error}") from error


def config_json(config: ModelConfig, family: str | None = None) -> Json:
    """Returns the `config.json` of a model.

    Args:
      config: the model.
      family: a key of `FAMILIES`; None for the first one that can express the model.

    Raises:
      FamilyError: no family, or not this one, computes what the model does; it says what differs.
    """
    if family is not None and family not in FAMILIES:
        raise FamilyError(f"there is no family {family!r}; known are {', '.join(FAMILIES)}")
    differing = {}
    for name in [family] if family else FAMILIES:
        if FAMILIES[name].kind != config.architecture:
            differing[name] = [f"ModelConfig.architecture, {config.architecture!r} here"]
            continue
        written = {"model_type": name, "architectures": [FAMILIES[name].architecture]}
        written |= FAMILIES[name].write(config)
        differing[name] = differences(config, FAMILIES[name].read(written))
        if not differing[name]:
            return written
    of_kind = [name for name in differing if FAMILIES[name].kind == config.architecture]
    nearest = min(of_kind or differing, key=lambda name: len(differing[name]))
    raise FamilyError(
        f"no Hugging Face family computes what this model does; {nearest!r} differs in "
        + ", ".join(differing[nearest])
    )


def differences(ours: ModelConfig, theirs: ModelConfig) -> list[str]:
    """Returns what two models compute differently, in words; nothing if they are the same."""
    ours, theirs = _canonical(ours), _canonical(theirs)
    return [
        f"ModelConfig.{field.name} ({getattr(ours, field.name)!r} here, "
        f"{getattr(theirs, field.name)!r} there)"
        for field in dataclasses.fields(ModelConfig)
        if getattr(ours, field.name) != getattr(theirs, field.name)
    ]


# Fields that do not change what a model computes from its weights, apart from rounding.
_NOT_THE_FUNCTION = (
    "dropout_rate", "attention_dropout_rate", "dtype", "param_dtype", "remat", "scan_layers",
)  # fmt: skip
_OF_ROPE = (
    "rope_theta", "rope_theta_local", "rope_scaling", "rope_factor", "rope_low_factor",
    "rope_high_factor", "rope_original_length",
)  # fmt: skip
_OF_SCALING = {"none": _OF_ROPE[3:], "linear": _OF_ROPE[4:], "llama3": ()}


def _canonical(config: ModelConfig) -> ModelConfig:
    """Resolves defaults, and sets fields that have no effect to them."""
    defaults = {field.name: field.default for field in dataclasses.fields(ModelConfig)}
    ignored = [*_NOT_THE_FUNCTION, *_OF_SCALING[config.rope_scaling]]
    if config.positions == "rope":
        ignored += ["relative_buckets", "relative_max_distance"]
    else:
        ignored += _OF_ROPE
    every = config.global_every
    if every is not None and every > config.num_layers:
        every = None
    one_base = config.rope_theta_local == config.rope_theta and config.rope_scaling == "none"
    if config.sliding_window is None or one_base:
        ignored.append("rope_theta_local")
    resolved = {
        "num_kv_heads": config.kv_heads,
        "num_encoder_layers": config.encoder_layers or None,
        "global_every": every,
        "query_scaling_dim": None
        if config.scaling == "t5"
        else config.query_scaling_dim or config.head_dim,
    }
    return dataclasses.replace(config, **resolved, **{name: defaults[name] for name in ignored})
