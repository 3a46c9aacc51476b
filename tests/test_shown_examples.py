"""Which examples a page shows, and that none of them can break it."""

import dataclasses
import json

import scored

from flan_jax.evaluation import shown_examples
from flan_jax.evaluation.results import Results

END = "</script><script>alert(1)</script><!-- \u2028 &amp; "


def task(name, count, templates=2):
    return dataclasses.replace(
        scored.make_task(name, "animals", 1.0),
        templates=tuple(f"wording {i}" for i in range(templates)),
        examples=tuple(range(count)),
    )


def write_journal(folder, name, right, prompt="Where?", **more):
    """A record for each (example, template): whether it is right."""
    lines = [{"journal": 1, "task": name, "identity": {}}]
    for (example, template), value in right.items():
        said = 0 if value else 1
        lines.append(
            {
                "task": name, "example": example, "template": template,
                "prompt": f"{prompt} {example}", "prediction": ["barn", "sea"][said],
                "options": ["barn", "sea"], "option_scores": [-1.0, -2.0],
                "compared_scores": [-1.0, -2.0], "choice": said, "answer": 0,
                "references": ["barn"], "scores": {"accuracy": float(value)},
            } | more
        )  # fmt: skip
    path = folder / f"{name.replace(':', '.')}-{len(list(folder.iterdir()))}.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def places(count, templates=2):
    return [(example, template) for example in range(count) for template in range(templates)]


def test_everything_is_shown_where_there_is_room(tmp_path):
    one = task("one", 5)
    journals = {"a": {one.name: write_journal(tmp_path, one.name, dict.fromkeys(places(5), True))}}
    (found,) = shown_examples.choose({"a": Results("a", (one,), {})}, journals, 100_000)
    assert [(e["example"], e["template"]) for e in found.examples] == places(5)
    assert (found.total, found.outcomes) == (10, {"+": 10})
    assert found.examples[0]["systems"] == [
        {
            "prediction": "barn",
            "scores": {"accuracy": 1.0},
            "choice": 0,
            "option_scores": [-1.0, -2.0],
        }
    ]


def test_the_limit_holds_and_outcomes_and_templates_are_spread(tmp_path):
    one = task("one", 500)
    right = {place: place[0] % 50 != 0 for place in places(500)}  # 20 wrong of 1,000
    journals = {"a": {one.name: write_journal(tmp_path, one.name, right)}}
    limit = 20_000
    (found,) = shown_examples.choose({"a": Results("a", (one,), {})}, journals, limit)
    assert limit * 0.95 < shown_examples.size(found.to_json()) <= limit
    assert found.outcomes == {"+": 980, "-": 20}
    wrong = [one for one in found.examples if one["systems"][0]["scores"]["accuracy"] == 0.0]
    assert len(wrong) == 20
    others = [one for one in found.examples if one not in wrong]
    assert len(others) > 40
    # Evenly: every fifth of the task has its fifth, and so has every template.
    for fifth in range(5):
        share = sum(one["example"] // 100 == fifth for one in others) / len(others)
        assert 0.15 < share < 0.25
    assert 0.4 < sum(one["template"] for one in others) / len(others) < 0.6


def test_every_beginning_of_an_even_order_is_even():
    order = shown_examples._evenly(1000)
    assert sorted(order) == list(range(1000))
    for count in (10, 37, 100):
        gaps = sorted(order[:count])
        widest = max(b - a for a, b in zip(gaps, gaps[1:], strict=False))
        assert widest < 3 * 1000 / count


def test_what_a_small_task_leaves_goes_to_the_next(tmp_path):
    small, large = task("small", 2), task("large", 300)
    journals = {
        "a": {
            one.name: write_journal(tmp_path, one.name, dict.fromkeys(places(count), True))
            for one, count in ((small, 2), (large, 300))
        }
    }
    found = shown_examples.choose({"a": Results("a", (small, large), {})}, journals, 20_000)
    assert len(found[0].examples) == 4
    assert sum(shown_examples.size(one.to_json()) for one in found) > 0.95 * 20_000


def test_systems_are_joined_by_example_and_template(tmp_path):
    one = task("one", 3)
    two = dataclasses.replace(one, name="one:zero_shot_permuted:rank")
    first = dict.fromkeys(places(3), True)
    second = {place: place[1] == 0 for place in places(3) if place != (2, 1)}
    journals = {
        "a": {one.name: write_journal(tmp_path, one.name, first)},
        "b": {two.name: write_journal(tmp_path, two.name, second, options=["sea", "barn"])},
        "c": {},
    }
    systems = {"a": Results("a", (one,), {}), "b": Results("b", (two,), {})}
    systems["c"] = Results("c", (one,), {})
    (found,) = shown_examples.choose(systems, journals, 100_000)
    assert found.outcomes == {"++?": 3, "+-?": 2, "+??": 1}
    shown = {(e["example"], e["template"]): e["systems"] for e in found.examples}
    assert shown[2, 1][1] is None and shown[0, 0][2] is None
    assert shown[0, 1][1]["options"] == ["sea", "barn"]  # asked in another order
    assert "prompt" not in shown[0, 1][1]


def test_long_prompts_are_cut_and_say_so(tmp_path):
    one = task("one", 1)
    long = "x" * 50_000
    path = write_journal(tmp_path, one.name, {(0, 0): True}, prompt=long)
    (found,) = shown_examples.choose(
        {"a": Results("a", (one,), {})}, {"a": {one.name: path}}, 100_000
    )
    prompt = found.examples[0]["prompt"]
    assert len(prompt) < 6_100
    assert "44,002 characters, which the journal has" in prompt
    assert prompt.endswith("x 0")


def test_no_text_ends_the_script_element():
    text = shown_examples.to_script({"prompt": END})
    assert not {"<", ">", "&", "\u2028"} & {*text}
    assert json.loads(text) == {"prompt": END}
