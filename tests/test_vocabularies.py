"""Vocabularies are found by their files, recorded and made again, and given to SeqIO."""

import json
import pickle
import shutil
import subprocess
import sys

import fsspec
import pytest
import tokenizer_files
import tokenizers

from flan_jax.data import vocabularies
from flan_jax.data.tokenizer_json import SpecialTokens, TokenizerVocabulary

TEXTS = ["the question is one", "and the answer", "Grüße, 你好 🙂"] * 20


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return tokenizer_files.llama_3(TEXTS, tmp_path_factory.mktemp("tokenizers") / "llama")


def copied(folder, tmp_path, **files):
    """A folder with the tokenizer.json alone and other files, by stem."""
    tmp_path.mkdir(exist_ok=True)
    shutil.copy(folder / "tokenizer.json", tmp_path)
    for stem, values in files.items():
        (tmp_path / f"{stem}.json").write_text(json.dumps(values))
    return str(tmp_path)


def test_load_tells_kinds_apart(llama, small_vocabulary, tmp_path):
    assert isinstance(vocabularies.load(str(llama)), TokenizerVocabulary)
    assert vocabularies.load(str(llama / "tokenizer.json")) == vocabularies.load(str(llama))
    assert vocabularies.load(small_vocabulary.path, extra_ids=10) == small_vocabulary
    # It has T5's special ids, and no sentinels of its own.
    assert vocabularies.load(small_vocabulary.path).extra_ids == 100
    both = copied(llama, tmp_path / "both", tokenizer_config={"eos_token": "<|eot_id|>"})
    shutil.copy(small_vocabulary.path, f"{both}/tokenizer.model")
    assert isinstance(vocabularies.load(both), TokenizerVocabulary)
    shutil.copy(small_vocabulary.path, f"{both}/spiece.model")
    assert vocabularies.load(both, 10) == small_vocabulary


def test_what_is_no_vocabulary_is_refused(llama, tmp_path):
    with pytest.raises(FileNotFoundError, match="holds none of spiece.model, tokenizer.json"):
        (tmp_path / "vocab.json").write_text("{}")
        vocabularies.load(str(tmp_path))
    with pytest.raises(ValueError, match=r"expected a SentencePiece model \(.model\), a token"):
        vocabularies.load(str(tmp_path / "words.txt"))
    with pytest.raises(FileNotFoundError, match="no tokenizer.json at"):
        vocabularies.load(str(tmp_path / "none.json"))
    with pytest.raises(ValueError, match="is no tokenizer.json"):
        vocabularies.load(str(tmp_path / "vocab.json"))
    with pytest.raises(ValueError, match="nothing says which token of .* ends a sequence; put"):
        vocabularies.load(copied(llama, tmp_path / "bare"))
    wrong = {"eos_token": "<end>"}
    with pytest.raises(ValueError, match="has eos_token '<end>', which is no token there"):
        vocabularies.load(copied(llama, tmp_path / "wrong", tokenizer_config=wrong))
    (tmp_path / "wrong" / "tokenizer_config.json").write_text("{")
    with pytest.raises(ValueError, match="tokenizer_config.json is no JSON"):
        vocabularies.load(str(tmp_path / "wrong"))


def test_files_beside_a_tokenizer_name_its_special_tokens(llama, tmp_path):
    begin, end, turn = vocabularies.load(str(llama)).encode(
        "<|begin_of_text|><|end_of_text|><|eot_id|>"
    )
    assert vocabularies.load(str(llama)).special == SpecialTokens(end, begin, None, (begin,), ())

    def special(name, **files):
        return vocabularies.load(copied(llama, tmp_path / name, **files)).special

    text = {"eos_token": {"content": "<|eot_id|>"}, "pad_token": "<|end_of_text|>"}
    ids = {"eos_token_id": [end, turn], "pad_token_id": begin}
    assert special("ids", config=ids) == (end, begin, begin, (begin,), ())
    assert special("map", special_tokens_map=text)[:3] == (turn, begin, end)
    assert special("both", tokenizer_config=text, config=ids)[:3] == (turn, begin, end)
    # What transformers asks first, and what it then does to the template.
    neither = {"eos_token": "<|eot_id|>", "add_bos_token": False}
    assert special("neither", tokenizer_config=neither) == (turn, begin, None, (), ())
    both = neither | {"add_bos_token": True, "add_eos_token": True}
    assert special("ends", tokenizer_config=both) == (turn, begin, None, (begin,), (turn,))


def test_what_a_file_was_last_used_with_is_forgotten(llama, tmp_path):
    tokenizer = tokenizers.Tokenizer.from_file(str(llama / "tokenizer.json"))
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=50)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    special = vocabularies.load(str(llama)).special
    vocabulary = TokenizerVocabulary(str(tmp_path / "tokenizer.json"), special)
    expected = vocabularies.load(str(llama)).encode(TEXTS[2])
    assert vocabulary.encode_batch(TEXTS[:3])[2] == vocabulary.encode(TEXTS[2]) == expected


def test_decoding_ends_at_the_end_and_leaves_out_padding(llama, tmp_path):
    vocabulary = vocabularies.load(str(llama))
    ids = vocabulary.encode("the answer")
    assert vocabulary.decode([*ids, vocabulary.eos_id, *ids]) == "the answer"
    assert vocabulary.decode([*ids, vocabulary.size + 7]) == "the answer"
    # Without padding among its tokens, 0 is a letter like any other.
    assert vocabulary.pad_id is None and vocabulary.decode([0]) == "!"
    names = {"eos_token": "<|eot_id|>", "pad_token": "<|end_of_text|>"}
    padded = vocabularies.load(copied(llama, tmp_path, tokenizer_config=names))
    assert padded.decode([*ids, padded.pad_id, padded.pad_id]) == "the answer"
    # Half of a letter's bytes.
    assert "\ufffd" in vocabulary.decode(vocabulary.encode("🙂")[:-1])
    assert vocabulary.count_unknown(ids) == 0
    with pytest.raises(ValueError, match="sentinel 0 does not exist"):
        vocabulary.sentinel(0)
    assert [vocabulary.cut_at("the answer", kept) for kept in (0, 1, 99)][::2] == [0, 10]
    assert vocabulary.encode("the answer"[: vocabulary.cut_at("the answer", 1)]) == ids[:1]


def test_sentinels_of_a_tokenizer_are_its_last_ids(tmp_path):
    vocabulary = vocabularies.load(str(tokenizer_files.unigram(TEXTS, tmp_path)))
    assert vocabulary.extra_ids == 10
    assert vocabulary.sentinel(0) == vocabulary.size - 1
    assert vocabulary.pieces([vocabulary.sentinel(9)]) == ["<extra_id_9>"]


def test_facts_make_the_same_vocabulary(llama, small_vocabulary, tmp_path):
    for vocabulary in (vocabularies.load(str(llama)), small_vocabulary):
        facts = json.loads(json.dumps(vocabularies.facts(vocabulary)))
        kept = tmp_path / "kept"
        shutil.copy(vocabulary.path, kept)
        # Alone under another name, without the files beside it.
        assert vocabularies.from_facts(facts, str(kept)) == vocabulary
        assert vocabularies.from_facts(facts, str(kept)).digest == facts["digest"]
        assert pickle.loads(pickle.dumps(vocabulary)) == vocabulary
        assert (facts["start"], facts["end"]) == vocabulary.boundaries
    older = {name: facts[name] for name in ("path", "digest", "size", "sentinels")}
    assert vocabularies.from_facts(older) == small_vocabulary


def test_the_docstring_shows_t5s_facts(data_dir):
    facts = vocabularies.facts(vocabularies.load(f"{data_dir}/tokenizers/t5_spiece.model"))
    t5 = {"size": 32_100, "sentinels": 100, "start": 0, "end": 1, "special": None}
    assert {name: facts[name] for name in t5} == t5


def test_digests_tell_special_tokens_apart(llama, tmp_path):
    names = {"eos_token": "<|eot_id|>"}
    other = vocabularies.load(copied(llama, tmp_path, tokenizer_config=names))
    assert other.digest != vocabularies.load(str(llama)).digest
    assert other != vocabularies.load(str(llama))


def test_remote_files_are_read_when_needed(llama):
    memory = fsspec.filesystem("memory")
    url = "memory://vocabularies/llama/tokenizer.json"
    vocabulary = vocabularies.load(url)
    with pytest.raises(FileNotFoundError, match="no tokenizer.json at memory://"):
        vocabulary.encode("x")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        memory.pipe(f"/vocabularies/llama/{name}", (llama / name).read_bytes())
    assert vocabularies.load(url) == vocabularies.load("memory://vocabularies/llama")
    assert vocabulary.digest == vocabularies.load(str(llama)).digest


def test_seqio_gets_the_same_ids(llama):
    import seqio
    import tensorflow as tf

    from flan_jax.data.seqio_adapter import seqio_vocabulary, vocabulary_of

    ours = vocabularies.load(str(llama))
    theirs = seqio_vocabulary(ours)
    assert isinstance(theirs, seqio.Vocabulary)
    assert vocabulary_of(theirs) is ours
    assert theirs == seqio_vocabulary(vocabularies.load(str(llama)))
    assert (theirs.eos_id, theirs.bos_id, theirs.unk_id) == (ours.eos_id, ours.bos_id, None)
    assert theirs.vocab_size == ours.size
    for text in TEXTS[:3]:
        ids = ours.encode(text)
        assert theirs.encode(text) == ids
        assert theirs.encode_tf(text).numpy().tolist() == ids
        ended = [*ids, ours.eos_id, 5]
        assert theirs.decode(ended) == text
        assert theirs.decode_tf(tf.constant([ended, ended])).numpy().tolist() == [text.encode()] * 2
        assert theirs.decode_tf(tf.constant(ended)).numpy() == text.encode()


def test_vocabularies_import_without_tensorflow(llama):
    program = (
        "import sys\n"
        "for name in ('tensorflow', 'seqio', 'gin', 'transformers', 'jax'):\n"
        "    sys.modules[name] = None\n"
        "from flan_jax.data import vocabularies\n"
        "print(vocabularies.load(sys.argv[1]).decode([0]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(llama)], capture_output=True)
    assert done.stdout == b"!\n", done.stderr


def test_special_ids_are_no_text(llama, small_vocabulary):
    vocabulary = vocabularies.load(str(llama))
    special = vocabulary.pieces(sorted(vocabulary.special_ids))
    assert special == ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"]
    pieces = small_vocabulary.pieces(sorted(small_vocabulary.special_ids))
    sentinels = [f"<extra_id_{index}>" for index in range(9, -1, -1)]
    assert pieces == ["<pad>", "</s>", "<unk>", *sentinels]
