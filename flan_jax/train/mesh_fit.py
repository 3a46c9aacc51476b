"""Whether a model and its batches divide over a mesh, asked before anything is made."""

from jax.sharding import Mesh

from flan_jax.data.feed import FeedConfig
from flan_jax.model import transformer
from flan_jax.model.config import ModelConfig
from flan_jax.parallel import divisibility
from flan_jax.parallel.divisibility import Split


def check(mesh: Mesh, model: ModelConfig, feed: FeedConfig) -> None:
    """Raises a ValueError that names all that does not divide, and the nearest meshes that fit.

    Args:
      mesh: the device mesh, real or abstract.
      model: its heads and parameters are split.
      feed: its rows and their positions are split.
    """
    lengths = {"inputs_length": feed.inputs_length, "targets_length": feed.targets_length}
    if feed.architecture == "decoder_only":
        lengths = {"inputs_length + targets_length": feed.tokens}
    rows = Split("FeedConfig.batch_size", feed.batch_size, "batch")
    positions = [Split(f"FeedConfig.{name}", size, "length") for name, size in lengths.items()]
    divisibility.check(mesh, [rows, *positions, *_splits(model)])


def check_model(mesh: Mesh, model: ModelConfig) -> None:
    """As `check` for a model alone, where it is scored or generates."""
    divisibility.check(mesh, _splits(model))


def _splits(model: ModelConfig) -> list[Split]:
    parameters = divisibility.parameter_splits(
        transformer.logical_axes(model), transformer.abstract(model)
    )
    return [Split("ModelConfig.num_heads", model.num_heads, "heads"), *parameters]
