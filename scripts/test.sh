#!/usr/bin/env bash
# Installs what the tests need into .venv, then runs ruff and the test suite: scripts/test.sh [PYTEST ARGUMENTS]
# Longer checks run with: scripts/test.sh -m slow
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bash scripts/install.sh test
.venv/bin/ruff check .
.venv/bin/ruff format --check .
exec .venv/bin/python -m pytest --numprocesses auto --dist loadfile "$@"
