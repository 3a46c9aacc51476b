"""The configuration of a transformer."""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Shape and numerics of one transformer; hashable, so that `jax.jit` takes it as static.

    Attributes:
      architecture: an encoder with a decoder (T5) or a decoder alone.
      vocab_size: rows of the embedding table; may exceed the vocabulary (T5: 32,128 for 32,100).
      d_model: width of the residual stream.
      d_ff: width of the feed-forward layers.
      num_layers: decoder layers.
      num_heads: query heads.
      head_dim: width of one head; `num_heads * head_dim` need not equal `d_model`.
      num_encoder_layers: encoder layers; None means as many as the decoder has.
      num_kv_heads: key and value heads, shared by groups of query heads (grouped-query
        attention, Ainslie et al. 2023); None means one for each query head.
      mlp: feed-forward layer: "relu" (T5 1.0), "gated_gelu" (T5 1.1) or "swiglu" (Shazeer 2020).
      positions: "relative_bias" (T5, one table shared by the layers of a stack),
        "relative_bias_per_layer" (umT5, Chung et al. 2023: a table in each layer) or "rope" (Su et
        al. 2021).
      scaling: where scales are kept: in initial values, or in the computation. The functions are
        much the same, but Adam moves every parameter alike, however large it is, so that small
        ones behind a factor learn faster.
        "t5" (Raffel et al. 2020): attention is not divided by sqrt(head_dim), the initial queries
        are smaller instead; embeddings start at unit variance; tied output logits are multiplied
        by d_model**-0.5.
        "original" (Vaswani et al. 2017, sections 3.2 and 3.4): attention is divided by
        sqrt(head_dim); embeddings start at variance 1 / d_model and are multiplied by
        sqrt(d_model) when they are looked up, not in the output (Gemma as well).
        "standard" (Llama): as "original", but embeddings are never multiplied.
      query_scaling_dim: attention is divided by its square root instead of that of `head_dim`
        (Gemma 2 27B: 144); None means `head_dim`. Not for the scaling "t5".
      relative_buckets: rows of the relative position table.
      relative_max_distance: distance in tokens from which all positions share the last bucket.
      rope_theta: base of the rotary frequencies.
      rope_theta_local: base in layers with a sliding window (Gemma 3), which `rope_scaling` then
        leaves alone; None means that they are as the others.
      rope_scaling: how a model was stretched to rows longer than it was first trained on: "none",
        "linear" (all frequencies are divided by `rope_factor`, Chen et al. 2023) or "llama3" (the
        low ones are; Grattafiori et al. 2024, section 3.4.3 and the code published with it).
      rope_factor: divides the frequencies that are scaled.
      rope_low_factor: "llama3" divides frequencies that turn less often than this in
        `rope_original_length` tokens.
      rope_high_factor: "llama3" leaves frequencies alone that turn more often than this in
        `rope_original_length` tokens, and interpolates between the two.
      rope_original_length: tokens in a row before the model was stretched.
      sliding_window: decoder-only: tokens that a position attends to, itself and those before it
        (Beltagy et al. 2020); None for all.
      global_every: with a sliding window, the last of this many layers attends to all tokens
        (Gemma 2: 2; Gemma 3: 6); None if none does.
      qkv_bias: queries, keys and values have a bias (Qwen 2.5).
      qk_norm: the heads of queries and keys are normalised (Dehghani et al. 2023; Qwen 3, Gemma 3).
      post_norms: the output of a sublayer is normalised before it is added (Gemma 2 and 3).
      zero_centered_norm: norms multiply by 1 + their parameter (Gemma), which starts at zero.
      attention_softcap: attention logits are kept within this bound by cap * tanh(logits / cap)
        (Gemma 2); None for no bound.
      logit_softcap: the same for the logits of the vocabulary.
      tie_embeddings: the output layer is the transposed embedding table.
      prefix_lm: decoder-only: `Batch.decoder_prefix` is attended to in both directions.
      norm_epsilon: added to the mean square in RMSNorm.
      dropout_rate: of embeddings, sublayer outputs, feed-forward activations and the last
        hidden states, where `apply` is given a key.
      attention_dropout_rate: of attention probabilities, likewise (T5 has it at `dropout_rate`).
      dtype: of activations and matrix products; softmax, norms and logits are always float32.
      param_dtype: of the stored parameters; bfloat16 ones are rounded stochastically when they are
        trained (`train.rounding`).
      remat: what the backward pass recomputes, from the most kept to the least: "none",
        "dots_attention" (all but matrix products with parameters and the outputs of attention),
        "dots" (all but matrix products with parameters), "attention" (all but the input of each
        layer and the outputs of attention) or "full" (all but the input of each layer).
      scan_layers: compile one layer and loop over the stack (compile time independent of depth)
        rather than unroll it. The parameters are the same.
    """

    architecture: Literal["encoder_decoder", "decoder_only"]
    vocab_size: int
    d_model: int
    d_ff: int
    num_layers: int
    num_heads: int
    head_dim: int
    num_encoder_layers: int | None = None
    num_kv_heads: int | None = None
    mlp: Literal["relu", "gated_gelu", "swiglu"] = "gated_gelu"
    positions: Literal["relative_bias", "relative_bias_per_layer", "rope"] = "relative_bias"
    scaling: Literal["t5", "original", "standard"] = "t5"
    query_scaling_dim: int | None = None
    relative_buckets: int = 32
    relative_max_distance: int = 128
    rope_theta: float = 10_000.0
    rope_theta_local: float | None = None
    rope_scaling: Literal["none", "linear", "llama3"] = "none"
    rope_factor: float = 1.0
    rope_low_factor: float = 1.0
    rope_high_factor: float = 4.0
    rope_original_length: int = 8192
    sliding_window: int | None = None
    global_every: int | None = None
    qkv_bias: bool = False
    qk_norm: bool = False
    post_norms: bool = False
    zero_centered_norm: bool = False
    attention_softcap: float | None = None
    logit_softcap: float | None = None
    tie_embeddings: bool = False
    prefix_lm: bool = False
    norm_epsilon: float = 1e-6
    dropout_rate: float = 0.0
    attention_dropout_rate: float = 0.0
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    param_dtype: Literal["bfloat16", "float32"] = "float32"
    remat: Literal["none", "dots_attention", "dots", "attention", "full"] = "none"
    scan_layers: bool = True

    def __post_init__(self):
        for field, choices in _CHOICES.items():
            value = getattr(self, field)
            if value not in choices:
                raise ValueError(
                    f"ModelConfig.{field}: expected one of {', '.join(choices)}, got {value!r}."
                )
        for field in _POSITIVE:
            value = getattr(self, field)
            if value is not None and value < 1:
                raise ValueError(f"ModelConfig.{field}: expected at least 1, got {value}.")
        for field in ("dropout_rate", "attention_dropout_rate"):
            if not 0 <= getattr(self, field) < 1:
                raise ValueError(
                    f"ModelConfig.{field}: expected 0 <= rate < 1, got {getattr(self, field)}."
                )
        if self.num_heads % self.kv_heads:
            raise ValueError(
                f"ModelConfig.num_kv_heads={self.kv_heads} does not divide "
                f"num_heads={self.num_heads}; each key head serves equally many query heads."
            )
        if self.positions == "rope" and self.head_dim % 2:
            raise ValueError(f"ModelConfig.head_dim={self.head_dim} must be even for rope.")
        self._check_combinations()

    def _check_combinations(self) -> None:
        """Raises a ValueError for fields that contradict each other."""
        if self.architecture == "encoder_decoder" and self.sliding_window is not None:
            raise ValueError("ModelConfig.sliding_window is for decoder_only models.")
        if self.global_every is not None and self.sliding_window is None:
            raise ValueError(
                f"ModelConfig.global_every={self.global_every} says which layers are without the "
                "sliding window, but there is none; set ModelConfig.sliding_window too."
            )
        if self.query_scaling_dim is not None and self.scaling == "t5":
            raise ValueError(
                "ModelConfig.query_scaling_dim: attention is never divided with scaling='t5'."
            )
        if self.architecture == "encoder_decoder" and self.prefix_lm:
            raise ValueError(
                "ModelConfig.prefix_lm is for decoder_only models; the encoder of an "
                "encoder_decoder already attends in both directions."
            )
        if self.architecture == "decoder_only" and self.num_encoder_layers is not None:
            raise ValueError(
                f"ModelConfig.num_encoder_layers={self.num_encoder_layers}, but the architecture "
                "is decoder_only; leave it out."
            )

    @property
    def kv_heads(self) -> int:
        """Key and value heads, resolved."""
        return self.num_heads if self.num_kv_heads is None else self.num_kv_heads

    @property
    def encoder_layers(self) -> int:
        """Encoder layers, resolved; 0 for decoder-only models."""
        if self.architecture == "decoder_only":
            return 0
        return self.num_layers if self.num_encoder_layers is None else self.num_encoder_layers


_CHOICES = {
    "architecture": ("encoder_decoder", "decoder_only"),
    "mlp": ("relu", "gated_gelu", "swiglu"),
    "positions": ("relative_bias", "relative_bias_per_layer", "rope"),
    "scaling": ("t5", "original", "standard"),
    "rope_scaling": ("none", "linear", "llama3"),
    "dtype": ("bfloat16", "float32"),
    "param_dtype": ("bfloat16", "float32"),
    "remat": ("none", "dots_attention", "dots", "attention", "full"),
}
_POSITIVE = (
    "vocab_size",
    "d_model",
    "d_ff",
    "num_layers",
    "num_heads",
    "head_dim",
    "num_encoder_layers",
    "num_kv_heads",
    "relative_max_distance",
    "query_scaling_dim",
    "rope_original_length",
    "sliding_window",
    "global_every",
)
