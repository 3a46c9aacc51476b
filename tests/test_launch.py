"""The launchers of clusters, on stand-ins for `srun` and `gcloud` that run what they are given."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from jax.sharding import AbstractMesh
from training_support import REPOSITORY

from flan_jax import configuration
from flan_jax.parallel.mesh import AXES, resolve
from flan_jax.train import mesh_fit

LAUNCH = REPOSITORY / "scripts" / "launch"

# Two tasks on one node, with what Slurm tells each.
SRUN = """#!/usr/bin/env bash
[[ "$1 $2" == "--kill-on-bad-exit=1 --cpu-bind=none" ]] || exit 9
shift 2
export SLURM_NTASKS=2 SLURM_STEP_NODELIST=localhost SLURM_STEP_NUM_NODES=1
for task in 0 1; do SLURM_PROCID=$task SLURM_LOCALID=$task "$@" & done
wait -n && wait -n
"""

# Two workers, a home folder each; an installation is only checked for its syntax.
GCLOUD = """#!/usr/bin/env bash
echo "$*" >> "$HOMES/calls"
[[ "$1 $2 $3" == "compute tpus tpu-vm" ]] || exit 9
action="$4"; shift 4
for argument in "$@"; do
  case "$argument" in
    --zone=us-east5-a) zone=1 ;;
    --worker=*) workers="${argument#*=}" ;;
    --command=*) command="${argument#*=}" ;;
    --*) exit 9 ;;
    *) [[ -v first ]] || first="$argument" ;;
  esac
done
[[ -v zone ]] || exit 9
[[ "$workers" == all ]] && workers="0 1"
for worker in $workers; do
  cd "$HOMES/$worker" || exit 9
  if [[ "$action" == scp ]]; then cp "$first" .
  elif [[ "$command" == *install.sh* ]]; then bash -n -c "$command" && echo "$command" > install
  else HOME="$PWD" bash -c "$command" || exit 1; fi
done
"""


def stand_in(folder: Path, name: str, text: str) -> dict[str, str]:
    """Puts a program in front of the path; returns the environment."""
    programs = folder / "bin"
    programs.mkdir()
    (programs / name).write_text(text)
    (programs / name).chmod(0o755)
    return os.environ | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
        "HOMES": str(folder),
    }


def launch(script, *arguments, env, code=0):
    result = subprocess.run(
        [str(LAUNCH / script), *arguments], env=env, capture_output=True, text=True, timeout=200
    )
    assert result.returncode == code, result.stdout + result.stderr
    return result.stdout + result.stderr


@pytest.mark.parametrize("script", ["hosts.sh", "slurm.sh", "tpu_vm.sh"])
def test_launchers_explain_themselves(script):
    subprocess.run(["bash", "-n", str(LAUNCH / script)], check=True)
    for flag in ("--help", "-h"):
        assert f"{script} " in launch(script, flag, env=os.environ)


def test_slurm_tasks_find_each_other(tmp_path):
    env = stand_in(tmp_path, "srun", SRUN)
    assert "submit it: sbatch" in launch("slurm.sh", "python", env=env, code=2)
    code = (
        "from flan_jax.parallel import distributed; distributed.initialize(); import jax; "
        "print('task', jax.process_index(), 'of', jax.process_count())"
    )
    env |= {"JAX_PLATFORMS": "cpu", "SLURM_JOB_ID": str(os.getpid()), "TF_CPP_MIN_LOG_LEVEL": "3"}
    said = launch("slurm.sh", sys.executable, "-c", code, env=env)
    assert sorted(said.strip().splitlines()) == ["task 0 of 2", "task 1 of 2"]


def wait_for(path: Path, text: str) -> None:
    deadline = time.monotonic() + 60
    while text not in (path.read_text() if path.exists() else ""):
        assert time.monotonic() < deadline, path
        time.sleep(0.05)


def test_tpu_workers_run_watch_and_stop(tmp_path):
    env = stand_in(tmp_path, "gcloud", GCLOUD)
    programs = [tmp_path / worker / "flan_jax" / ".venv" / "bin" for worker in "01"]
    for folder in programs:
        folder.mkdir(parents=True)
        (folder / "run_me").write_text('#!/usr/bin/env bash\nprintf "<%s>" "$@"; exec sleep 60\n')
        (folder / "run_me").chmod(0o755)
    here = "tpu-name", "us-east5-a"
    arguments = '--gin.TrainRun.output_dir="gs://b/r"', "two words", "$HOME;'"
    launch("tpu_vm.sh", *here, "run", "run_me", *arguments, env=env)
    for worker in "01":
        wait_for(tmp_path / worker / "flan_jax" / "run.log", "".join(f"<{a}>" for a in arguments))
    assert "a run is going on here" in launch("tpu_vm.sh", *here, "run", "run_me", env=env, code=1)
    said = launch("tpu_vm.sh", *here, "errors", env=env)
    assert said.count("== ") == 2 and said.count("<two words>") == 2
    only_watch = tmp_path / "watch"
    only_watch.mkdir()
    (only_watch / "tail").symlink_to("/bin/true")  # the real one follows the log for ever
    numbers = [int((tmp_path / w / "flan_jax" / "run.pid").read_text()) for w in "01"]
    launch("tpu_vm.sh", *here, "stop", env=env)
    deadline = time.monotonic() + 60
    while any(alive(number) for number in numbers):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    launch("tpu_vm.sh", *here, "watch", env=env | {"PATH": f"{only_watch}:{env['PATH']}"})
    last = (tmp_path / "calls").read_text().splitlines()[-1]
    assert "ssh tpu-name --zone=us-east5-a --worker=0 --command=tail" in last


def alive(number: int) -> bool:
    try:
        os.kill(number, signal.SIG_DFL)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{number}/stat").read_text().split()[2] != "Z"


def test_tpu_workers_get_the_commit_that_is_checked_out(tmp_path):
    env = stand_in(tmp_path, "gcloud", GCLOUD)
    for worker in "01":
        (tmp_path / worker).mkdir()
    launch("tpu_vm.sh", "tpu-name", "us-east5-a", "install", env=env)
    for worker in "01":
        command = (tmp_path / worker / "install").read_text()
        assert command.rstrip().endswith("bash scripts/install.sh tpu,gcs")
        files = subprocess.run(
            ["tar", "-tzf", str(tmp_path / worker / "flan_jax.tar.gz")],
            capture_output=True, text=True, check=True,
        ).stdout.splitlines()  # fmt: skip
        assert {"scripts/install.sh", "constraints.txt", "flan_jax/batch.py"} <= set(files)
    for arguments in (["tpu-name"], ["tpu-name", "zone", "fly"], ["tpu-name", "zone", "run"]):
        assert "tpu_vm.sh" in launch("tpu_vm.sh", *arguments, env=env, code=2)


DOCS = REPOSITORY / "docs"
ACTIONS = {"install", "run", "watch", "errors", "stop"}


def commands(page: str) -> list[str]:
    """The shell blocks of a page."""
    return re.findall(r"^```bash\n(.*?)^```$", (DOCS / page).read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", ["tpu_vm.md", "gpu.md"])
def test_commands_of_the_pages_fit_the_scripts(page):
    blocks = commands(page)
    for block in blocks:
        subprocess.run(["bash", "-n", "-c", block], check=True)
    text = "\n".join(blocks).replace("\\\n", " ")
    used = {
        "hosts.sh": re.findall(r"hosts\.sh (.*?)(?:python|\.venv)", text),
        "tpu_vm.sh": re.findall(r"tpu_vm\.sh \$\w+ \$ZONE (\w+)", text),
        "slurm.sh": re.findall(r"sbatch (.*?) scripts", text),
    }
    for script, uses in used.items():
        known = (LAUNCH / script).read_text()
        words = [word.split("=")[0] for word in " ".join(uses).split()]
        named = [word for word in words if word.startswith("--") or word in ACTIONS]
        assert [word for word in named if word not in known] == []
        assert {*words} - {*named} <= {"2", "0", "first:8476"}
    assert sum(map(len, used.values())) >= 3
    for file in re.findall(r"--gin_file (\S+)", text):
        assert (configuration.gin_folder() / file).is_file(), file
    for path in re.findall(r"(scripts/[\w/.]+)", text):
        assert (REPOSITORY / path).is_file(), path


@pytest.mark.parametrize(("page", "devices"), [("tpu_vm.md", 64), ("gpu.md", 8)])
def test_runs_of_the_pages_fit_the_devices_of_each_slice(page, devices):
    text = "\n".join(commands(page)).replace("\\\n", " ")
    runs = re.findall(r"scripts/train\.py (.*)", text)
    assert len(runs) >= 2
    for run in runs:
        files = re.findall(r"--gin_file (\S+)", run)
        bindings = re.findall(r"--gin\.([\w.]+)=(?:'\"|\"')(.*?)(?:\"'|'\")", run)
        (tree,), _ = configuration.build(
            ["TrainRun"], files, [f"{name} = {value!r}" for name, value in bindings]
        )
        shape = resolve(tree.mesh, devices * (tree.mesh.slices or 1))
        mesh_fit.check(AbstractMesh(shape, AXES), tree.model, tree.feed)


def test_the_local_launch_of_the_page_prints_what_it_says():
    (block,) = [block for block in commands("gpu.md") if "--local 2" in block]
    result = subprocess.run(
        ["bash", "-c", block.replace("python -c", f"{sys.executable} -c")],
        cwd=REPOSITORY, env=os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(REPOSITORY)},
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    lines = sorted(result.stdout.strip().splitlines())
    assert lines == ["process 0 of 2, 1 here", "process 1 of 2, 1 here"], result.stderr
    for line in lines:
        assert f"`{line}`" in (DOCS / "gpu.md").read_text()
