"""Registration of the collection and of its mixtures in SeqIO's registries."""

from flan_jax.data.registry import add_mixture, clusters, register_collection, without_clusters
from flan_jax.data.vocabulary import Vocabulary
from tasks.mini import vocabulary as mini_vocabulary
from tasks.mini.clusters_held_out import DEVELOPMENT_TASKS, TEST_TASKS
from tasks.mini.clusters_trained import TRAINED_TASKS
from tasks.mini.declare import with_random_answers
from tasks.mini.documents import mini_documents

# The control for format learning. It is no part of the collection: no cluster of it is scored.
CONTROL_TASKS = tuple(with_random_answers(declaration) for declaration in TRAINED_TASKS)
DOCUMENTS = f"{mini_documents.name}:prefix_lm"


def register_all(
    collection: str, vocabulary: Vocabulary | None, document_share: float
) -> tuple[str, ...]:
    """Registers tasks, documents and mixtures; see `tasks.mini.register`."""
    vocabulary = vocabulary or mini_vocabulary.load()
    declared = (*TRAINED_TASKS, *DEVELOPMENT_TASKS, *TEST_TASKS)
    names = register_collection(collection, (*declared, mini_documents), vocabulary=vocabulary)
    names += register_collection(f"{collection}_control", CONTROL_TASKS, vocabulary=vocabulary)
    add_mixture(f"{collection}_pretrain", [DOCUMENTS], weights={DOCUMENTS: 1.0})
    _add_tuning(f"{collection}_train", TRAINED_TASKS, document_share)
    _add_tuning(f"{collection}_random", CONTROL_TASKS, document_share)
    _add_tuning(f"{collection}_all", declared, document_share)
    for cluster in clusters(collection):
        without_clusters(collection, cluster)
    return names


def _add_tuning(name: str, declarations, document_share: float) -> None:
    """Every task as often as any other, and a share of raw documents."""
    weights = {f"{declaration.name}:zero_shot": 1.0 for declaration in declarations}
    weights[DOCUMENTS] = len(weights) * document_share / (1 - document_share)
    add_mixture(name, list(weights), weights=weights)
