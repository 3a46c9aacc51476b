"""The vocabulary gives T5's ids without TensorFlow, and the same ids as SeqIO's."""

import pickle
import subprocess
import sys

import pytest

from flan_jax.data import token_ids
from flan_jax.data.vocabulary import Vocabulary

TEXTS = (
    "The house is wonderful.",
    "line one\nline two\n\nOPTIONS:\n- yes\n- no",
    "two  blanks   and\ta tab ",
    " leading blank",
    "",
    "Grüße, naïve façade – “quoted” … 你好 🙂 ½ ﬁ",
    "I like <extra_id_0> and <extra_id_1>ly sandwiches <extra_id_99>",
    "jel<extra_id_0> <extra_id_100> <extra_id_0><extra_id_1>",
    "{braces} <html> \\ backslash ~",
)


@pytest.fixture(scope="module")
def t5(data_dir) -> Vocabulary:
    return Vocabulary(str(data_dir / "tokenizers" / "t5_spiece.model"))


def test_ids_of_a_text():
    assert token_ids.of_text([5, 0, 6, 1, 7], end=1, pad=0) == [5, 6]
    assert token_ids.of_text([5, 0, 6], end=1, pad=None) == [5, 0, 6]


def test_t5_ids(t5):
    assert t5.encode("The house is wonderful.") == [37, 629, 19, 1627, 5]
    assert t5.decode([37, 629, 19, 1627, 5, t5.eos_id, 37]) == "The house is wonderful."
    assert t5.decode([37, 629, t5.pad_id, t5.pad_id]) == "The house"
    assert (t5.pad_id, t5.eos_id, t5.unk_id) == (0, 1, 2)
    assert t5.size == 32_100
    assert t5.encode_batch(list(TEXTS)) == [t5.encode(text) for text in TEXTS]


def test_t5_sentinels_lie_between_pieces_and_spare_embedding_rows(t5):
    assert t5.sentinel(0) == 32_099
    assert t5.sentinel(99) == 32_000
    assert t5.encode("<extra_id_0> a <extra_id_99>") == [32_099, 3, 9, 32_000]
    assert t5.decode([32_099, 3, 9]) == "<extra_id_0> a"
    # T5 has 32,128 embedding rows; a model may name the spare ones, and decoding must stand it.
    assert t5.decode([37, 32_127]) == t5.decode([37, t5.unk_id])
    with pytest.raises(ValueError, match="sentinel 100 does not exist"):
        t5.sentinel(100)


def test_t5_loses_line_breaks_and_repeated_blanks(t5):
    prompt = "Is it so?\nOPTIONS:\n- yes\n- no\nANSWER:"
    assert t5.round_trip(prompt) == "Is it so? OPTIONS: - yes - no ANSWER:"
    assert t5.round_trip("two  blanks") == "two blanks"
    unknown = t5.encode("{a} \\ b")
    assert t5.count_unknown(unknown) == 3


def test_ids_equal_seqio(t5):
    from flan_jax.data.seqio_adapter import seqio_vocabulary, vocabulary_of

    theirs = seqio_vocabulary(t5)
    for text in TEXTS:
        assert t5.encode(text) == theirs.encode(text)
        assert t5.encode(text) == theirs.encode_tf(text).numpy().tolist()
        assert t5.decode(t5.encode(text)) == theirs.decode(theirs.encode(text))
    assert theirs.vocab_size == t5.size
    assert vocabulary_of(theirs) == t5


def test_digest_tells_vocabularies_apart(small_vocabulary, tmp_path):
    copy = tmp_path / "copy.model"
    copy.write_bytes(open(small_vocabulary.path, "rb").read())
    assert Vocabulary(str(copy), extra_ids=10) == small_vocabulary
    assert Vocabulary(str(copy), extra_ids=11) != small_vocabulary
    assert pickle.loads(pickle.dumps(small_vocabulary)) == small_vocabulary


def test_unusable_models_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no SentencePiece model at"):
        Vocabulary(str(tmp_path / "none.model"))
    broken = tmp_path / "broken.model"
    for content in (b"no model", b""):
        broken.write_bytes(content)
        for extra_ids in (0, 100):
            with pytest.raises(ValueError, match="bytes. is not a SentencePiece model .* anew"):
                Vocabulary(str(broken), extra_ids)


def test_pure_modules_import_without_tensorflow():
    program = (
        "import sys\n"
        "for name in ('tensorflow', 'seqio', 'gin', 'tensorflow_datasets'):\n"
        "    sys.modules[name] = None\n"
        "from flan_jax.data import declarations, forms, rendering, sources, templates\n"
        "from flan_jax.data import variants, vocabulary\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
