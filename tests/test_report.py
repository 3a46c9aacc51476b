"""The table, the JSON and the page of a report."""

import base64
import dataclasses
import hashlib
import html.parser
import io
import json
import re

import numpy as np
import pytest
import scored
from rich.console import Console

from flan_jax.evaluation import report, report_page, report_plots, results
from flan_jax.evaluation.results import Results, Score

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
        "permutations": 500,
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


def test_where_references_are_no_answers_there_is_no_majority(tmp_path):
    run = scored.make_results("tuned", scored.TUNED)
    tasks = [
        dataclasses.replace(task, majority=float("nan")) if task.task == "animals_1" else task
        for task in run.tasks
    ]
    run = dataclasses.replace(run, tasks=tuple(tasks))
    results.save(run, str(tmp_path / "results.json"))
    loaded = results.load(str(tmp_path / "results.json"))
    assert [task.majority for task in loaded.tasks[1:]] == [0.55] * 7
    record, table, page = write(make_report(systems={"tuned": loaded}), tmp_path)
    animals, moods = record["clusters"]["animals"], record["clusters"]["moods"]
    assert animals["tasks"]["animals_1"]["majority"] is animals["majority"] is None
    assert animals["tasks"]["animals_2"]["majority"] == moods["majority"] == 0.55
    # Nor has a mean of which it is a part.
    assert "most frequent answer" not in " ".join(record["verdict"])
    (row,) = re.findall(r"^ *animals .*$", table, re.MULTILINE)
    assert row.split()[-3:] == ["50.0", "–", "120"]
    assert page.count('class="majority"') == 4  # of the other three clusters, and the legend
    assert "nan" not in (table + page).lower()


class Parser(html.parser.HTMLParser):
    """Checks that tags are balanced and collects what they are."""

    VOID = {"meta", "br", "wbr", "input"}

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.links = [], set(), []
        self.handlers, self.contents = [], {"script": [], "style": []}

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.handlers += [name for name, _ in attributes if name.startswith("on")]
        self.handlers += [name for name, _ in attributes if name == "style"]
        if tag in self.contents:
            self.contents[tag].append((dict(attributes), ""))
        self.links += [value for name, value in attributes if name in ("src", "href", "xlink:href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.add(tag)  # <line/>

    def handle_data(self, data):
        if self.open and self.open[-1] in self.contents:
            attributes, text = self.contents[self.open[-1]].pop()
            self.contents[self.open[-1]].append((attributes, text + data))

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
    assert not parser.handlers
    assert "script-src 'none'" in page
    assert not re.search(r"https?://|@import|url\(", page)
    assert HOSTILE not in page
    assert page.count("&lt;script&gt;alert") >= 5
    assert {"svg", "details", "table", "polyline"} <= parser.tags
    assert "$" not in page


def write_journal(folder, records):
    """A journal of the records' task; gives what `journal.files` would."""
    name = records[0]["task"]
    lines = [{"journal": 1, "task": name, "identity": {}}, *records]
    path = folder / "examples.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {name: str(path)}


def test_browser_holds_hostile_texts_as_data_under_a_policy_that_runs_one_script(tmp_path):
    ends = "</script><!--<script><img src=x onerror=alert(1)></template>]]>"
    hostile = RANKED | {"prompt": ends + HOSTILE, "options": ["barn", ends], "prediction": ends}
    journals = {"tuned": write_journal(tmp_path, [hostile])}
    _, _, page = write(make_report(journals=journals), tmp_path)
    parser = Parser()
    parser.feed(page)
    assert not parser.open and not parser.links and not parser.handlers
    assert "img" not in parser.tags
    (attributes, data), (none, script) = parser.contents["script"]
    assert attributes == {"type": "application/json", "id": "examples-data"} and none == {}
    (found,) = json.loads(data)["tasks"]
    (example,) = found["examples"]
    assert example["prompt"] == ends + HOSTILE and example["options"] == ["barn", ends]
    ((_, style),) = parser.contents["style"]
    for directive, text in (("script-src", script), ("style-src", style)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in page
    assert "default-src 'none'" in page and "unsafe" not in page
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", script)
    assert "All 1 scored examples." in page


def test_page_without_script_keeps_its_table_and_samples(tmp_path):
    journals = {"tuned": write_journal(tmp_path, [RANKED | {"prediction": "sea"}])}
    _, _, page = write(make_report(journals=journals), tmp_path)
    without = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert "<noscript><h2>Sample prompts</h2>" in without
    for name in ("animals", "moods", "tools", "topics"):
        assert re.search(rf"<td>{name}</td><td>\d+\.\d<small>", without)
    assert '<div id="browser" hidden>' in without


def test_page_stays_below_its_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(report_page, "PAGE_BYTES", 150_000)
    monkeypatch.setattr(report_page, "_LEAST_EXAMPLES", 20_000)
    records = [
        RANKED | {"example": i, "prediction": "sea", "prompt": "wörd " * 100} for i in range(1000)
    ]
    journals = {"tuned": write_journal(tmp_path, records)}
    _, _, page = write(make_report(journals=journals), tmp_path)
    assert 140_000 < len(page.encode()) <= 150_000
    assert re.search(r"\d+ of 1,000 scored examples, spread evenly", page)


def test_tests_between_systems_are_in_the_report(tmp_path):
    record, _, page = write(make_report(), tmp_path)
    tests = record["tests"]["pretrained"]
    animals = tests["clusters"]["animals"]
    assert animals["p"] == pytest.approx(1 / 501, abs=1e-6)
    assert animals["interval"][0] > 0 and animals["wins"] > animals["losses"]
    assert tests["means"].keys() == {"test", "dev", "trained"}
    assert tests["tasks"]["animals_1:zero_shot:rank"]["holm_p"] >= animals["p"]
    assert "instruction-tuned less pretrained only: test mean +" in page
    assert record["clusters"]["animals"]["adjusted"]["tuned"]["score"] == pytest.approx(
        2 * record["clusters"]["animals"]["tuned"] - 1, abs=1e-5
    )
    assert "With chance taken out, task by task, the mean is" in " ".join(record["verdict"])


def test_an_upper_bound_is_named(tmp_path):
    systems = {
        "tuned": scored.make_results("tuned", scored.TUNED),
        "all_clusters": scored.make_results("all_clusters", dict.fromkeys(scored.TUNED, 0.98)),
    }
    record, _, page = write(make_report(systems=systems, upper_bound="all_clusters"), tmp_path)
    assert record["upper_bound"] == "all_clusters"
    assert "all clusters trained (upper bound)" in page
    assert re.search(r"which is \d+% of the upper bound's \(all clusters", record["verdict"][1])
    with pytest.raises(ValueError, match="upper_bound='ceiling' is no system; there are tuned"):
        write(make_report(systems=systems, upper_bound="ceiling"), tmp_path)


def test_option_order_is_reported(tmp_path):
    plain = scored.make_results("tuned", {"animals": 0.9}).tasks[0]
    permuted = dataclasses.replace(plain, name="animals_1:zero_shot_permuted:rank")
    run = Results("tuned", (plain, permuted), scored.ROLES)
    journals = {}
    for task, said in ((plain, "barn"), (permuted, "sea")):
        folder = tmp_path / task.name
        folder.mkdir()
        records = [
            RANKED | {"task": task.name, "example": i, "prediction": said if i < 3 else "barn"}
            for i in range(12)
        ]
        journals |= write_journal(folder, records)
    shown = make_report(systems={"tuned": run}, journals={"tuned": journals})
    record, _, page = write(shown, tmp_path)
    found = record["option_order"]["tuned"]["animals_1:zero_shot:rank"]
    assert found["same_choice"]["score"] == 0.75
    assert (found["permuted"], found["n"]) == (permuted.name, 12)
    assert "<h2>Option order</h2>" in page


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


def test_differences_are_drawn_on_the_least_axis_that_holds_them():
    def score(value):
        return Score(value, np.array([value - 0.05, value + 0.05]))

    assert report_plots.difference_span([score(0.02), score(-0.04)]) == 10
    assert report_plots.difference_span([score(0.02), score(-0.4)]) == 50
    assert report_plots.difference_span([score(0.99)]) == 100
    assert report_plots.difference_span([]) == 10
    drawn = report_plots.difference(score(0.25), 50)
    assert 'cx="75.00%"' in drawn and 'class="fill for"' in drawn
    assert 'class="fill neither"' in report_plots.difference(score(0.01), 50)
