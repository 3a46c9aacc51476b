"""A wheel that is installed elsewhere finds the gin files, the tasks and gin-config itself."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CODE = """
import gin, os, flan_jax
from flan_jax import configuration
from tasks.mini import vocabulary
assert "site" in flan_jax.__file__, flan_jax.__file__
assert hasattr(gin, "parse_config_files_and_bindings")
(model,), _ = configuration.build(["ModelConfig"], ["models/t5_1_1_xxl.gin"])
assert model.d_model == 4096
assert vocabulary.load().size > 900
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns(".*", "runs", "caches", "*.egg-info", "__pycache__", "build")
    shutil.copytree(ROOT, folder / "source", ignore=ignored)
    subprocess.run(
        [sys.executable, "-c", "from setuptools import build_meta; build_meta.build_wheel('..')"],
        cwd=folder / "source",
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_an_installed_wheel_finds_its_files(site):
    # -S leaves out the editable install; the dependencies are put back by hand.
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    code = f"import sys; sys.path[:0] = [{str(site)!r}]; sys.path.append({packages!r})\n{CODE}"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=site.parent, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_wheel_holds_no_package_named_gin(site):
    assert not (site / "gin").exists()
    assert (site / "tasks" / "mini" / "vocabulary.model").exists()
    assert not (site / "tests").exists()
