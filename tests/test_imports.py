"""What runs on accelerator hosts imports without TensorFlow, SeqIO and gin."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FREE = (
    "flan_jax.batch",
    "flan_jax.storage",
    "flan_jax.experiment",
    "flan_jax.data.feed",
    "flan_jax.data.leaks",
    "flan_jax.data.ledger",
    "flan_jax.data.packing",
    "flan_jax.data.packing_exchange",
    "flan_jax.data.store",
    "flan_jax.data.vocabulary",
    "flan_jax.data.declarations",
    "flan_jax.data.preparation",
    *(
        str(path.relative_to(ROOT).with_suffix("")).replace("/", ".")
        for package in ("model", "parallel", "train", "evaluation", "interop")
        for path in sorted((ROOT / "flan_jax" / package).rglob("*.py"))
        # The adapter's class inherits from lm_eval's; tests/test_lm_eval.py imports it.
        if path.stem not in ("__init__", "lm_eval")
    ),
)
BLOCK = """
import importlib, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "tensorflow_datasets", "seqio", "gin"):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocked())
"""


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True
    )


def test_free_modules_import_with_tensorflow_seqio_and_gin_blocked():
    done = run_python(BLOCK + "for name in sys.argv[1:]: importlib.import_module(name)", *FREE)
    assert done.returncode == 0, done.stderr


def test_help_of_convert_needs_no_jax():
    code = "import sys; sys.path.insert(0, 'scripts'); import convert; convert.parser()"
    done = run_python(f"{code}; assert not {{'jax', 'numpy', 'torch'}} & set(sys.modules)")
    assert done.returncode == 0, done.stderr


def test_the_block_works():
    done = run_python(BLOCK + "import seqio")
    assert "seqio is blocked" in done.stderr


@pytest.mark.parametrize(
    "script", ["cache", "check_leaks", "evaluate", "experiment", "generate", "ledger", "train"]
)
def test_help_needs_neither_jax_nor_tensorflow(script):
    code = (
        "import runpy, sys\n"
        "sys.argv = sys.argv[1:]\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as done: assert done.code == 0\n"
        "heavy = {'jax', 'tensorflow', 'seqio'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = run_python(code, f"scripts/{script}.py", "--help")
    assert done.returncode == 0, done.stderr
    assert "--gin_file" in done.stdout
