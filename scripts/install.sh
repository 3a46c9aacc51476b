#!/usr/bin/env bash
# Makes .venv with flan_jax and the locked dependencies: scripts/install.sh [EXTRAS], e.g. "test" or "tpu,test".
# A second call returns at once unless setup.py or constraints.txt has changed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

extras="${1:-}"
python="${PYTHON:-python3}"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "flan_jax needs Python 3.11 or newer; $python is $("$python" --version 2>&1)." \
    "Point PYTHON at a newer one: PYTHON=python3.12 $0" >&2
  exit 1
}
stamp=".venv/.installed-$(cat setup.py constraints.txt <(echo "$extras") | cksum | cut -d' ' -f1)"
if [[ -f "$stamp" ]]; then exit 0; fi
[[ -x .venv/bin/python ]] || "$python" -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
.venv/bin/uv pip install --quiet --python .venv/bin/python --constraint constraints.txt \
  --editable ".${extras:+[$extras]}"
touch "$stamp"
