"""Shapes of models, and batches for them, that benchmarks share.

Runs without TensorFlow, SeqIO and gin, on jax 0.10 to 0.12.
"""

import dataclasses

import numpy as np

from flan_jax.batch import Batch
from flan_jax.data.feed import FeedConfig
from flan_jax.model.config import ModelConfig

_T5 = ModelConfig(
    architecture="encoder_decoder", vocab_size=32128, d_model=512, d_ff=1024, num_layers=8,
    num_heads=6, head_dim=64,
)  # fmt: skip
_DECODER = ModelConfig(
    architecture="decoder_only", vocab_size=32128, d_model=2048, d_ff=8192, num_layers=16,
    num_heads=32, num_kv_heads=8, head_dim=64, mlp="swiglu", positions="rope", scaling="standard",
    rope_theta=500_000.0, remat="full",
)  # fmt: skip

# T5 1.1: google-research/text-to-text-transfer-transformer, released_checkpoints.md. The decoders
# are those of gin/models.
MODELS = {
    "t5_1_1_small": _T5,
    "t5_1_1_base": dataclasses.replace(_T5, d_model=768, d_ff=2048, num_layers=12, num_heads=12),
    "t5_1_1_large": dataclasses.replace(
        _T5, d_model=1024, d_ff=2816, num_layers=24, num_heads=16, remat="dots"
    ),
    "t5_1_1_xl": dataclasses.replace(
        _T5, d_model=2048, d_ff=5120, num_layers=24, num_heads=32, remat="full"
    ),
    "t5_1_1_xxl": dataclasses.replace(
        _T5, d_model=4096, d_ff=10240, num_layers=24, num_heads=64, remat="full"
    ),
    "decoder_1b": _DECODER,
    "decoder_8b": dataclasses.replace(
        _DECODER, d_model=4096, d_ff=14336, num_layers=32, head_dim=128
    ),
}


def batch(config: ModelConfig, feed: FeedConfig, examples: int = 1, seed: int = 0) -> Batch:
    """Returns rows without padding, of random tokens.

    Args:
      config: the model.
      feed: rows and lengths.
      examples: examples packed in each row, of the same length; what is over goes to the last.
      seed: of the tokens.
    """
    rng = np.random.default_rng(seed)
    inputs, targets = feed.inputs_length, feed.targets_length
    if config.architecture == "decoder_only":
        inputs, targets = 0, inputs + targets

    def side(length):
        place = np.arange(length, dtype=np.int32)
        segment = np.minimum(place // max(length // examples, 1), examples - 1)
        first = np.searchsorted(segment, segment)
        ids = rng.integers(3, config.vocab_size, (feed.batch_size, length), np.int32)
        rows = (np.tile(row.astype(np.int32), (feed.batch_size, 1)) for row in
                (segment + 1, place - first))  # fmt: skip
        return ids, *rows

    tokens, segments, positions = side(targets)
    shifted = np.where(positions == 0, 0, np.roll(tokens, 1, axis=1)).astype(np.int32)
    weights = np.ones(tokens.shape, np.float32)
    encoder = side(inputs) if inputs else (None, None, None)
    prefix = positions == 0 if config.prefix_lm else None
    return Batch(shifted, tokens, segments, positions, weights, *encoder, prefix)
