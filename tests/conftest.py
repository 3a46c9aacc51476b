"""What several test files need: the folder of real data and a small vocabulary."""

import io
import os
import sys
from pathlib import Path

import pytest

# Unbuffered, a program's line is written in parts, and lines of two processes mix in one pipe.
os.environ.pop("PYTHONUNBUFFERED", None)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data; tests that ask for it are skipped where it is absent."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("FLAN_JAX_DATA_DIR", default))
    if not folder.is_dir():
        pytest.skip(f"needs the folder of real data at {folder}; set FLAN_JAX_DATA_DIR")
    return folder


@pytest.fixture(scope="session")
def small_vocabulary(tmp_path_factory: pytest.TempPathFactory):
    """A vocabulary of letters and a few words, trained on the spot."""
    import sentencepiece

    from flan_jax.data.vocabulary import Vocabulary

    text = "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ 0123456789 .,:;?!-'\"<>_{}()+=/"
    lines = [text, "OPTIONS: - yes - no ANSWER: yes", "the question and the answer are one"]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines * 5),
        model_writer=model,
        vocab_size=110,
        hard_vocab_limit=False,
        character_coverage=1.0,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    path = tmp_path_factory.mktemp("vocabulary") / "small.model"
    path.write_bytes(model.getvalue())
    return Vocabulary(str(path), extra_ids=10)


@pytest.fixture(scope="module", autouse=True)
def registries_of_its_own():
    """Leaves SeqIO's registries as a test file found them: files may share a process."""
    if "seqio" not in sys.modules:
        yield
        return
    import seqio

    kept = [(one, dict(one._REGISTRY)) for one in (seqio.TaskRegistry, seqio.MixtureRegistry)]
    yield
    for one, entries in kept:
        one._REGISTRY = entries


@pytest.fixture
def clean_registries():
    """Leaves SeqIO's registries as they were."""
    import seqio

    kept = [(one, dict(one._REGISTRY)) for one in (seqio.TaskRegistry, seqio.MixtureRegistry)]
    yield
    for one, entries in kept:
        one._REGISTRY = entries
