"""The embedded collection: a generated world, 24 clusters of tasks on it, and text to pretrain on.

`register()` puts it into SeqIO's registries under the collection name `mini`; with it come

    mini_pretrain   raw documents, as a prefix language model
    mini_train      the trained clusters, a task as often as any other, and half raw documents
    mini_random     the same prompts answered at random: what learning the format alone is worth
    mini_all        trained, development and test clusters: the ceiling
    mini_without_X  all clusters but X, for every cluster X

All of them read `train` splits. `validation` splits, which share no row with them, are for scoring.
The roles of the clusters are in `tasks.mini.roles`.
"""

from flan_jax.data.vocabulary import Vocabulary

COLLECTION = "mini"
# Chance that an example of a tuning mixture is a raw document, without which tuning wears away what
# the model knows. Chosen on the development clusters, where
# 0.1, 0.3 and 0.5 score 75, 83 and 85 (one seed).
DOCUMENT_SHARE = 0.5


def register(data_dir: str | None = None, vocabulary: Vocabulary | None = None) -> tuple[str, ...]:
    """Registers the collection and its mixtures with SeqIO; a second call changes nothing.

    Args:
      vocabulary: what texts are tokenised with; None takes the collection's own.

    Returns:
      The names of the SeqIO tasks.
    """
    # SeqIO is imported only by those who register: roles and words are wanted without it.
    from tasks.mini.mixtures import register_all

    return register_all(COLLECTION, vocabulary, DOCUMENT_SHARE)
