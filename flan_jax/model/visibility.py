"""Which keys a query may attend to: segments, order, a prefix and a sliding window.

Axes: B rows, T query positions, S key positions. A mask is True where a query may attend to a key.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

# The logit of what is masked. Finite, so that a query with no key at all (padding) averages
# values instead of giving NaN.
MASKED = -1e9


def segment_mask(
    query_segments: Int[Array, "*B T"], key_segments: Int[Array, "*B S"]
) -> Bool[Array, "*B T S"]:
    """Allows attention within a segment: packed examples do not see each other.

    Padding (segment 0) sees padding alone; what it computes has no weight anywhere.
    """
    return query_segments[..., :, None] == key_segments[..., None, :]


def causal_mask(
    segments: Int[Array, "*B T"],
    prefix: Bool[Array, "*B T"] | None = None,
    window: Int[Array, ""] | int | None = None,
) -> Bool[Array, "*B T T"]:
    """Allows attention to earlier positions of the segment, and to all of its prefix.

    Args:
      segments: segment ids.
      prefix: True on positions that the whole segment may see (prefix LM, Raffel et al. 2020,
        section 3.2.1), or None.
      window: tokens of a sliding window: positions this far apart or farther are not seen, in a
        prefix either way. None for no window.
    """
    index = jnp.arange(segments.shape[-1])
    ahead = index[:, None] - index[None, :]  # by how much the query is ahead of the key
    visible = ahead >= 0
    if prefix is not None:
        visible = visible | prefix[..., None, :]
    if window is not None:
        visible = visible & (jnp.abs(ahead) < window)
    return segment_mask(segments, segments) & visible


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("queries", "keys", "prefix", "window"),
    meta_fields=("causal",),
)
@dataclasses.dataclass(frozen=True)
class Visibility:
    """What a mask is made from, for kernels that make it tile by tile.

    Attributes:
      queries: segment ids of the queries.
      keys: segment ids of the keys; the queries' where `causal` is set.
      prefix: as in `causal_mask`, or None.
      window: as in `causal_mask`; None for no window.
      causal: attention to earlier positions alone, as `causal_mask` says.
    """

    queries: Int[Array, "*B T"]
    keys: Int[Array, "*B S"]
    prefix: Bool[Array, "*B S"] | None = None
    window: Int[Array, ""] | int | None = None
    causal: bool = False

    def mask(self) -> Bool[Array, "*B T S"]:
        """Returns the whole mask."""
        if self.causal:
            return causal_mask(self.queries, self.prefix, self.window)
        return segment_mask(self.queries, self.keys)


def causal(
    segments: Int[Array, "B T"],
    prefix: Bool[Array, "B T"] | None = None,
    window: Int[Array, ""] | int | None = None,
) -> Visibility:
    """Returns what `causal_mask` shows."""
    return Visibility(segments, segments, prefix, window, causal=True)


def where(
    local: Bool[Array, ""],
    in_window: Bool[Array, "B T S"] | Visibility,
    everywhere: Bool[Array, "B T S"] | Visibility,
) -> Bool[Array, "B T S"] | Visibility:
    """Chooses between what layers with and without a sliding window see, by a traced flag."""
    if not isinstance(in_window, Visibility):
        return jnp.where(local, in_window, everywhere)
    # Positions are never as far apart as the keys are many.
    window = jnp.where(local, in_window.window, in_window.keys.shape[-1])
    return dataclasses.replace(in_window, window=window)
