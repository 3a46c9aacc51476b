"""Two hosts, started by the shipped launcher: killed, moved to one host, and preempted."""

import json
import os
import signal
import sys
import time

import numpy as np
import pytest
from test_distributed import ended, launch
from training_support import losses, small_run, write_mixture

from flan_jax.data import feed
from flan_jax.data.mixture import open_mixture
from flan_jax.train import run_folder

# A host notes the digest of each row that it feeds, and its process number.
HOST = """
import dataclasses, hashlib, json, os, signal, sys
from pathlib import Path
folder, mixture, compiled, mesh, steps, killed_at = sys.argv[1:]
from flan_jax.parallel import distributed
distributed.initialize()
import jax
from training_support import small_run
from flan_jax.parallel.mesh import MeshConfig
from flan_jax.train import loop
from flan_jax.train.metrics_log import LoggingConfig

me = jax.process_index()
notes = Path(f"{folder}.{jax.process_count()}.{me}")
notes.with_suffix(f".{me}.pid").write_text(str(os.getpid()))
assemble, requested = loop.rules.global_batch, loop.Interruption.requested

def note_and_assemble(batch, mesh):
    rows = [
        hashlib.sha256(b"".join(field[row].tobytes() for field in batch if field is not None))
        for row in range(len(batch.weights))
    ]
    with notes.open("a") as file:
        file.write(json.dumps([row.hexdigest() for row in rows]) + "\\n")
    return assemble(batch, mesh)

def die_or_ask(self, step):
    if step == int(killed_at) and me == jax.process_count() - 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return requested(self, step)

loop.rules.global_batch, loop.Interruption.requested = note_and_assemble, die_or_ask
run = small_run(
    folder, mixture, compilation_cache_dir=compiled, steps=int(steps),
    mesh=MeshConfig.parse(mesh), logging=LoggingConfig(interval=1, tensorboard=False),
)
assert jax.device_count() == 8
result = loop.train(run)
print(json.dumps({"process": me, "step": result.step, "interrupted": result.interrupted}))
"""


def start(tmp_path, name, processes, mesh, steps=20, killed_at=0):
    return launch(
        "hosts.sh", "--local", processes, sys.executable, "-c", HOST, tmp_path / name,
        tmp_path / "cache" / "toy-train.json", tmp_path / "xla", mesh, steps, killed_at,
        devices=8 // processes,
    )  # fmt: skip


def rows_of(tmp_path, name, processes):
    """The digests of each batch's rows, of all hosts; what was only prefetched included."""
    hosts = [
        [json.loads(line) for line in (tmp_path / f"{name}.{processes}.{host}").open()]
        for host in range(processes)
    ]
    return [sum(parts, []) for parts in zip(*hosts, strict=False)]


@pytest.mark.slow
def test_two_hosts_killed_and_resumed_on_one_equal_one(tmp_path):
    mixture = write_mixture(tmp_path / "cache")
    ended(start(tmp_path, "whole", 1, "data=4,fsdp=2"))
    expected = rows_of(tmp_path, "whole", 1)
    # Host 1 is killed in step 13; the launcher ends host 0 and reports the kill.
    killed = start(tmp_path, "moved", 2, "data=2,fsdp=2,sequence=2", killed_at=13)
    ended(killed, code=128 + signal.SIGKILL)
    assert run_folder.committed_steps(tmp_path / "moved")[-1] == 10
    assert rows_of(tmp_path, "moved", 2)[:13] == expected[:13]
    assert "resuming from checkpoint 10" in ended(start(tmp_path, "moved", 1, "fsdp=4,tensor=2"))
    assert rows_of(tmp_path, "moved", 1)[:10] == expected[10:20]
    a, b = (losses(small_run(tmp_path / name, mixture)) for name in ("whole", "moved"))
    assert list(a) == list(b) == list(range(1, 21))
    worst = max(abs(a[step] - b[step]) for step in a)
    print(f"largest difference of the loss: {worst:.1e}")
    assert worst <= 1e-5


@pytest.mark.slow
def test_one_preempted_host_saves_and_stops_both(tmp_path):
    write_mixture(tmp_path / "cache")
    both = start(tmp_path, "run", 2, "data=2,fsdp=2,tensor=2", steps=100_000)
    log = tmp_path / "run" / "metrics.jsonl"
    deadline = time.monotonic() + 300
    while not (log.exists() and log.read_text().count("\n") > 3):
        assert both.poll() is None and time.monotonic() < deadline, both.communicate()
        time.sleep(0.1)
    os.kill(int((tmp_path / "run.2.1.pid").read_text()), signal.SIGTERM)
    output = ended(both)
    reports = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    assert sorted(report["process"] for report in reports) == [0, 1]
    assert all(report["interrupted"] for report in reports)
    assert {report["step"] for report in reports} == {
        run_folder.committed_steps(tmp_path / "run")[-1]
    }
    assert output.count("SIGTERM: saved at step") == 1  # host 0 alone talks


def test_a_host_reads_its_share_of_the_data_alone(tmp_path, monkeypatch):
    """Of 8 rows of a batch, a host of four reads the tokens of two: no example twice over all."""
    mixture = open_mixture(write_mixture(tmp_path / "cache"))
    config = small_run("unused", "unused").feed
    read, rows_read = feed.assemble, []

    def count(mixture, config, window, rows):
        chosen = np.isin(window.row, rows)
        rows_read.append((len(rows), chosen.sum()))
        return read(mixture, config, window, rows)

    monkeypatch.setattr(feed, "assemble", count)

    def totals(host, hosts):
        rows_read.clear()
        batches = feed.batches(mixture, config, 0, feed.FeedState(), host, hosts)
        batch = [next(batches)[0] for _ in range(12)]
        assert all(len(part.weights) == 8 // hosts for part in batch)
        return np.sum(rows_read, axis=0)

    whole = totals(0, 1)
    shares = [totals(host, 4) for host in range(4)]
    # Windows are read as a whole, so that hosts may be ahead by the rows of the last one.
    np.testing.assert_array_equal(np.sum(shares, axis=0), whole)
    assert max(rows for rows, _ in shares) - min(rows for rows, _ in shares) <= 2
