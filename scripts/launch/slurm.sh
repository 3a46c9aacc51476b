#!/usr/bin/env bash
#SBATCH --job-name=flan_jax
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --exclusive
#SBATCH --signal=TERM@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log
# Starts a job under Slurm: one process a node, which takes all GPUs of the node.
#
#   sbatch [SBATCH OPTIONS] scripts/launch/slurm.sh COMMAND...
#
# Options of sbatch win over the lines above: --nodes=4 --gpus-per-node=4 --partition=... --time=...
# For one process a GPU, as many tasks as GPUs: --ntasks-per-node=8.
# Five minutes before the time limit, and when Slurm preempts the job with a time of grace, the
# processes get SIGTERM, save and stop. The same sbatch line goes on where the run stopped; submitted
# several times with --dependency=singleton, the jobs follow each other. After a node's failure, or
# when it is preempted without grace, Slurm queues the job again (--requeue).
#
#   sbatch --nodes=2 scripts/launch/slurm.sh .venv/bin/python scripts/train.py --gin_file runs/tune.gin ...
set -euo pipefail

usage() { sed -n '/^# Starts/,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; }
if [[ "${1:---help}" == --help || "$1" == -h ]]; then usage; exit 0; fi
if [[ -z "${SLURM_JOB_ID:-}" ]]; then
  echo "slurm.sh: not in a Slurm job; submit it: sbatch $0 $*" >&2
  exit 2
fi

# A process that fails would leave the others waiting for it. The feed and the compiler want all
# cores of the node, of which Slurm would give a task one.
exec srun --kill-on-bad-exit=1 --cpu-bind=none "$@"
