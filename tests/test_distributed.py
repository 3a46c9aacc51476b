"""Start-up of several processes: who is missing, who is told, and what the launchers start."""

import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import jax
import pytest
from training_support import REPOSITORY

from flan_jax.parallel import distributed
from flan_jax.parallel.arrival import ArrivalError, Job, roll_call

LAUNCH = REPOSITORY / "scripts" / "launch"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return listener.getsockname()[1]


def arrive(jobs, limit=20.0) -> list[str]:
    """What each process hears: nothing, or why it cannot go on."""

    def one(job):
        try:
            roll_call(job, limit)
        except ArrivalError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(one, jobs))


def jobs(*numbers, of=3):
    coordinator = f"localhost:{free_port()}"
    return [Job(coordinator, of, number) for number in numbers]


def test_all_arrive_and_the_port_is_free_again():
    started = jobs(0, 1, 2)
    for _ in range(2):
        assert arrive(started) == ["", "", ""]


def test_a_process_that_does_not_arrive_is_named_to_all_others():
    heard = arrive(jobs(2, 0, 4, of=5), limit=1.0)
    assert len(set(heard)) == 1
    assert "3 of 5 processes arrived within 1 s; missing: 1, 3." in heard[0]
    assert f"Arrived: 0 on {socket.gethostname()}, 2 on" in heard[0]


def test_a_coordinator_that_does_not_arrive_is_named():
    (heard,) = arrive(jobs(1), limit=0.5)
    assert "process 0, which coordinates the job at localhost:" in heard
    assert "has not arrived within 0.5 s" in heard


def test_two_processes_of_one_number_are_told():
    heard = arrive(jobs(0, 1, 1))
    assert any("two processes are number 1: on" in text for text in heard)
    assert all(heard)


def test_processes_that_disagree_on_their_count_are_told():
    first, second = jobs(0, 1, of=2)
    heard = arrive([first, Job(second.coordinator, 3, 1)])
    assert heard[0] == heard[1]
    assert "was started as one of 3 processes, process 0 as one of 2" in heard[0]


def test_strangers_and_a_process_that_was_restarted_do_no_harm():
    coordinator, *others = jobs(0, 1, 2)
    place = ("localhost", int(coordinator.coordinator.split(":")[1]))
    heard = []
    thread = threading.Thread(target=lambda: heard.extend(arrive([coordinator])))
    thread.start()
    for line in (b"PRI * HTTP/2.0\r\n\r\n", b'{"process": 1, "of": 3, "host": "a"}\n'):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                with socket.create_connection(place) as stranger:
                    stranger.sendall(line)
                break
            except ConnectionRefusedError:
                time.sleep(0.01)
    assert arrive(others) == ["", ""]
    thread.join()
    assert heard == [""]


def test_a_port_that_is_taken_is_told():
    with socket.create_server(("", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ArrivalError, match=f"port {port} is taken"):
            roll_call(Job(f"localhost:{port}", 2, 0), 1.0)


@pytest.mark.parametrize("job", [Job("localhost", 2, 0), Job("localhost:80", 2, 2)])
def test_a_job_that_cannot_be_is_refused(job):
    with pytest.raises(ArrivalError, match="expected a coordinator host:port and a process id"):
        roll_call(job, 1.0)


def test_part_of_a_job_description_is_refused(monkeypatch):
    monkeypatch.delenv("JAX_NUM_PROCESSES", raising=False)
    with pytest.raises(ValueError, match="missing: num_processes, process_id"):
        distributed.initialize(coordinator="localhost:1234")
    monkeypatch.setenv("JAX_NUM_PROCESSES", "two")
    with pytest.raises(ValueError, match="JAX_NUM_PROCESSES='two' is not a whole number"):
        distributed.initialize()


def test_a_single_process_is_left_alone(monkeypatch):
    for variable in ("SLURM_JOB_ID", "JAX_NUM_PROCESSES"):
        monkeypatch.delenv(variable, raising=False)
    jax.devices()
    distributed.initialize()
    distributed.initialize(num_processes=1)
    for name, value in (SLURM | {"SLURM_NTASKS": "1", "SLURM_PROCID": "0"}).items():
        monkeypatch.setenv(name, value)
    distributed.initialize()
    assert not jax.distributed.is_initialized()


SLURM = {
    "SLURM_JOB_ID": "4096", "SLURM_STEP_NODELIST": "node[07-08]", "SLURM_NTASKS": "4",
    "SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_STEP_NUM_NODES": "2",
}  # fmt: skip


@pytest.fixture
def slurm(monkeypatch):
    for name in ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_slurm_is_detected_and_a_task_takes_the_gpus_that_are_its_own(slurm):
    one_of_its_host = Job("node07:61440", 4, 3, (1,))
    assert distributed._detected(1) == one_of_its_host
    slurm.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert distributed._detected(1) == one_of_its_host
    # Slurm has shown it one GPU (--gpus-per-task), or it is the only task of its node.
    slurm.setenv("CUDA_VISIBLE_DEVICES", "5")
    assert distributed._detected(1) == Job("node07:61440", 4, 3)
    slurm.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    slurm.setenv("SLURM_STEP_NUM_NODES", "4")
    assert distributed._detected(1) == Job("node07:61440", 4, 3)


def test_a_job_that_used_a_device_too_early_is_told(slurm):
    jax.devices()
    with pytest.raises(RuntimeError, match="process 3 of 4.*before the first use of a device"):
        distributed.initialize()


def launch(script, *arguments, devices=1, **variables):
    """Starts a launcher; simulated devices are those of each process."""
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests")]),
    }
    return subprocess.Popen(
        [str(LAUNCH / script), *map(str, arguments)],
        env=environment | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process, code=0, timeout=300) -> str:
    output, _ = process.communicate(timeout=timeout)
    assert process.returncode == code, output
    return output


TWO_PROCESSES = """
import jax, jax.numpy as jnp, numpy as np, sys, warnings
from flan_jax.parallel import distributed, rules
from flan_jax.parallel.mesh import MeshConfig, make_mesh
from small_models import *

distributed.initialize()
distributed.initialize()  # a second call is harmless
assert (jax.process_count(), jax.device_count()) == (2, 4)
whole = rows_batch(DECODER_ONLY, [examples([(5, 3)], row) for row in range(4)], 8, 8)
for sizes, hosts in (((2, 2, 1, 1), 2), ((1, 1, 4, 1), 1), ((2, 1, 2, 1), 2), ((1, 1, 1, 4), 1)):
    mesh = make_mesh(MeshConfig(*sizes))
    share, count = rules.host_share(mesh)
    assert count == hosts and share == (jax.process_index() if hosts == 2 else 0)
    rows = 4 // count
    mine = jax.tree.map(lambda x: x[share * rows : (share + 1) * rows], whole)
    placed = rules.global_batch(mine, mesh)
    total = jax.jit(lambda x: (x * jnp.arange(1, 5)[:, None]).sum())(placed.decoder_targets)
    assert int(total) == int((whole.decoder_targets * np.arange(1, 5)[:, None]).sum())
print("passed", flush=True)
warnings.warn(f"chat of {jax.process_index()}")
if jax.process_index() == 1:
    raise ValueError("two\\nlines")
jax.block_until_ready(jax.jit(lambda x: x.sum())(placed.decoder_targets))
while True: pass  # what a host does whose collective waits for one that has failed
"""


def test_two_processes_feed_one_mesh_and_the_error_of_one_ends_both():
    output = ended(launch("hosts.sh", "--local", 2, sys.executable, "-c", TWO_PROCESSES, devices=2),
                   code=1)  # fmt: skip
    assert output.count("passed") == 2
    assert "chat of 0" in output and "chat of 1" not in output
    prefix = f"[process 1 of 2 on {socket.gethostname()}] "
    assert f"{prefix}ValueError: two\n{prefix}lines\n" in output
    assert "[process 0" not in output


def test_the_launchers_processes_name_the_one_that_is_missing():
    place = f"localhost:{free_port()}"
    code = "from flan_jax.parallel import distributed; distributed.initialize()"
    started = [
        launch(
            "hosts.sh", "--coordinator", place, "--processes", 3, "--process", number,
            sys.executable, "-c", code, FLAN_JAX_START_SECONDS="4",
        )
        for number in (0, 2)
    ]  # fmt: skip
    for number, process in zip((0, 2), started, strict=True):
        output = ended(process, code=1)
        assert f"[process {number} of 3 on" in output
        assert "arrived within 4 s; missing: 1." in output


def test_a_signal_to_the_launcher_reaches_all_processes():
    code = "trap 'echo saved; exit 0' TERM; echo started; while true; do sleep 0.05; done"
    process = launch("hosts.sh", "--local", 3, "bash", "-c", code)
    for _ in range(3):
        assert process.stdout.readline() == "started\n"
    process.terminate()
    assert ended(process, timeout=60) == "saved\n" * 3


def test_the_launcher_reports_the_kill_and_not_the_error_that_it_led_to():
    code = "if (( JAX_PROCESS_ID )); then kill -KILL $$; fi; sleep 0.1; exit 1"
    ended(launch("hosts.sh", "--local", 2, "bash", "-c", code), code=137)


def test_a_host_says_what_is_wrong_with_its_command_line():
    for arguments, said in (
        (["--local", "two", "true"], "--local must be a number, got two"),
        (["--coordinator", "first", "--processes", 2, "--process", 0, "true"], "HOST:PORT"),
        (["--coordinator", "a:1", "--processes", 2, "true"], "must be numbers"),
        (["--lokal", 2], "unknown argument --lokal"),
        (["--local"], "--local needs a number"),
        (["--local", 2], "no command"),
    ):
        assert said in ended(launch("hosts.sh", *arguments), code=2)
