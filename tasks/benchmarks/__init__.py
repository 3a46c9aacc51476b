"""The collection `benchmarks`: held-out benchmarks with the prompts and splits of their authors.

    mmlu_stem, mmlu_humanities, mmlu_social_sciences, mmlu_other          57 subjects, 0-shot
    mmlu_stem_5_shot, ...                                                 with five examples
    bbh_direct, bbh_cot                                                   27 subtasks, 3-shot
    gsm8k_0_shot, gsm8k_8_shot                                            with chains of thought
    ifeval                                                                prompts alone

are its clusters, each scored in the form `zero_shot`: the solved examples of a protocol are part of
a task's own prompt, and fixed. No task has a split to train on, so none can enter a training
mixture. `SUPERGLUE` and `T0_EVALUATION` name tasks of `flan2021`, which are registered as well.

Prompts are up to 2,048 tokens long, and answers with chains of thought some hundreds:

    python scripts/cache.py --data_dir /data/flan --gin.CacheRun.collection='"benchmarks"' \\
        --gin.CacheRun.cache_dir='"caches"' --gin.CacheRun.scored_clusters='["mmlu_stem_5_shot"]' \\
        --gin.CacheConfig.inputs_length=2048 --gin.CacheConfig.targets_length=128

A prompt that is longer than `inputs_length` is cut at its end and counted as `truncated`, in the
cache's manifest and beside the score in `report.json`: such a score does not follow the protocol.
"""

from flan_jax.data.forms import GENERATE, RANK
from flan_jax.data.registry import register_collection
from flan_jax.data.vocabulary import Vocabulary
from tasks import flan2021
from tasks.benchmarks import bbh, gsm8k, ifeval, mmlu
from tasks.vocabulary import default_vocabulary

NAME = "benchmarks"
FORMS = ("zero_shot", f"zero_shot:{RANK}", f"zero_shot:{GENERATE}")

# Wang et al. (2019), table 1: the eight tasks, in flan2021's words.
SUPERGLUE = tuple(
    f"{name}:zero_shot:{RANK}"
    for name in ("boolq", "cb", "copa", "multirc", "record", "rte", "wic", "wsc")
)
# Sanh et al. (2022), section 3 and figure 4: eleven sets, in flan2021's words. In promptsource's
# they are the clusters of the collection `t0`.
T0_EVALUATION = tuple(
    f"{name}:zero_shot:{RANK}"
    for name in (
        "rte",
        "cb",
        "anli_r1",
        "anli_r2",
        "anli_r3",
        "wsc",
        "winogrande",
        "copa",
        "story_cloze",
        "hellaswag",
        "wic",
    )
)


def register(data_dir: str | None = None, vocabulary: Vocabulary | None = None) -> None:
    """Registers all benchmarks, and what `SUPERGLUE` and `T0_EVALUATION` name; reads no data set.

    Args:
      data_dir: folder that holds one folder a data set, or clones: see the modules.
      vocabulary: what the tasks are tokenised with; None means T5's.
    """
    vocabulary = vocabulary or default_vocabulary(data_dir)
    declared = [
        *mmlu.declarations(vocabulary),
        *bbh.declarations(),
        *gsm8k.declarations(),
        *ifeval.declarations(),
    ]
    register_collection(NAME, declared, vocabulary=vocabulary, data_dir=data_dir, only=FORMS)
    elsewhere = {name.split(":")[0] for name in SUPERGLUE + T0_EVALUATION}
    register_collection(
        flan2021.NAME,
        [one for one in flan2021.DECLARATIONS if one.name in elsewhere],
        vocabulary=vocabulary,
        data_dir=data_dir,
        few_shot=flan2021.FEW_SHOT,
        only=FORMS,
    )
