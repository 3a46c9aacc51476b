"""The collection `real`: published data sets, read from JSON lines under the data folder."""

from pathlib import Path

from flan_jax.data.registry import (
    add_mixture,
    clusters,
    register_collection,
    training_members,
    without_clusters,
)
from flan_jax.data.vocabulary import Vocabulary
from tasks import (
    closed_book_qa,
    commonsense,
    nli,
    paraphrase,
    reading_comprehension,
    sentiment,
    summarization,
    translation,
)

DECLARATIONS = (
    nli.rte,
    nli.cb,
    nli.mnli,
    paraphrase.mrpc,
    paraphrase.qqp,
    sentiment.sst2,
    sentiment.imdb,
    commonsense.copa,
    commonsense.piqa,
    commonsense.social_iqa,
    closed_book_qa.arc_easy,
    closed_book_qa.nq_open,
    reading_comprehension.boolq,
    reading_comprehension.multirc,
    summarization.xsum,
    translation.multi30k_en_de,
    translation.multi30k_de_en,
    translation.multi30k_en_fr,
    translation.multi30k_fr_en,
)

# A cluster that is scored, and what is left out of training beside it, because its tasks are nearly
# the same (Wei et al., 2021, section 2.2). The paper's third group, reading comprehension with
# commonsense, goes out with either of its two parents; no set of it is declared here.
OVERLAPS = {"nli": ("paraphrase",), "paraphrase": ("nli",)}

T5_VOCABULARY = "tokenizers/t5_spiece.model"


def register(data_dir: str, vocabulary: Vocabulary | None = None) -> None:
    """Registers the tasks, `real_train`, and a mixture `real_without_<cluster>` for each cluster.

    Mixtures are zero-shot with options, examples-proportional with the paper's cap of 3,000.

    Args:
      data_dir: folder that holds one folder a data set, with `<split>.jsonl` or `.jsonl.gz`.
      vocabulary: what the tasks are tokenised with; None means T5's, from the data folder.

    Raises:
      FileNotFoundError: if there is no vocabulary.
    """
    if vocabulary is None:
        vocabulary = Vocabulary(str(Path(data_dir) / T5_VOCABULARY))
    register_collection("real", DECLARATIONS, vocabulary=vocabulary, data_dir=data_dir)
    add_mixture("real_train", training_members("real"))
    for cluster in clusters("real"):
        without_clusters("real", cluster, overlaps=OVERLAPS)
