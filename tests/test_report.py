"""The table, the JSON and the page of a report."""

import html.parser
import io
import json
import re

import pytest
import scored
from rich.console import Console

from flan_jax.evaluation import report, report_plots

HOSTILE = "<script>alert('x')</script> & \"quotes\""
RANKED = {
    "task": "animals_1:zero_shot:rank",
    "example": 4,
    "template": 2,
    "prompt": f"Where?\n{HOSTILE}",
    "options": ["barn", HOSTILE],
    "option_scores": [-3.25, -1.5],
    "choice": 1,
    "answer": 0,
    "references": ["barn"],
    "scores": {"accuracy": 0.0},
}
GENERATED = {
    "task": "animals_1:zero_shot:generate",
    "example": 5,
    "template": 0,
    "prompt": "Say barn.",
    "prediction": HOSTILE,
    "references": ["barn"],
    "scores": {"token_f1": 0.5},
}


def make_report(**changes):
    fields = {
        "title": f"Quickstart {HOSTILE}",
        "systems": {
            "tuned": scored.make_results("tuned", scored.TUNED, samples=[RANKED, GENERATED]),
            "pretrained": scored.make_results("pretrained", scored.PRETRAINED),
        },
        "seconds": {"pretraining": 120.25, "tuning": 60.0},
        "curves": {"pretraining": [(10, 5.0), (20, 3.5), (30, 2.25)]},
        "configuration": {"gin": f"Model.x = {HOSTILE!r}"},
        "resamples": 200,
    }
    return report.Report(**fields | changes)


def write(shown, tmp_path):
    text = io.StringIO()
    record = report.write(shown, str(tmp_path), Console(file=text, width=120))
    return record, text.getvalue(), (tmp_path / "report.html").read_text(encoding="utf-8")


def test_json_has_the_promised_schema(tmp_path):
    record, _, _ = write(make_report(), tmp_path)
    assert record == json.loads((tmp_path / "report.json").read_text())
    animals = record["clusters"]["animals"]
    assert animals["role"] == "test"
    assert {"tuned", "pretrained", "chance", "majority", "n"} <= animals.keys()
    assert animals["tuned"] == pytest.approx(0.9, abs=0.05)
    assert (animals["chance"], animals["majority"], animals["n"]) == (0.5, 0.55, 120)
    low, high = animals["intervals"]["tuned"]
    assert low < animals["tuned"] < high
    assert len(animals["tasks"]["animals_1"]["tuned"]["templates"]) == 5
    assert record["clusters"]["topics"]["role"] == "trained"
    assert record["seconds"] == {"pretraining": 120.25, "tuning": 60.0}
    assert record["versions"]["jax"]


def test_verdict_says_by_how_much_and_what_is_chance(tmp_path):
    record, console, _ = write(make_report(), tmp_path)
    text = " ".join(record["verdict"])
    assert re.search(r"held-out test clusters \(animals, moods\), the instruction-tuned", text)
    assert re.search(r"\d+\.\d points \(\d+\.\d to \d+\.\d\) above chance \(50\.0\)", text)
    assert re.search(r"points \(.*\) above pretrained only", text)
    assert "The interval includes chance in: moods." in text
    assert "one training seed" in text
    assert "The interval includes chance in: moods." in console


def test_verdict_of_a_random_model_claims_nothing(tmp_path):
    shares = dict.fromkeys(scored.TUNED, 0.5)
    systems = {"tuned": scored.make_results("tuned", shares)}
    note = "The weights were random: scores are about chance."
    record, _, page = write(make_report(systems=systems, notes=[note]), tmp_path)
    assert "not distinguishable from chance (50.0; the difference is" in record["verdict"][0]
    assert "above" not in record["verdict"][0]
    assert "The interval includes chance in: animals, moods." in record["verdict"]
    assert record["verdict"][-1] == note
    assert note in page


def test_verdict_without_some_clusters_and_with_seeds(tmp_path):
    runs = [scored.make_results("tuned", scored.TUNED, seed) for seed in (1, 2)]
    record, _, page = write(make_report(systems={"tuned": runs}, aside=["moods"]), tmp_path)
    assert record["verdict"][1].startswith("Without moods (animals), the instruction-tuned")
    assert re.search(r"the 2 seeds scored \d+\.\d, \d+\.\d", " ".join(record["verdict"]))
    assert len(record["clusters"]["animals"]["seeds"]["tuned"]) == 2
    assert "Each training seed" in page


def test_verdict_when_nothing_was_held_out(tmp_path):
    run = scored.make_results("tuned", {"topics": 0.9})
    record, _, _ = write(make_report(systems={"tuned": run}), tmp_path)
    assert "says nothing about generalisation" in record["verdict"][0]


class Parser(html.parser.HTMLParser):
    """Checks that tags are balanced and collects what they are."""

    VOID = {"meta", "br", "wbr"}

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.links = [], set(), []

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.links += [value for name, value in attributes if name in ("src", "href", "xlink:href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.add(tag)  # <line/>

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_page_is_self_contained_balanced_and_escaped(tmp_path):
    _, _, page = write(make_report(), tmp_path)
    parser = Parser()
    parser.feed(page)
    assert not parser.open
    assert "script" not in parser.tags
    assert not parser.links
    assert not re.search(r"https?://|@import|url\(", page)
    assert HOSTILE not in page
    assert page.count("&lt;script&gt;alert") >= 5
    assert {"svg", "details", "table", "polyline"} <= parser.tags
    assert "$" not in page


def test_table_has_a_row_for_each_cluster_and_mean(tmp_path):
    _, console, _ = write(make_report(title="Quickstart"), tmp_path)
    for name in ("animals", "moods", "tools", "topics"):
        assert re.search(rf"{name} .*±.*±.* 50\.0 .* 55\.0 .* 120", console)
    assert console.count("mean") >= 3


def test_systems_must_cover_the_clusters_of_the_first():
    systems = {
        "tuned": scored.make_results("tuned", scored.TUNED),
        "other": scored.make_results("other", {"animals": 0.5}),
    }
    with pytest.raises(ValueError, match="'other' has no score for cluster.*moods, tools, topics"):
        report.write(make_report(systems=systems), "unused")
    with pytest.raises(ValueError, match="at least one system"):
        report.write(make_report(systems={}), "unused")


def test_curves_are_read_and_thinned(tmp_path):
    path = tmp_path / "metrics.jsonl"
    records = [{"step": i, "loss": float(i)} for i in range(1, 1001)]
    records += [{"step": 1000, "eval/loss": 3.0}, {"step": 1001, "loss": None}]
    path.write_text("\n".join(map(json.dumps, records)) + "\n")
    points = report.read_curve(str(path))
    assert len(points) == 300
    assert points[0] == (4, 2.5) and points[-1][0] == 1000
    assert report.read_curve(str(path), "accuracy") == []


def test_curve_axis_ends_above_the_highest_value():
    for value, expected in ((0.03, 0.1), (0.7, 0.8), (1.0, 1.0), (2.3, 4.0), (9.0, 10.0), (31, 40)):
        assert report_plots._nice_ceiling(value) == pytest.approx(expected)
