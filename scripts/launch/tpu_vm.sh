#!/usr/bin/env bash
# Installs and runs on all workers of a Cloud TPU VM slice, from your own machine, through gcloud.
#
#   scripts/launch/tpu_vm.sh NAME ZONE install [EXTRAS]   copies the commit that is checked out here, installs it (tpu,gcs)
#   scripts/launch/tpu_vm.sh NAME ZONE run COMMAND...     starts COMMAND on all workers; it outlives the connection
#   scripts/launch/tpu_vm.sh NAME ZONE watch              follows the log of the first worker
#   scripts/launch/tpu_vm.sh NAME ZONE errors             prints the last lines of the log of every worker
#   scripts/launch/tpu_vm.sh NAME ZONE stop               SIGTERM: the run saves and stops on all workers
#
# The project is that of `gcloud config set project`. On each worker the code is in ~/flan_jax, its environment in
# ~/flan_jax/.venv, the log of the last run in ~/flan_jax/run.log. For instance
#   scripts/launch/tpu_vm.sh my-tpu us-east5-a run python scripts/train.py --gin_file runs/tune.gin \
#       '--gin.TrainRun.output_dir="gs://bucket/runs/flan"'
set -euo pipefail

usage() { sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; }
if [[ "${1:---help}" == --help || "$1" == -h ]]; then usage; exit 0; fi
if (($# < 3)); then echo "tpu_vm.sh: expected NAME ZONE and what to do; see tpu_vm.sh --help" >&2; exit 2; fi
name="$1" zone="$2" action="$3"
shift 3

on() { # on WORKER COMMAND: runs a shell command on one worker, or on "all"
  gcloud compute tpus tpu-vm ssh "$name" --zone="$zone" --worker="$1" --command="$2"
}

install() {
  local archive
  archive="$(mktemp -d)/flan_jax.tar.gz"
  git -C "$(dirname "${BASH_SOURCE[0]}")/../.." archive --format=tar.gz --output="$archive" HEAD
  gcloud compute tpus tpu-vm scp "$archive" "$name:flan_jax.tar.gz" --zone="$zone" --worker=all
  rm -r "$(dirname "$archive")"
  # The images of TPU VMs come with Python 3.10, which is too old: uv brings its own.
  on all "set -e
    mkdir -p flan_jax && tar -xzf flan_jax.tar.gz -C flan_jax && cd flan_jax
    python3 -m pip install --quiet --user uv
    python3 -m uv python install --quiet 3.11
    PYTHON=\$(python3 -m uv python find --no-project 3.11) bash scripts/install.sh $1"
}

run() {
  local command
  command="$(printf '%q ' "$@")"
  on all "set -e
    cd flan_jax
    if [ -e run.pid ] && kill -0 \$(cat run.pid) 2> /dev/null; then
      echo \"a run is going on here, process \$(cat run.pid): stop it first\" >&2; exit 1
    fi
    export PATH=\$PWD/.venv/bin:\$PATH
    nohup setsid $command > run.log 2>&1 < /dev/null & echo \$! > run.pid"
}

case "$action" in
  install) install "${1:-tpu,gcs}" ;;
  run) (($#)) || { echo "tpu_vm.sh: run needs a command" >&2; exit 2; }; run "$@" ;;
  watch) on 0 "tail -n 50 -F flan_jax/run.log" ;;
  errors) on all "echo \"== \$(hostname)\"; tail -n 20 flan_jax/run.log" ;;
  stop) on all "kill -TERM \$(cat flan_jax/run.pid)" ;;
  *) echo "tpu_vm.sh: unknown action $action; see tpu_vm.sh --help" >&2; exit 2 ;;
esac
