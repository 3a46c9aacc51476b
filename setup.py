"""Installs flan_jax, the task declarations and the gin files.

`gin/` is a folder of configuration, never a Python package (it would shadow gin-config), so its
files travel inside the wheel as data of `flan_jax` and are found by `flan_jax.configuration`.
"""

from pathlib import Path

from setuptools import find_namespace_packages, setup

ROOT = Path(__file__).parent
GIN_FOLDERS = {
    "flan_jax.gin_files." + "".join(folder.relative_to(ROOT / "gin").parts): str(
        folder.relative_to(ROOT)
    )
    for folder in sorted((ROOT / "gin").iterdir())
    if folder.is_dir()
}
VERSION = next(
    line.split('"')[1]
    for line in (ROOT / "flan_jax" / "__init__.py").read_text().splitlines()
    if line.startswith("__version__")
)

setup(
    name="flan_jax",
    version=VERSION,
    description="Instruction tuning at scale in JAX: SeqIO tasks, a sharded transformer, "
    "held-out evaluation.",
    long_description=(ROOT / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=[
        *find_namespace_packages(include=["flan_jax*", "tasks*"]),
        *GIN_FOLDERS,
    ],
    package_dir=GIN_FOLDERS,
    package_data={
        "tasks.mini": ["*.model"],
        **{package: ["*.gin"] for package in GIN_FOLDERS},
    },
    install_requires=[
        "etils[epath]>=1.10",
        "flax>=0.12",
        "fsspec",
        "gin-config>=0.5",
        "importlib-resources",  # TFDS needs it to download, and does not say so
        "jinja2",
        "jax>=0.10,<0.13",
        "jaxtyping",
        "langdetect",  # IFEval's language of a response is defined by it
        "nltk",
        "numpy",
        "optax>=0.2.8",
        "orbax-checkpoint>=0.12",
        "pyarrow>=15,<26",  # Apache Beam needs < 26
        "pyyaml",
        "rich",
        "rouge-score",
        "sacrebleu",
        "safetensors",
        "sentencepiece<0.2.2",  # later ones need protobuf 7, which Apache Beam does not allow
        "seqio>=0.0.20",
        "tensorboardX",
        "tensorflow>=2.20",
        "tensorflow-datasets",
        "tokenizers",
    ],
    extras_require={
        "tpu": ["jax[tpu]"],
        "cuda": ["jax[cuda12]"],
        "cuda13": ["jax[cuda13]"],
        "beam": ["apache-beam"],
        "gcs": ["gcsfs"],
        "hf": ["datasets", "transformers"],
        "lm_eval": ["lm_eval>=0.4.13"],
        "test": ["pytest", "pytest-xdist", "ruff"],
    },
)
