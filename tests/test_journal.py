"""The journal: an evaluation that is cut short, moved or run again ends as one that was not."""

import dataclasses
import json
import re
import signal
import socket
import types
from pathlib import Path

import jax
import pytest
import small_models
from evaluation_caches import write_evaluation_cache
from make_cache import VOCABULARY
from quick_compilation import compile_quickly  # noqa: F401
from training_support import finish, start_process

from flan_jax import storage
from flan_jax.evaluation import evaluate as engine
from flan_jax.evaluation import journal, predictions, scoring
from flan_jax.evaluation.evaluate import EvaluateRun, EvaluationConfig, evaluate, evaluate_run
from flan_jax.evaluation.sampling import DecodingConfig
from flan_jax.parallel.digest import params_digest

CONFIG = small_models.CONFIGS["encoder_decoder"]
# Drawn tokens: an answer then depends on the number of its prompt, too.
SETTINGS = EvaluationConfig(4, max_decode_length=4, decoding=DecodingConfig(temperature=1.0))
REPORTS = ("report.json", "report.html", "results.json")


@pytest.fixture(scope="module")
def params():
    return small_models.params_of(CONFIG)


@pytest.fixture(scope="module")
def caches(tmp_path_factory):
    root = tmp_path_factory.mktemp("caches")
    return [write_evaluation_cache(root / kind, kind) for kind in ("rank", "generate")]


def prepare():
    """A clock that stands still."""
    engine.time = types.SimpleNamespace(monotonic=lambda: 0.0)


@pytest.fixture(scope="module", autouse=True)
def prepared():
    before = engine.time
    prepare()
    yield
    engine.time = before


def decode(tokens):
    return " ".join(map(str, tokens))


def run_of(folder, caches, **changes):
    return EvaluateRun("runs/x", caches, str(folder), settings=SETTINGS, **changes)


@pytest.fixture(scope="module")
def whole(params, caches, tmp_path_factory):
    """The folder of an evaluation that nothing cut short."""
    folder = tmp_path_factory.mktemp("whole")
    evaluate_run(run_of(folder, caches), CONFIG, params, decode)
    return folder


def contents(folder):
    """What an evaluation wrote; `prepare` has set its times to zero."""
    files = [*(folder / name for name in REPORTS), *(folder / "journal").iterdir()]
    return {path.name: path.read_bytes() for path in files}


class Cut(Exception):
    """What cuts an evaluation short."""


def cut_after(monkeypatch, lines, torn=b""):
    """Ends an evaluation when so many examples are in its journals, and leaves a torn line."""
    append = journal._File.append
    count = 0

    def append_some(sink, data):
        nonlocal count
        for line in data.splitlines(keepends=True):
            if not line.startswith(b'{"journal"'):
                if count == lines:
                    append(sink, torn)
                    raise Cut
                count += 1
            append(sink, line)

    monkeypatch.setattr(journal._File, "append", append_some)


@pytest.mark.parametrize("lines", [0, 6, 12, 19])
def test_what_was_cut_short_goes_on(params, caches, whole, tmp_path, monkeypatch, lines):
    """Between two batches, in the middle of one, of the ranked task and of the generated one."""
    with monkeypatch.context() as patch:
        cut_after(patch, lines, torn=b'{"task": "animals')
        with pytest.raises(Cut):
            evaluate_run(run_of(tmp_path, caches), CONFIG, params, decode)
    files = [journal.read(path)[1] for path in journal.files(str(tmp_path)).values()]
    assert sum(map(len, files)) == lines
    scored = []
    iterate = scoring.iterate_scores

    def counted(*arguments, **keywords):
        for positions, scores in iterate(*arguments, **keywords):
            scored.extend(positions)
            yield positions, scores

    monkeypatch.setattr(scoring, "iterate_scores", counted)
    evaluate_run(run_of(tmp_path, caches), CONFIG, params, decode)
    assert len(scored) == max(0, 12 - lines // 4 * 4)  # whole batches of four
    assert contents(tmp_path) == contents(whole)


def test_the_same_again_runs_and_compiles_no_model(params, caches, whole, monkeypatch):
    before, compiled = contents(whole), []
    weights = params_digest(params)

    def fail(*arguments, **keywords):
        raise AssertionError("a model was run")

    for name in ("iterate_scores", "score_without_prompts"):
        monkeypatch.setattr(predictions.scoring, name, fail)
    monkeypatch.setattr(predictions.generation, "iterate_answers", fail)
    times = {path: path.stat().st_mtime_ns for path in (whole / "journal").iterdir()}

    def note(event, seconds, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(seconds)

    jax.monitoring.register_event_duration_secs_listener(note)
    try:
        evaluate_run(run_of(whole, caches), CONFIG, params, decode, weights=weights)
        assert not compiled
        jax.jit(lambda x: x + 1)(jax.numpy.zeros(7))
        assert compiled  # the event has this name
    finally:
        jax.monitoring.unregister_event_duration_listener(note)
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert contents(whole) == before


def test_whatever_changes_scores_has_a_journal_of_its_own(params, caches, tmp_path, monkeypatch):
    """Another batch size goes on with the same one."""
    monkeypatch.setattr(engine, "iterate_predictions", lambda *every: iter(()))
    rank = caches[:1]

    def names(cache=rank, settings=SETTINGS, config=CONFIG, weights="w"):
        evaluate(config, params, cache, settings, decode, str(tmp_path), weights=weights)
        return list(journal.files(str(tmp_path)).values())

    texts = ("Which animal.", "Which animal!")
    templates = [{"name": "", "inputs": text, "targets": "{answer}"} for text in texts]
    other = VOCABULARY | {"digest": "e" * 64}
    first = names()
    others = [
        names(settings=dataclasses.replace(SETTINGS, score="mean")),
        names(settings=dataclasses.replace(SETTINGS, max_examples=5)),
        names(weights="v"),
        names(config=dataclasses.replace(CONFIG, norm_epsilon=1e-5)),
        names([write_evaluation_cache(tmp_path / "a" / "rank", "rank", templates=templates)]),
        names([write_evaluation_cache(tmp_path / "b" / "rank-0", "rank")]),
        names([write_evaluation_cache(tmp_path / "c" / "rank", "rank", vocabulary=other)]),
    ]
    assert len({*first, *(name for (name,) in others)}) == 8
    assert names(settings=dataclasses.replace(SETTINGS, batch_size=3)) == first
    changes = {}, {"max_decode_length": 3}, {"decoding": DecodingConfig()}, {"score": "mean"}
    generated = [names(caches[1:], dataclasses.replace(SETTINGS, **one))[0] for one in changes]
    assert len({*generated}) == 3  # how options are compared is nothing to free answers


def test_the_weights_tell_journals_apart(params, caches, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "iterate_predictions", lambda *every: iter(()))
    other = jax.tree.map(lambda leaf: leaf.at[(0,) * leaf.ndim].add(1e-3), params)
    for weights in (params, other):
        evaluate(CONFIG, weights, caches[:1], SETTINGS, output_dir=str(tmp_path))
    headers = [journal.read(str(path))[0] for path in (tmp_path / "journal").glob("*.jsonl")]
    assert len({header["identity"]["weights"] for header in headers}) == 2
    assert all(header["task"] == "animals:zero_shot:rank" for header in headers)


@pytest.mark.parametrize("place", ["memory://journal/{}", "file:///{}/remote"])
def test_a_remote_journal_is_kept_in_parts(params, caches, tmp_path, monkeypatch, place):
    """Object stores cannot append, others have real folders; it ends as that of a local folder."""
    monkeypatch.setattr(journal, "_PART_SECONDS", 0.0)
    folder = place.format(tmp_path)
    append, calls = journal._Parts.append, []

    def append_some(sink, data):
        calls.append(data)
        if len(calls) == 4:
            raise Cut
        append(sink, data)

    with monkeypatch.context() as patch:
        patch.setattr(journal._Parts, "append", append_some)
        with pytest.raises(Cut):
            evaluate(CONFIG, params, caches[:1], SETTINGS, output_dir=folder)
    (path,) = journal.files(folder).values()
    assert not storage.path(path).exists()
    assert len([*storage.path(f"{path}.parts").iterdir()]) == 3
    assert len(journal.read(path)[1]) == 8
    for place in (folder, str(tmp_path)):
        evaluate(CONFIG, params, caches[:1], SETTINGS, output_dir=place)
    assert not storage.path(f"{path}.parts").exists()
    (local,) = journal.files(str(tmp_path)).values()
    assert storage.path(path).read_bytes() == Path(local).read_bytes()
    evaluate(CONFIG, params, caches[:1], SETTINGS, output_dir=folder)
    assert storage.path(path).read_bytes() == Path(local).read_bytes()


def test_damage_and_a_second_writer_are_errors(tmp_path):
    identity = {"weights": "w"}
    record = {"example": 1, "template": 0, "prediction": "a", "prompt": "p"}
    with journal.begin(str(tmp_path), "a:b", identity) as log:
        log.append([record, {**record, "example": 0}])
        with pytest.raises(journal.JournalError, match="is being written by another process"):
            with journal.begin(str(tmp_path), "a:b", identity):
                pass
    (path,) = journal.files(str(tmp_path)).values()
    assert re.fullmatch(r"a\.b\.[0-9a-f]{12}\.jsonl", Path(path).name)
    header, records = journal.read(path)
    assert header == {"journal": 1, "task": "a:b", "identity": identity}
    assert [one["example"] for one in records] == [0, 1]
    lines = Path(path).read_bytes().splitlines(keepends=True)
    Path(path).write_bytes(lines[0] + b'{"task": \n' + lines[2])
    with pytest.raises(journal.JournalError, match="line 2: expected a JSON object, got b'{\"task"):
        journal.read(path)
    with pytest.raises(journal.JournalError, match="remove the file, and its examples are scored"):
        with journal.begin(str(tmp_path), "a:b", identity):
            pass
    Path(path).write_bytes(lines[0].replace(b'"w"', b'"v"'))
    with pytest.raises(journal.JournalError, match="begins with .*expected .*remove the file"):
        with journal.begin(str(tmp_path), "a:b", identity):
            pass
    Path(path).write_bytes(b'{"journal": 2}\n')
    with pytest.raises(journal.JournalError, match='header with "journal": 1'):
        journal.read(path)
    Path(path).write_bytes(lines[0][:20])  # killed while it began
    with pytest.raises(journal.JournalError, match="holds no journal"):
        journal.read(path)
    with journal.begin(str(tmp_path), "a:b", identity) as log:
        assert not log.answers
    assert Path(path).read_bytes() == lines[0]
    assert journal.files(str(tmp_path / "elsewhere")) == {}


def test_rounds_have_prompts_of_all_lengths():
    assert predictions.rounds([5, 1, 4, 2, 3], 2) == [[0, 3], [2, 1], [4]]
    dealt = predictions.rounds([3] * 7, 3)
    assert sorted(sum(dealt, [])) == [*range(7)] and len(dealt) == 3


# An evaluation in a process of its own, which may kill itself while it writes a line.
PROCESS = """
import json, os, signal, sys
folder, caches, settings = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
import jax
jax.config.update("jax_disable_most_optimizations", True)
if "processes" in settings:
    from flan_jax.parallel import distributed
    distributed.initialize(**settings["processes"])
import small_models, test_journal
from flan_jax.evaluation import journal
from flan_jax.evaluation.evaluate import evaluate_run
from flan_jax.model import transformer
from flan_jax.parallel import rules
from flan_jax.parallel.mesh import MeshConfig, make_mesh

test_journal.prepare()
lines, kill_at = 0, settings.get("kill_at")
append = journal._File.append
def append_or_die(sink, data):
    global lines
    for line in data.splitlines(keepends=True):
        lines += 1
        if lines == kill_at:
            append(sink, line[: len(line) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        append(sink, line)
journal._File.append = append_or_die

config = test_journal.CONFIG
mesh = make_mesh(MeshConfig(*settings.get("mesh", [1])))
with jax.set_mesh(mesh):
    axes = transformer.logical_axes(config)
    layout = rules.shardings(axes, mesh, transformer.abstract(config))
    local = small_models.params_of(config)
    params = jax.tree.map(
        lambda leaf, sharding: jax.make_array_from_callback(
            leaf.shape, sharding, lambda index: jax.device_get(leaf)[index]
        ), local, layout,
    )
    run = test_journal.run_of(folder, caches)
    results = evaluate_run(run, config, params, test_journal.decode)
right = {task.name: task.statistics["accuracy"].ravel().tolist() for task in results.tasks}
print(json.dumps({"lines": lines, "right": right}))
"""


def evaluation(folder, caches, devices=1, **settings):
    arguments = str(folder), json.dumps(caches), json.dumps(settings)
    return start_process(PROCESS, *arguments, devices=devices)


def last_line(output):
    return json.loads(output.strip().splitlines()[-1])


def answers(folder):
    """The predictions in an evaluation's journals, by task, example and template."""
    records = [journal.read(path)[1] for path in journal.files(str(folder)).values()]
    return {
        (one["task"], one["example"], one["template"]): one["prediction"]
        for one in sum(records, [])
    }


@pytest.mark.slow
def test_killed_evaluations_go_on(caches, tmp_path):
    """kill -9 in the middle of a line, three times, then to the end; then on eight devices."""
    finish(evaluation(tmp_path / "whole", caches), 300)
    folder = tmp_path / "killed"
    for kill_at in (1, 8, 9, 7):
        process = evaluation(folder, caches, kill_at=kill_at)
        process.communicate(timeout=300)
        assert process.returncode == -signal.SIGKILL
    written = [journal.read(path)[1] for path in journal.files(str(folder)).values()]
    assert 0 < sum(map(len, written)) < 24
    finish(evaluation(folder, caches), 300)
    assert contents(folder) == contents(tmp_path / "whole")

    half = tmp_path / "half"
    process = evaluation(half, caches, kill_at=8)
    process.communicate(timeout=300)
    eight = {"devices": 8, "mesh": [2, 2, 2]}
    finish(evaluation(half, caches, **eight), 300)
    finish(evaluation(tmp_path / "eight", caches, **eight), 300)
    assert answers(half) == answers(tmp_path / "eight") == answers(tmp_path / "whole")
    process = evaluation(tmp_path / "eight_killed", caches, kill_at=20, **eight)
    process.communicate(timeout=300)
    finish(evaluation(tmp_path / "eight_killed", caches, **eight), 300)
    assert contents(tmp_path / "eight_killed") == contents(tmp_path / "eight")


@pytest.mark.slow
def test_processes_agree_on_what_is_left(caches, tmp_path):
    """Only the first of two processes sees the journal; both end with the same scores."""
    finish(evaluation(tmp_path / "whole", caches), 300)
    process = evaluation(tmp_path / "two0", caches, kill_at=20)
    process.communicate(timeout=300)
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        port = listener.getsockname()[1]
    processes = [
        evaluation(
            tmp_path / f"two{number}",
            caches,
            mesh=[2],
            processes={
                "coordinator": f"localhost:{port}", "num_processes": 2, "process_id": number,
            },
        )
        for number in range(2)
    ]  # fmt: skip
    first, second = (last_line(finish(process, 300)) for process in processes)
    assert first["right"] == second["right"] and second["lines"] == 0
    assert 0 < first["lines"] < 24
    assert not (tmp_path / "two1").exists()
    assert answers(tmp_path / "two0") == answers(tmp_path / "whole")
