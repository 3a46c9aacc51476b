"""The collection `benchmarks`: its prompts, its sources, and each of them scored end to end.

`FLAN_JAX_UPDATE_GOLDEN=1 pytest tests/test_benchmarks.py` writes the golden file anew; read its
diff.
"""

import dataclasses
import hashlib
import json
import os
from pathlib import Path

import benchmark_files
import pytest
import small_models
from quick_compilation import compile_quickly  # noqa: F401

from flan_jax.data import cache, registry
from flan_jax.data.declarations import RowError, check_fields
from flan_jax.data.leaks import declared_leaks
from flan_jax.data.rendering import Drops
from flan_jax.data.sources import BadRow, jsonl
from flan_jax.data.sources.big_bench_hard import (
    BenchmarkFileError,
    BigBenchHardSource,
    answers_alone,
)
from flan_jax.data.sources.exemplars import MatchingSource, ShownSource
from flan_jax.data.sources.tables import csv_table
from flan_jax.data.tokenisation import CacheConfig
from flan_jax.evaluation import evaluate as engine
from flan_jax.evaluation import journal, metrics, results
from flan_jax.evaluation.evaluate import EvaluateRun, EvaluationConfig
from tasks import benchmarks, cot, flan2021
from tasks.benchmarks import bbh, gsm8k, ifeval, mmlu

GOLDEN = Path(__file__).with_name("golden") / "benchmarks.json"
SUBJECT, BBH_TASK = benchmark_files.MMLU_SUBJECT, benchmark_files.BBH_TASK
# A task of each benchmark, in each of its ways.
SCORED = (
    f"mmlu_{SUBJECT}:zero_shot:rank",
    f"mmlu_{SUBJECT}_5_shot:zero_shot:rank",
    f"bbh_{BBH_TASK}_direct:zero_shot:generate",
    f"bbh_{BBH_TASK}_cot:zero_shot:generate",
    "gsm8k_0_shot:zero_shot:generate",
    "gsm8k_8_shot:zero_shot:generate",
    "ifeval:zero_shot:generate",
)
DECLARED = (
    *mmlu.declarations(),
    *bbh.declarations(),
    *gsm8k.declarations(),
    *ifeval.declarations(),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return benchmark_files.write_all(tmp_path_factory.mktemp("benchmarks"))


@pytest.fixture
def registered(folder, small_vocabulary, clean_registries):
    benchmarks.register(str(folder), small_vocabulary)


def _named(name):
    return next(one for one in DECLARED if one.name == name)


def _row(name, folder, split="test"):
    return next(iter(_named(name).source.rows(split, str(folder))))


# --- declarations --------------------------------------------------------------------------------


def test_the_official_numbers():
    assert len(mmlu.SUBJECTS) == len({*mmlu.SUBJECTS}) == 57
    assert [len(subjects) for subjects in mmlu.GROUPS.values()] == [18, 13, 12, 14]
    families = {task.split("_three")[0].split("_five")[0].split("_seven")[0] for task in bbh.TASKS}
    assert (len(bbh.TASKS), len(families)) == (27, 23)
    assert len(DECLARED) == 2 * 57 + 2 * 27 + 2 + 1
    assert len({one.name for one in DECLARED}) == len(DECLARED)
    assert (len(benchmarks.SUPERGLUE), len(benchmarks.T0_EVALUATION)) == (8, 11)


@pytest.mark.parametrize("declaration", DECLARED[::19] + DECLARED[-3:], ids=lambda one: one.name)
def test_the_declared_example_is_sound(declaration):
    example = check_fields(declaration(declaration.example), ("prompt",))
    assert bool(example.options) == declaration.has_options


def test_nothing_can_be_trained_on(registered):
    assert all("train" not in one.source.splits for one in DECLARED)
    assert registry.training_members("benchmarks") == ()
    clusters = registry.clusters("benchmarks")
    assert {name: len(tasks) for name, tasks in clusters.items() if "mmlu" in name} == {
        f"mmlu_{group}{suffix}": len(subjects)
        for suffix in ("", "_5_shot")
        for group, subjects in mmlu.GROUPS.items()
    }
    assert len(clusters["bbh_cot"]) == len(clusters["bbh_direct"]) == 27
    assert all(registry.variant(name) for name in benchmarks.SUPERGLUE + benchmarks.T0_EVALUATION)


def test_flan2021_registers_beside_it(registered, folder, small_vocabulary):
    flan2021.register(str(folder), small_vocabulary)
    assert registry.variant("rte:zero_shot:rank").collection == "flan2021"


def test_the_leak_gate_knows_what_they_hold():
    leaks = declared_leaks(cot.DECLARATIONS, DECLARED)
    assert {(one.trained, one.held_out) for one in leaks} == {
        ("cot_gsm8k", "gsm8k_0_shot"),
        ("cot_gsm8k", "gsm8k_8_shot"),
    }
    assert not [one for one in declared_leaks(flan2021.DECLARATIONS, DECLARED)]


def test_a_protocol_takes_no_list_of_options(registered):
    name = f"mmlu_{SUBJECT}_5_shot"
    for form in ("zero_shot_no_options:rank", "zero_shot_letters:rank", "zero_shot_permuted:rank"):
        assert registry.variant(f"{name}:{form}") is None
    assert registry.variant(f"{name}:five_shot:rank") is None
    (first, *_) = registry.renderings(f"{name}:zero_shot:rank", "test")
    assert "OPTIONS" not in first.inputs and first.options == ["A", "B", "C", "D"]


def test_golden_renderings(registered):
    made = {}
    for name in SCORED:
        first = next(registry.renderings(name, "test"))
        made[name] = [first.inputs, first.targets, first.options, first.references]
    if os.environ.get("FLAN_JAX_UPDATE_GOLDEN"):
        GOLDEN.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n")
    assert made == json.loads(GOLDEN.read_text())


# --- MMLU ----------------------------------------------------------------------------------------


def test_five_solved_questions_come_in_their_order(folder):
    fields = _named(f"mmlu_{SUBJECT}_5_shot")(_row(f"mmlu_{SUBJECT}_5_shot", folder))
    places = [fields["prompt"].index(f"How much is {n} + 1") for n in (100, 101, 102, 103, 104, 0)]
    assert places == sorted(places)
    assert fields["prompt"].count("Answer: B\n\n") == 5
    assert fields["prompt"].endswith("D. 3\nAnswer:")
    assert fields["prompt"].startswith(
        "The following are multiple choice questions (with answers) about  abstract algebra.\n\nHow"
    )


def test_too_long_prompts_lose_the_last_solved_questions(folder, small_vocabulary):
    row = _row(f"mmlu_{SUBJECT}_5_shot", folder)
    whole = mmlu.Prompt(SUBJECT, small_vocabulary)(row)["prompt"]
    tokens = len(small_vocabulary.encode(whole))
    row |= {"question": "x" * (mmlu.MAX_TOKENS - tokens + 150)}
    cut = mmlu.Prompt(SUBJECT, small_vocabulary)(row)["prompt"]
    assert "100 + 1" in cut and "101 + 1" in cut and "104 + 1" not in cut
    assert len(small_vocabulary.encode(cut)) < mmlu.MAX_TOKENS
    alone = mmlu.Prompt(SUBJECT, small_vocabulary)(row | {"question": "x" * 5000})["prompt"]
    assert "Answer: B" not in alone and alone.endswith("Answer:")


def test_rows_of_all_sources_are_the_same():
    row = {"question": "?", "A": "1", "B": "2", "C": "3", "D": "4", "answer": "C"}
    same = {"question": "?", "choices": ["1", "2", "3", "4"], "answer_idx": 2}
    assert mmlu.from_csv(row) == same
    hub = {"question": "?", "subject": "x", "choices": ["1", "2", "3", "4"], "answer": 2}
    assert mmlu.from_hub(hub) == same
    with pytest.raises(RowError, match="3 choices where 4"):
        mmlu.Prompt("x")(same | {"choices": ["1", "2", "3"]})
    with pytest.raises(RowError, match="label out of range"):
        mmlu.Prompt("x")(same | {"answer_idx": 4})


def test_a_broken_line_names_its_place(tmp_path):
    target = tmp_path / "a_test.csv"
    target.write_text('"1, or\n2?",x\n\ny\n"3?",z\n')
    source = csv_table("a_{split}.csv", ("question", "answer"), ("test", "dev"))
    good, bad, last = source.rows("test", str(tmp_path))
    assert good == {"question": "1, or\n2?", "answer": "x"} and last["answer"] == "z"
    assert isinstance(bad, BadRow) and bad.location == f"{target}:4"
    assert bad.reason == "1 columns where 2 are expected"
    assert source.num_examples("test", str(tmp_path)) == 3
    assert source.locate("test", 2, str(tmp_path)) == f"{target}:5"
    assert source.availability(str(tmp_path)).lacking == ("dev",)
    assert source.availability(None).state == "missing"
    with pytest.raises(FileNotFoundError, match=r"there is no .*a_dev\.csv; check --data_dir"):
        list(source.rows("dev", str(tmp_path)))
    target.write_bytes(b"\xff,x\n")
    with pytest.raises(ValueError, match=r"a_test\.csv is not UTF-8"):
        list(source.rows("test", str(tmp_path)))


def test_a_change_of_what_is_shown_is_another_data_set(tmp_path):
    benchmark_files.write_mmlu(tmp_path)
    source = _named(f"mmlu_{SUBJECT}_5_shot").source
    before = source.fingerprint("test", str(tmp_path))
    path = tmp_path / "mmlu" / "data" / "dev" / f"{SUBJECT}_dev.csv"
    path.write_text(path.read_text().replace("adds", "is more"))
    assert source.fingerprint("test", str(tmp_path)) != before
    path.write_text("2+2?,1,2,3,4,D\n")
    with pytest.raises(ValueError, match="has 1 rows, and 5 are shown"):
        list(source.rows("test", str(tmp_path)))
    path.write_text("2+2?,1,2,3,4,E\n" * 5)
    with pytest.raises(ValueError, match=r"_dev\.csv:1: row cannot be adapted .*mend it"):
        list(source.rows("test", str(tmp_path)))
    with pytest.raises(ValueError, match="has no split 'dev'; it has test, validation"):
        list(source.rows("dev", str(tmp_path)))


def test_one_subject_of_a_file_with_many(tmp_path):
    lines = [{"subject": subject, "n": n} for n, subject in enumerate("abba")]
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "dev.jsonl").write_text("\n".join([*map(json.dumps, lines), "{"]))
    source = MatchingSource(jsonl("s", ("dev",)), "subject", "b")
    first, second, broken = source.rows("dev", str(tmp_path))
    assert (first["n"], second["n"]) == (1, 2) and isinstance(broken, BadRow)
    assert source.num_examples("dev", str(tmp_path)) == 3
    assert source.locate("dev", 1, str(tmp_path)).endswith("dev.jsonl:3")


# --- BIG-Bench Hard ------------------------------------------------------------------------------


def test_the_official_prompt_is_shown_as_it_is(folder):
    row = _row(f"bbh_{BBH_TASK}_cot", folder)
    with_chains = _named(f"bbh_{BBH_TASK}_cot")(row)["prompt"]
    assert with_chains == (
        benchmark_files.BBH_PROMPT + "\nQ: not True is\nA: Let's think step by step."
    )
    assert _named(f"bbh_{BBH_TASK}_direct")(row) == {
        "prompt": "Say what a chain of nots gives.\n\nNots come before all else.\n\n"
        "Q: not True is\nA: False\n\nQ: not not True is\nA: True\n\nQ: not False is\nA: True\n\n"
        "Q: not True is\nA:",
        "answer": "False",
    }


def test_answers_alone():
    prompt = "Add.\n\nQ: 1 + 1?\nA: Let's think step by step.\nOne and one. So the answer is 2."
    assert answers_alone(prompt) == "Add.\n\nQ: 1 + 1?\nA: 2"
    twice = prompt.replace("One", "So the answer is 3. No: one").replace("2.", "] } ].")
    assert answers_alone(twice).endswith("A: ] } ]")


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("cot-prompts/{}.txt", "No dashes.", r"{}\.txt: no line of dashes after the canary"),
        ("cot-prompts/{}.txt", "c\n---\nAdd.", r"{}\.txt: no question"),
        ("cot-prompts/{}.txt", "c\n---\nAdd.\n\nQ: 1?\nA: 2", r"{}\.txt: question 1 lacks"),
        ("bbh/{}.json", "{", r"{}\.json: broken JSON"),
        ("bbh/{}.json", '{"examples": []}', r"{}\.json: expected an object with a list"),
    ],
)
def test_a_malformed_file_is_an_error_that_names_it(tmp_path, file, text, message):
    clone = benchmark_files.write_bbh(tmp_path)
    (clone / file.format(BBH_TASK)).write_text(text)
    with pytest.raises(BenchmarkFileError, match=message.replace("{}", BBH_TASK)):
        list(BigBenchHardSource(BBH_TASK).rows("test", str(tmp_path)))


def test_a_bad_example_and_a_missing_clone_are_named(tmp_path):
    source = BigBenchHardSource(BBH_TASK)
    assert source.availability(str(tmp_path)).state == "missing"
    with pytest.raises(FileNotFoundError, match="git clone https://github.com/suzgunmirac"):
        list(source.rows("test", str(tmp_path)))
    clone = benchmark_files.write_bbh(tmp_path)
    path = clone / "bbh" / f"{BBH_TASK}.json"
    path.write_text(json.dumps({"examples": [{"input": "not True is"}]}))
    (bad,) = source.rows("test", str(tmp_path))
    assert bad.location == f"{path}: examples[0]"
    assert source.availability(str(clone)).state == "local"  # the clone may be the data folder


@pytest.mark.parametrize(
    ("prediction", "target", "score"),
    [
        ("Not True is False. So the answer is False.", "False", 1.0),
        ("So the answer is (B).\n\nQ: And this?\nA: So the answer is (C).", "(B)", 1.0),
        ("So the answer is (B). Q: And this? A: So the answer is (C).", "(C)", 0.0),
        ("So the answer is ] } ].", "] } ]", 1.0),
        ("] ) ]", "] } ]", 0.0),
        ("apple pear", "apple pear", 1.0),
        ("pear apple", "apple pear", 0.0),
        ("That makes $1,200.00 in all", "1200", 1.0),
        ("48 / 2 = 24.\n#### 24", "24", 1.0),
        ("#### -3", "3", 0.0),
        ("", "24", 0.0),
    ],
)
def test_answers_are_found_and_compared(prediction, target, score):
    assert metrics.answer_match(prediction, [target]) == score


def test_metrics_of_benchmarks():
    assert metrics.answer_match("So it is 4 + 5. #### 9 Q: How many?", ["9"]) == 1.0
    assert metrics.answered("Gladly!", ["1000"]) == 1.0
    assert metrics.answered(" \n", ["1000"]) == 0.0


# --- GSM8K and IFEval ----------------------------------------------------------------------------


def test_eight_training_problems_are_shown(folder):
    row = _row("gsm8k_8_shot", folder)
    fields = _named("gsm8k_8_shot")(row)
    assert fields["answer"] == "999" and fields["prompt"].count("####") == 8
    assert "A: 1002+5=1007.\n#### 1,007\n\nQ: Ann has 995 and gets 4." in fields["prompt"]
    alone = _named("gsm8k_0_shot")(_row("gsm8k_0_shot", folder))["prompt"]
    assert alone == ("Q: Ann has 995 and gets 4. How many?\nA: Let's think step by step.")
    assert gsm8k.solution("3 * 4 = <<3*4=12>>12") == "3 * 4 = 12"
    assert gsm8k.number("... = 1200 pens.\n#### 1,200") == "1200"
    with pytest.raises(RowError, match="no answer behind ####"):
        gsm8k.number("twelve")


def test_what_a_verdict_needs_is_kept():
    fields = ifeval.prompt(ifeval.EXAMPLE | {"kwargs": [{"num_words": 20, "n": None}, {}]})
    assert fields["prompt"] == ifeval.EXAMPLE["prompt"]
    key, needed = fields["answer"]
    assert key == "1" and json.loads(needed) == {
        "key": 1,
        "instruction_id_list": ifeval.EXAMPLE["instruction_id_list"],
        "kwargs": [{"num_words": 20}, {}],
    }
    with pytest.raises(RowError, match="differ in length"):
        ifeval.prompt(ifeval.EXAMPLE | {"kwargs": []})


# --- end to end ----------------------------------------------------------------------------------


def _score(names, vocabulary, tmp_path, split="test"):
    """Caches tasks, scores a small model of random weights, and reads what was written."""
    config = CacheConfig(2048, 64)
    caches = [
        cache.build(name, split, vocabulary, config, str(tmp_path / "caches"), progress=False)
        for name in names
    ]
    model = dataclasses.replace(
        small_models.CONFIGS["encoder_decoder"], vocab_size=vocabulary.size, num_layers=1
    )
    run = EvaluateRun(
        "runs/x",
        caches,
        str(tmp_path / "out"),
        settings=EvaluationConfig(batch_size=20, max_decode_length=2),
    )
    engine.evaluate_run(run, model, small_models.params_of(model), vocabulary.decode)
    return json.loads((tmp_path / "out" / "report.json").read_text()), tmp_path / "out"


def _check_prompts(report, out, names, rows):
    """Each score has the hash of its file beside it, and the file has a line a prompt."""
    listed = {task["form"]: task for task in _tasks(report)}
    assert {*listed} == {*names}
    for name in names:
        path = out / "prompts" / f"{name.replace(':', '.')}.jsonl"
        assert len(path.read_text().splitlines()) == rows
        assert listed[name]["prompts"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert 0.0 <= listed[name]["score"] <= 1.0


def _tasks(report):
    clusters = report["clusters"].values()
    return [task["tuned"] for cluster in clusters for task in cluster["tasks"].values()]


def test_every_benchmark_is_scored(registered, small_vocabulary, tmp_path, capsys):
    report, out = _score(SCORED, small_vocabulary, tmp_path)
    _check_prompts(report, out, SCORED, benchmark_files.ROWS)
    table = capsys.readouterr().out
    assert "prompts" in table
    for cluster in report["clusters"].values():
        assert cluster["prompts"][:8] in table
        assert cluster["pooled"]["tuned"] == pytest.approx(cluster["tuned"])
    assert not any(task["left_out"] for task in _tasks(report))  # no prompt was cut
    loaded = results.load(str(out / "results.json"))
    assert {task.prompts for task in loaded.tasks} == {task["prompts"] for task in _tasks(report)}
    (path,) = (path for task, path in journal.files(str(out)).items() if "ifeval" in task)
    kept = [json.loads(one["references"][1]) for one in journal.read(path)[1]]
    assert {one["key"] for one in kept} == {*range(7000, 7000 + benchmark_files.ROWS)}


def test_real_data_is_scored(data_dir, small_vocabulary, clean_registries, tmp_path):
    benchmarks.register(str(data_dir), small_vocabulary)
    subjects = [f"mmlu_{subject}:zero_shot:rank" for subject in mmlu.SUBJECTS]
    counts = [sum(1 for _ in registry.renderings(name, "dev")) for name in subjects]
    assert counts == [5] * 57
    drops = Drops()
    assert sum(1 for _ in registry.renderings(SCORED[5], "test", drops=drops)) == 1319
    assert sum(1 for _ in registry.renderings(SCORED[6], "test", drops=drops)) == 541
    assert not drops.total
    report, out = _score(subjects[:3], small_vocabulary, tmp_path, "dev")
    _check_prompts(report, out, subjects[:3], 5)


def test_shown_rows_are_the_first_ones(folder):
    source = ShownSource(gsm8k.source("train", "test"), "train", 8)
    shown = source.exemplars(str(folder))
    assert [one["question"].split()[2] for one in shown] == [str(n) for n in range(995, 1003)]
    assert source.splits == ("test",)
    assert source.num_examples("test", str(folder)) == benchmark_files.ROWS
    assert source.locate("test", 1, str(folder)).endswith("test.jsonl:2")
    assert "shown=train[:8]" in source.chosen(str(folder)).version
