"""Two evaluations compared: from folders to a page."""

import dataclasses
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scored
from rich.console import Console

from flan_jax.evaluation import results, side_by_side

ROOT = Path(__file__).parent.parent


def made(shares, seed=0, prompts="ab" * 32):
    run = scored.make_results("tuned", shares, seed)
    return dataclasses.replace(
        run, tasks=tuple(dataclasses.replace(task, prompts=prompts) for task in run.tasks)
    )


def save(run, folder, file="results.json"):
    """Results with the journal that belongs to them."""
    journal = folder / "journal"
    journal.mkdir(parents=True, exist_ok=True)
    results.save(run, str(folder / file))
    current = {}
    for task in run.tasks:
        name = task.name.replace(":", ".") + ".0123456789ab.jsonl"
        lines = [{"journal": 1, "task": task.name, "identity": {}}]
        for (example, template), value in np.ndenumerate(task.statistics["accuracy"][..., 0]):
            said = 0 if value else 1
            lines.append(
                {
                    "task": task.name, "example": example, "template": template,
                    "prompt": f"Question {example} in wording {template}?",
                    "prediction": ["barn", "sea"][said], "options": ["barn", "sea"],
                    "option_scores": [-1.0 - said, -1.5], "compared_scores": [-1.0 - said, -1.5],
                    "choice": said, "answer": 0, "references": ["barn"],
                    "scores": {"accuracy": value},
                }
            )  # fmt: skip
        (journal / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
        current[task.name] = name
    (journal / "current.json").write_text(json.dumps(current))
    return str(folder)


def compare(*places, **settings):
    text = io.StringIO()
    record = side_by_side.compare(*places, console=Console(file=text, width=120), **settings)
    return record, text.getvalue()


def test_two_evaluations_make_a_page(tmp_path):
    places = [
        save(made(shares, seed), tmp_path / name / "evaluation")
        for seed, (name, shares) in enumerate(
            (("good", scored.TUNED), ("poor", scored.PRETRAINED), ("best", scored.TUNED))
        )
    ]
    out = tmp_path / "compared"
    record, console = compare(*places[:2], output_dir=str(out), upper_bound=places[2])
    assert record["title"] == "good against poor"
    assert record["upper_bound"] == "best"
    animals = record["tests"]["poor"]["clusters"]["animals"]
    assert animals["difference"] == pytest.approx(
        record["clusters"]["animals"]["good"] - record["clusters"]["animals"]["poor"], abs=2e-6
    )
    assert animals["p"] < 0.001 < record["tests"]["poor"]["clusters"]["moods"]["p"]
    assert animals["wins"] > animals["losses"]
    assert all(test["holm_p"] >= test["p"] for test in record["tests"]["poor"]["tasks"].values())
    assert "less poor" in console and "mean test" in console
    page = (out / "report.html").read_text()
    for text in ("good right, poor wrong", "good less poor", "Question 7 in wording 3?"):
        assert text in page
    assert record == json.loads((out / "report.json").read_text())
    assert len(page.encode()) < 5_000_000


def test_different_prompts_are_refused_by_name(tmp_path):
    first = made(scored.TUNED)
    tasks = list(made(scored.PRETRAINED, 1).tasks)
    tasks[2] = dataclasses.replace(tasks[2], prompts="cd" * 32)
    tasks[5] = dataclasses.replace(tasks[5], prompts="")
    second = dataclasses.replace(first, tasks=tuple(tasks))
    places = [save(run, tmp_path / name) for run, name in ((first, "a"), (second, "b"))]
    with pytest.raises(side_by_side.ComparisonError) as caught:
        compare(*places, output_dir=str(tmp_path / "out"))
    message = str(caught.value)
    assert "different prompts, or ones without a hash, in 2 of 8 tasks" in message
    assert "moods_1:zero_shot:rank (abababab, cdcdcdcd)" in message
    assert "tools_2:zero_shot:rank (abababab, no hash)" in message
    assert "--allow_different_prompts" in message
    assert not (tmp_path / "out").exists()
    record, _ = compare(*places, output_dir=str(tmp_path / "out"), allow_different_prompts=True)
    expected = "The prompts differ, or have no hash, in: moods_1:zero_shot:rank"
    assert record["notes"][0].startswith(expected)


def test_two_forms_are_compared_and_what_one_lacks_is_said(tmp_path):
    first = made({"animals": 0.9, "moods": 0.6})
    other = made({"animals": 0.7, "tools": 0.6}, 1)
    permuted = [
        dataclasses.replace(
            task, name=task.name.replace("zero_shot", "zero_shot_permuted"), prompts="cd" * 32
        )
        for task in other.tasks
    ]
    second = dataclasses.replace(other, tasks=tuple(permuted))
    save(first, tmp_path, "results-zero_shot.json")
    save(second, tmp_path / "p", "results-zero_shot_permuted.json")
    places = str(tmp_path / "results-zero_shot.json"), str(tmp_path / "p")
    record, _ = compare(*places, output_dir=str(tmp_path / "out"), allow_different_prompts=True)
    assert list(record["clusters"]) == ["animals"]
    (key,) = record["tests"]
    assert list(record["tests"][key]["tasks"]) == [
        "animals_1:zero_shot:rank",
        "animals_2:zero_shot:rank",
    ]
    notes = " ".join(record["notes"])
    assert "left out are: moods_1:zero_shot:rank, moods_2:zero_shot:rank" in notes
    assert "left out are: tools_1:zero_shot_permuted:rank" in notes


def test_what_cannot_be_read_or_compared(tmp_path):
    place = save(made({"animals": 0.9}), tmp_path / "a")
    with pytest.raises(side_by_side.ComparisonError, match="holds no results.json"):
        side_by_side.read(str(tmp_path / "nothing"))
    with pytest.raises(side_by_side.ComparisonError, match="no such file of results"):
        side_by_side.read(str(tmp_path / "nothing.json"))
    for form in ("zero_shot", "few_shot"):
        save(made({"animals": 0.9}), tmp_path / "b", f"results-{form}.json")
    message = "several prompt forms: results-few_shot.json, results-zero_shot.json"
    with pytest.raises(side_by_side.ComparisonError, match=message):
        side_by_side.read(str(tmp_path / "b"))
    other = save(made({"moods": 0.9}), tmp_path / "c")
    with pytest.raises(side_by_side.ComparisonError, match="no task in common.*animals_1.*moods_1"):
        compare(place, other, output_dir=str(tmp_path / "out"))


@pytest.mark.parametrize(
    ("folders", "files", "expected"),
    [
        (["runs/flan/evaluation", "runs/base/evaluation"], "rr", ["flan", "base"]),
        (["x/seed1/tuned", "x/seed2/tuned"], "rs", ["seed1", "seed2"]),
        (["x/a/one", "y/b/one/two"], "rr", ["one", "two"]),
        (["a/x/1", "b/x/1", "b/y/1"], "rrr", ["a/x", "b/x", "b/y"]),
        (["runs/a", "runs/a"], "rs", ["r", "s"]),
        (["runs/a", "runs/a"], "rr", ["A: r", "B: r"]),
    ],
)
def test_names_are_what_differs(folders, files, expected):
    assert side_by_side._names(folders, files) == expected


def test_the_script_says_what_is_wrong_and_helps_without_jax(tmp_path):
    script = str(ROOT / "scripts" / "compare.py")
    code = (
        "import runpy, sys\n"
        "sys.argv = sys.argv[1:]\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as done: assert done.code == 0\n"
        "heavy = {'jax', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, script, "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "--allow_different_prompts" in done.stdout
    run = [sys.executable, script, str(tmp_path), str(tmp_path), "--output_dir", str(tmp_path)]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("compare.py: ") and "holds no results.json" in done.stderr
