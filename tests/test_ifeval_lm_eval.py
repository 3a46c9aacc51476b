"""IFEval's verdicts beside those of lm-evaluation-harness, which keeps the authors' program.

Runs where lm_eval and langdetect are installed. Both sides get the sentences of our splitter, as
NLTK's trained one is a download, and a seed for languages, where lm_eval draws at random.
"""

import collections
import gzip
import json
import random
from unittest import mock

import ifeval_responses
import pytest

from flan_jax.evaluation import ifeval
from flan_jax.evaluation.ifeval import texts

pytest.importorskip("lm_eval")
langdetect = pytest.importorskip("langdetect")
RESPONSES = 4  # a prompt


@pytest.fixture(scope="module")
def peer():
    import nltk.tokenize

    with mock.patch("nltk.download"):
        from lm_eval.tasks.ifeval import instructions_util, utils
    splitter = texts._sentence_tokenizer()
    langdetect.DetectorFactory.seed = texts._SEED
    with (
        mock.patch.object(instructions_util, "_get_sentence_tokenizer", lambda: splitter),
        mock.patch.object(nltk.tokenize, "_get_punkt_tokenizer", lambda language: splitter),
    ):
        yield utils


@pytest.mark.slow
def test_verdicts_are_those_of_lm_eval(peer, data_dir):
    with gzip.open(data_dir / "ifeval" / "test.jsonl.gz", "rt") as file:
        rows = list(map(json.loads, file))
    generator = random.Random(0)
    agreed, differing, seen = collections.Counter(), [], collections.defaultdict(set)
    for row in rows:
        for _ in range(RESPONSES):
            response = ifeval_responses.respond(row, generator)
            asked = list(zip(row["instruction_id_list"], row["kwargs"], strict=True))
            theirs = peer.process_results(row, [response])
            for kind, ours in (
                ("strict", ifeval.strict(response, asked)),
                ("loose", ifeval.loose(response, asked)),
            ):
                for (name, kwargs), mine, other in zip(
                    asked, ours, theirs[f"inst_level_{kind}_acc"], strict=True
                ):
                    seen[name].add(mine)
                    agreed[kind, mine == other] += 1
                    if mine != other:
                        differing.append((kind, name, kwargs, mine, other, response))
    print(dict(agreed))
    # lm_eval draws a letter at random for one that is none of a to z; nothing else may differ.
    assert all(one[2].get("letter") in ("#", "!") for one in differing), differing[:5]
    assert sum(agreed.values()) > 6000
    assert all(seen[name] == {True, False} for name in ifeval.INSTRUCTIONS), seen
