"""The vocabulary that published data sets are tokenised with, if nothing else is said: T5's."""

from flan_jax import storage
from flan_jax.data.task_modules import T5_VOCABULARY
from flan_jax.data.vocabulary import Vocabulary


def default_vocabulary(data_dir: str | None) -> Vocabulary:
    """T5's vocabulary from the data folder or, if it is not there, from T5's own bucket.

    Args:
      data_dir: folder that may hold `tokenizers/t5_spiece.model`.

    Returns:
      The vocabulary; one from the bucket is read when it is first needed.
    """
    kept = storage.path(data_dir) / "tokenizers" / "t5_spiece.model" if data_dir else None
    return Vocabulary(str(kept) if kept and kept.is_file() else T5_VOCABULARY)
