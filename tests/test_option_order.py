"""Option-order consistency from two journals."""

import dataclasses
import json

import pytest
import scored

from flan_jax.evaluation import option_order
from flan_jax.evaluation.results import Results


def task(name, prompts=""):
    made = scored.make_task("boats", "animals", 1.0)
    return dataclasses.replace(made, name=f"boats:{name}", prompts=prompts)


def write_journal(path, name, predictions):
    """Predictions by (example, template)."""
    lines = [{"journal": 1, "task": name, "identity": {}}]
    lines += [
        {
            "task": name, "example": example, "template": template, "prompt": "?",
            "prediction": text, "options": ["sail", "oar", "mast"], "references": ["sail"],
            "scores": {"accuracy": float(text == "sail")},
        }
        for (example, template), text in predictions.items()
    ]  # fmt: skip
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def test_forms_are_paired_by_their_names():
    names = [
        "zero_shot:rank", "zero_shot_permuted:rank", "zero_shot:generate",
        "five_shot_letters:rank", "five_shot_letters_permuted:rank",
        "few_shot_permuted:rank", "no_such_form", "zero_shot_permuted_2_templates:rank",
    ]  # fmt: skip
    pairs = option_order.form_pairs([task(name) for name in names])
    assert [(a.name, b.name) for a, b in pairs] == [
        ("boats:zero_shot:rank", "boats:zero_shot_permuted:rank"),
        ("boats:five_shot_letters:rank", "boats:five_shot_letters_permuted:rank"),
    ]


def test_a_task_without_an_order_of_its_own_says_nothing():
    both = [task("zero_shot:rank", "ab" * 32), task("zero_shot_permuted:rank", "ab" * 32)]
    assert option_order.form_pairs(both) == []
    both[1] = task("zero_shot_permuted:rank", "cd" * 32)
    assert len(option_order.form_pairs(both)) == 1


def test_the_share_is_the_mean_over_templates(tmp_path):
    plain, permuted = task("zero_shot:rank"), task("zero_shot_permuted:rank")
    first = {(0, 0): "sail", (1, 0): "oar", (2, 0): "mast", (3, 0): "oar", (0, 1): "oar"}
    second = {(0, 0): "sail", (1, 0): "oar", (2, 0): "mast", (3, 0): "sail", (0, 1): "sail"}
    second[9, 0] = "sail"  # no counterpart
    journals = {
        one.name: write_journal(tmp_path / f"{i}.jsonl", one.name, said)
        for i, (one, said) in enumerate(((plain, first), (permuted, second)))
    }
    results = Results("tuned", (plain, permuted), scored.ROLES)
    (found,) = option_order.of_results(results, journals, 200)
    # Template 0 keeps 3 of 4 choices, template 1 none of 1.
    assert found.same.value == pytest.approx((3 / 4 + 0) / 2)
    assert found.chance == pytest.approx(1 / 3)
    assert found.n == 4
    low, high = found.same.interval
    assert 0 <= low <= found.same.value <= high <= 1
    assert option_order.of_results(results, {plain.name: journals[plain.name]}) == []


def test_forms_without_a_common_example_are_an_error():
    with pytest.raises(ValueError, match="zero_shot_permuted:rank have no example in common"):
        option_order.measure(
            task("zero_shot:rank"), task("zero_shot_permuted:rank"),
            {(0, 0): ("sail", 2)}, {(1, 0): ("sail", 2)},
        )  # fmt: skip
