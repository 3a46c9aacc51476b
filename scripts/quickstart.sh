#!/usr/bin/env bash
# The whole main job on the embedded collection, without a network once installed: caches, a small pretrained base
# model, instruction tuning with clusters held out, zero-shot scores before and after, runs/quickstart/report.html.
# Hardware: 2 CPU cores. Time: about 5 minutes, at most 8 after the install.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bash scripts/install.sh "${1:-}"
exec .venv/bin/python scripts/experiment.py --gin_file experiments/mini_quickstart.gin
