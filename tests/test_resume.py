"""End to end: a run that is stopped, killed or moved ends as if nothing had happened.

`20 steps` are those of `training_support.small_run`: dropout and gradient accumulation on, several
windows and epochs long.
"""

import dataclasses
import json
import os
import signal
import time

import jax
import numpy as np
import pytest
from training_support import finish, losses, small_run, start_process, write_mixture

from flan_jax import storage
from flan_jax.data import feed
from flan_jax.data.mixture import open_mixture
from flan_jax.parallel.mesh import MeshConfig
from flan_jax.train import run_folder
from flan_jax.train.checkpoint import CheckpointConfig, load_params
from flan_jax.train.fingerprint import FingerprintMismatch
from flan_jax.train.loop import train
from flan_jax.train.metrics_log import LoggingConfig

# One process of a run: `settings` change `small_run`; a hook may kill it at a chosen moment.
PROCESS = """
import dataclasses, hashlib, json, os, signal, sys, threading, time
from pathlib import Path
folder, mixture, settings = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
import jax
from training_support import small_run
from flan_jax.parallel.mesh import MeshConfig
from flan_jax.train import loop
from flan_jax.train.checkpoint import Checkpoints
from flan_jax.train.metrics_log import LoggingConfig

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def kill_in_background_save(step):
    save = Checkpoints.save
    def save_and_die(self, state, at, *rest):
        save(self, state, at, *rest)
        if at == step:
            half = Path(folder) / "checkpoints" / f"{step}.orbax-checkpoint-tmp"
            while not half.exists():
                assert not (half.parent / str(step)).exists(), "the save was too quick to catch"
            die()
    Checkpoints.save = save_and_die

def kill_in_compilation():
    make = loop.make_train_step
    def make_and_die(*arguments):
        step = make(*arguments)
        def first_call(state, batch):
            traced = step.trace(state, batch).lower()
            threading.Timer(0.2, die).start()
            traced.compile()
            raise SystemExit("compiled before it could be killed")
        return first_call
    loop.make_train_step = make_and_die

def kill_after(step):
    requested = loop.Interruption.requested
    loop.Interruption.requested = lambda self, at: die() if at == step else requested(self, at)

def stop_after(step):
    loop.Interruption.requested = lambda self, at: at == step

def kill_in_restore():
    restore = Checkpoints.restore
    def restore_and_die(self, abstract):
        threading.Timer(0.005, die).start()
        restore(self, abstract)
        time.sleep(10)
    Checkpoints.restore = restore_and_die

if "moment" in settings:
    name, *arguments = settings["moment"]
    globals()[name](*arguments)

hashes = []
if "hash_batches" in settings:
    assemble = loop.rules.global_batch
    def hash_and_assemble(batch, mesh):
        digest = hashlib.sha256()
        for field in batch:
            digest.update(b"" if field is None else field.tobytes())
        hashes.append(digest.hexdigest())
        return assemble(batch, mesh)
    loop.rules.global_batch = hash_and_assemble

run = small_run(folder, mixture, **settings.get("run", {}))
run = dataclasses.replace(
    run,
    mesh=MeshConfig(*settings.get("mesh", [1])),
    logging=LoggingConfig(interval=settings.get("log", 5), tensorboard=True),
)
print("training", flush=True)
result = loop.train(run)
print(json.dumps({"step": result.step, "interrupted": result.interrupted, "batches": hashes}))
forbidden = [m for m in ("tensorflow", "seqio", "gin", "torch") if m in sys.modules]
assert not forbidden, forbidden
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A mixture, and a folder of compiled programs that all runs of this module share."""
    folder = tmp_path_factory.mktemp("cache")
    return write_mixture(folder / "mixture"), str(folder / "xla")


def process(folder, cache, devices=1, **settings):
    mixture, compiled = cache
    settings.setdefault("run", {}).setdefault("compilation_cache_dir", compiled)
    return start_process(PROCESS, str(folder), mixture, json.dumps(settings), devices=devices)


def report(output: str) -> dict:
    return json.loads(output.strip().splitlines()[-1])


def final_params(folder, cache):
    run = small_run(folder, cache[0])
    return load_params(str(folder), run.model, step=run.steps)


def assert_bitwise_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def feed_states(cache, steps=20) -> list[feed.FeedState]:
    run = small_run("unused", cache[0])
    batches = feed.batches(open_mixture(cache[0]), run.feed, run.seed)
    return [next(batches)[1] for _ in range(steps)]


def test_twenty_steps_cross_windows_and_epochs(cache):
    """What the tests below rely on."""
    windows = [state.window for state in feed_states(cache)]
    examples = 32 * windows[-1]
    assert windows[9] > windows[4] > 0
    assert examples > 3 * 100


def test_stopped_and_resumed_equals_uninterrupted(tmp_path, cache):
    """In one process: SIGTERM after step 8, resumed, against a run without a stop."""
    whole = small_run(tmp_path / "whole", cache[0], compilation_cache_dir=cache[1])
    stopped = dataclasses.replace(whole, output_dir=str(tmp_path / "stopped"), evaluate_every=8)
    evaluated = []

    def evaluate(params, step):
        evaluated.append(step)
        if len(evaluated) == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return {"accuracy": 0.5}

    expected = train(whole)
    handlers = signal.getsignal(signal.SIGTERM)
    first = train(stopped, evaluate)
    assert (first.step, first.interrupted) == (9, True)
    assert signal.getsignal(signal.SIGTERM) == handlers
    second = train(stopped, evaluate)
    assert (second.step, second.interrupted) == (20, False)
    assert_bitwise_equal(second.params, expected.params)
    assert evaluated == [8, 16, 20]
    third = train(stopped, evaluate)  # nothing left to do
    assert (third.step, third.metrics) == (20, {})
    assert_bitwise_equal(third.params, expected.params)
    lines = (tmp_path / "stopped" / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [r["step"] for r in records if "loss" in r] == [5, 8, 9, 10, 15, 16, 20]
    assert [r["step"] for r in records if "evaluation/accuracy" in r] == [8, 16, 20]
    with pytest.raises(FingerprintMismatch, match="seed: 0 -> 1"):
        train(dataclasses.replace(whole, seed=1))
    with pytest.raises(ValueError, match="evaluate"):
        train(dataclasses.replace(whole, evaluate_every=5))
    best = dataclasses.replace(whole, checkpoint=CheckpointConfig(best="nli"))
    with pytest.raises(ValueError, match="best='nli' is no score .*: set TrainRun.evaluate_every"):
        train(best, evaluate)
    with pytest.raises(ValueError, match="best='nli' is no score .*: they give accuracy, mean"):
        train(dataclasses.replace(best, evaluate_every=5), evaluate, ("accuracy", "mean"))

    fresh = dataclasses.replace(
        whole, output_dir=str(tmp_path / "tuned"), init_from=whole.output_dir, steps=5
    )
    tuned = train(fresh)
    assert tuned.step == 5
    identity = run_folder.read_run(fresh.output_dir)["fingerprint"]["fields"]["init_from"]
    assert identity.endswith("@20")
    # warm weights and a fresh optimiser: better than the source began, and its rate warms up
    assert losses(fresh)[5] < losses(whole)[10]
    other = write_mixture(tmp_path / "other", vocabulary_digest="b" * 64)
    with pytest.raises(ValueError, match="vocabulary"):
        train(dataclasses.replace(fresh, output_dir=str(tmp_path / "x"), mixture=other))


def test_sigterm_saves_and_exits_0_without_tensorflow(tmp_path, cache):
    running = process(tmp_path, cache, run={"steps": 100_000}, log=1)
    deadline = time.monotonic() + 120
    log = tmp_path / "metrics.jsonl"
    while not (log.exists() and log.read_text().count("\n") > 3):
        assert running.poll() is None and time.monotonic() < deadline, running.communicate()
        time.sleep(0.05)
    running.send_signal(signal.SIGTERM)
    output = finish(running)
    result = report(output)
    assert result["interrupted"]
    assert run_folder.committed_steps(tmp_path)[-1] == result["step"]
    assert "SIGTERM: saved at step" in output
    assert list((tmp_path / "tensorboard").iterdir())


def test_extending_a_run_in_a_remote_folder(tmp_path, cache):
    mixture, compiled = cache
    url = f"memory://{tmp_path.name}/run"
    run = small_run(url, mixture, steps=4, compilation_cache_dir=compiled)
    run = dataclasses.replace(
        run,
        checkpoint=CheckpointConfig(interval=100),
        logging=LoggingConfig(interval=2, tensorboard=False, profile_start=2, profile_steps=1),
    )
    train(run)
    longer = train(dataclasses.replace(run, steps=6))
    assert longer.step == 6
    assert list(losses(run)) == [2, 4, 6]
    assert (storage.path(url) / "profile").is_dir()
    assert_bitwise_equal(load_params(url, run.model), longer.params)
    storage.path(url).rmtree()


@pytest.mark.slow
def test_killed_at_five_moments(tmp_path, cache):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    uncached = {"compilation_cache_dir": None}
    finish(process(whole, cache, run=dict(uncached)))
    states = feed_states(cache)
    # from the checkpoint of step 5 to step 8: another window, and another epoch of both tasks
    assert states[4].window < states[7].window
    assert 32 * states[4].window // 100 < 32 * states[7].window // 100

    def kill(*moment, **run):
        running = process(killed, cache, moment=moment, run=run)
        output, _ = running.communicate(timeout=120)
        assert running.returncode == -signal.SIGKILL, output
        return output

    kill("kill_in_compilation", **uncached)
    assert run_folder.committed_steps(killed) == []
    kill("kill_in_background_save", 5)
    assert run_folder.committed_steps(killed) == []
    kill("kill_in_background_save", 10)
    assert run_folder.committed_steps(killed) == [5]
    output = kill("kill_after", 8)
    assert "checkpoint 10 is half-written" in output
    assert "resuming from checkpoint 5" in output
    kill("kill_in_restore")
    output = finish(process(killed, cache))
    assert "resuming from checkpoint 5" in output
    assert_bitwise_equal(final_params(killed, cache), final_params(whole, cache))
    expected = losses(small_run(whole, cache[0]))
    assert losses(small_run(killed, cache[0])) == expected


@pytest.mark.slow
def test_resumed_on_other_device_counts(tmp_path, cache):
    """8 devices to step 10, then one, then 2x2x2: the same batches, the loss within 1e-5."""
    whole, moved = tmp_path / "whole", tmp_path / "moved"
    expected = report(finish(process(whole, cache, hash_batches=True, log=1)))
    constant = feed_states(cache)
    seen = []
    for shape, stop in (([8, 1, 1], 7), ([1], 14), ([2, 2, 2], 20)):
        running = process(
            moved, cache, devices=int(np.prod(shape)), mesh=shape, hash_batches=True, log=1,
            moment=["stop_after", stop],
        )  # fmt: skip
        result = report(finish(running, timeout=300))
        seen += result["batches"][: stop - len(seen)]
        assert result["step"] == stop
    assert len(constant) == len(seen)
    assert seen == expected["batches"][:20]
    a, b = losses(small_run(whole, cache[0])), losses(small_run(moved, cache[0]))
    assert list(a) == list(b) == list(range(1, 21))
    for step in a:
        assert b[step] == pytest.approx(a[step], abs=1e-5), step


def test_a_mesh_that_does_not_divide_is_refused(tmp_path, cache):
    run = small_run(tmp_path, cache[0], mesh=MeshConfig(data=3))
    with pytest.raises(ValueError, match="devices"):
        train(run)


def test_the_best_checkpoint_is_kept_while_training(tmp_path, cache):
    """Evaluated every 3 steps, saved every 5: the best is saved when it is scored."""
    scores = {3: 0.2, 6: 0.8, 9: 0.4, 11: 0.7}
    config = CheckpointConfig(interval=5, keep=1, best="accuracy")
    settings = {"checkpoint": config, "evaluate_every": 3, "compilation_cache_dir": cache[1]}
    run = small_run(tmp_path, cache[0], steps=11, **settings)
    given, kept = [], {}

    def evaluate(params, step):
        given.append(params)
        kept[step] = jax.tree.map(np.array, params)
        return {"accuracy": scores[step]}

    result = train(run, evaluate, ("accuracy",))
    assert run_folder.committed_steps(tmp_path) == [6, 11]
    best = load_params(str(tmp_path), run.model, step=6)
    jax.tree.map(np.testing.assert_array_equal, best, kept[6])
    # What is scored is the training state itself, and no copy of it.
    pairs = zip(jax.tree.leaves(given[-1]), jax.tree.leaves(result.params), strict=True)
    assert all(one is other for one, other in pairs)
