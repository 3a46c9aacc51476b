#!/usr/bin/env bash
# Starts the processes of a job that no cluster manager starts.
#
#   scripts/launch/hosts.sh --local N COMMAND...
#       N processes on this machine; each takes one GPU. SIGTERM and Ctrl-C reach all of them; if
#       one fails, the others have 10 seconds to say why they cannot go on, and are then killed.
#   scripts/launch/hosts.sh --coordinator HOST:PORT --processes N --process I COMMAND...
#       process I (from 0) of N, on this machine; HOST is that of process 0, PORT any free one.
#       Run it on each machine with its own I.
#
# For instance, on two machines:
#   first$   scripts/launch/hosts.sh --coordinator first:8476 --processes 2 --process 0 python scripts/train.py ...
#   second$  scripts/launch/hosts.sh --coordinator first:8476 --processes 2 --process 1 python scripts/train.py ...
set -uo pipefail

usage() { sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; }
refuse() { echo "hosts.sh: $1; see hosts.sh --help" >&2; exit 2; }

local_count="" coordinator="" processes="" process=""
while (($#)); do
  case "$1" in
    --help | -h) usage; exit 0 ;;
    --local) local_count="${2:-}"; shift 2 || refuse "--local needs a number" ;;
    --coordinator) coordinator="${2:-}"; shift 2 || refuse "--coordinator needs host:port" ;;
    --processes) processes="${2:-}"; shift 2 || refuse "--processes needs a number" ;;
    --process) process="${2:-}"; shift 2 || refuse "--process needs a number" ;;
    --) shift; break ;;
    -*) refuse "unknown argument $1" ;;
    *) break ;;
  esac
done
(($#)) || refuse "no command"

if [[ -z "$local_count" ]]; then
  [[ "$coordinator" == *:* ]] || refuse "--coordinator must be HOST:PORT, or use --local N"
  [[ "$processes" =~ ^[0-9]+$ && "$process" =~ ^[0-9]+$ ]] || refuse "--processes and --process must be numbers"
  export JAX_COORDINATOR_ADDRESS="$coordinator" JAX_NUM_PROCESSES="$processes" JAX_PROCESS_ID="$process"
  exec "$@"
fi

[[ "$local_count" =~ ^[1-9][0-9]*$ ]] || refuse "--local must be a number, got $local_count"
[[ -z "$coordinator$processes$process" ]] || refuse "--local goes without the other options"
port="$(python3 -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')"
pids=()
for ((number = 0; number < local_count; number++)); do
  JAX_COORDINATOR_ADDRESS="localhost:$port" JAX_NUM_PROCESSES="$local_count" JAX_PROCESS_ID="$number" \
    JAX_LOCAL_DEVICE_IDS="${JAX_LOCAL_DEVICE_IDS:-$number}" "$@" &
  pids+=($!)
done
trap 'kill -TERM "${pids[@]}" 2>/dev/null' TERM INT

# Polled, since `wait` returns early at a signal and `wait -n` can miss one of two that end at once.
status=0 left=0
while ((${#pids[@]})); do
  sleep 0.2
  running=() worst=0
  for pid in "${pids[@]}"; do
    if kill -0 "$pid" 2>/dev/null; then running+=("$pid"); continue; fi
    # The error of one is often what another's signal (128 and more) led to.
    wait "$pid"; ended=$?
    if ((ended > worst)); then worst=$ended; fi
  done
  pids=("${running[@]}")
  if ((worst && !status)); then status=$worst; left=50; fi # 50 polls of 0.2 s
  if ((status && ${#pids[@]} && --left == 0)); then kill -KILL "${pids[@]}"; fi
done
exit "$status"
