"""Small evaluation caches that several tests share."""

import numpy as np
from make_cache import VOCABULARY

from flan_jax.data import store

OPTIONS = ("cat", "dog", "cow")


def write_evaluation_cache(folder, evaluation, examples=6, row_changes=None, **changes):
    """A cache of `examples` examples under two templates; the answer is mostly the dog.

    Prompts have no token 49. `row_changes` are made to the rows of the last example, `changes`
    to the manifest.
    """
    generator = np.random.default_rng(0)
    folder.mkdir(parents=True)
    writer = store.CacheWriter(str(folder), store.schema(50, evaluation=True))
    for number in range(examples):
        answer = 1 if number else 0
        rows = [
            {
                "inputs": [*generator.integers(2, 49, 5 + 2 * number).tolist(), 1],
                "targets": [10 + answer, 1],
                "example": 3 * number,  # some rows of the source were dropped
                "template": template,
                "prompt": f"Which animal, {number}?",
                "option_tokens": [[10, 1], [11, 1], [12, 9, 1]],
                "options": list(OPTIONS),
                "answer": answer,
                "references": [OPTIONS[answer]],
            }
            for template in range(2)
        ]
        if evaluation == "generate":
            rows = [r | {"options": [], "option_tokens": [], "answer": -1} for r in rows]
        if row_changes and number == examples - 1:
            rows = [row | row_changes for row in rows]
        writer.add(rows)
    facts = {
        "name": f"animals:zero_shot:{evaluation}",
        "task": "animals",
        "cluster": f"zoo_{evaluation}",
        "metrics": ["accuracy"],
        "form": {"evaluation": evaluation},
        "templates": [
            {"name": "", "inputs": "Which animal?", "targets": "{answer}"},
            {"name": "", "inputs": "Animal:", "targets": "a {answer}"},
        ],
        "num_templates": 2,
        "cache": folder.name,
        "vocabulary": VOCABULARY,
        "dropped": {"empty answer": {"count": 4, "first": []}},
        "dropped_renderings": {},
        "truncated": {},
    }
    store.write_manifest(str(folder), writer.close(), facts | changes)
    return str(folder)
