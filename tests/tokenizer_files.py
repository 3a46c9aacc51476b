"""Tokenizers of every kind, made on the spot, and strings to try them on."""

import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from sentencepiece import sentencepiece_model_pb2
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing

# Files of real data with more than letters of English, and how many strings of each.
SOURCES = {
    "dbpedia_14/test.jsonl.gz": 4000,
    "code_alpaca_2k/train.jsonl.gz": 2000,
    "multi30k_en_de/train.jsonl.gz": 1200,
    "multi30k_en_fr/train.jsonl.gz": 1200,
    "gsm8k/train.jsonl.gz": 800,
    "super_natural_instructions/tasks/task1239_ted_translation_gl_ja.json.gz": 600,
    "samsum/train.jsonl.gz": 200,
}
# First code points of the letters of scripts, living and dead, and of signs and symbols.
BLOCKS = (
    *(0xA1, 0x100, 0x250, 0x300, 0x391, 0x410, 0x531, 0x5D0, 0x627, 0x710, 0x784, 0x905, 0x985),
    *(0xA05, 0xA85, 0xB05, 0xB85, 0xC05, 0xC85, 0xD05, 0xD85, 0xE01, 0xE81, 0xF40, 0x1000, 0x10D0),
    *(0x1100, 0x1200, 0x13A0, 0x1401, 0x16A0, 0x1780, 0x1820, 0x1E00, 0x1F00, 0x2010, 0x20A0),
    *(0x2100, 0x2190, 0x2200, 0x2460, 0x2500, 0x2600, 0x2701, 0x2800, 0x2C00, 0x2D30, 0x3001),
    *(0x3041, 0x30A1, 0x3105, 0x3131, 0x3220, 0x3300, 0x4E00, 0x5B57, 0xA000, 0xA4D0, 0xAC00),
    *(0xFB00, 0xFB1D, 0xFE70, 0xFF01, 0xFF66, 0x10330, 0x10400, 0x12000, 0x13000, 0x1D400),
    *(0x1F300, 0x1F600, 0x1F680, 0x1F900, 0x20000, 0xE000, 0xF0000),
)
AWKWARD = (
    "", " ", "  ", "\n", "\t\n ", " leading", "trailing ", "two  blanks   and\ttab", "\r\nline",
    "no\u00a0break\u2003em\u3000wide\u200bzero\u200dwidth\ufeff", "\x00\x01\x1f\x7f", "\ufffd",
    "e\u0301 \u00e9 \u1e9b\u0323 ﬁ ½ ² Ⅷ ㎏ ﷺ", "👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪🇫🇷", "👍🏽 1️⃣ ❤️ ☺", "😀😀😀",
    "नमस्ते दुनिया", "مرحبا بالعالم", "שָׁלוֹם עוֹלָם", "สวัสดีชาวโลก", "こんにちは世界", "안녕하세요 세계",
    "ሰላም ልዑል", "Привет, мир", "Γειά σου Κόσμε", "你好，世界。", "▁ ▁▁ Ġ Ċ", "1234567890",
    "x=(a+b)*c//2;\n    return x\n", "I'll they've we'd",
    "https://example.org/a?b=c&d=%20#e", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
)  # fmt: skip
LLAMA_3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def real_strings(data_dir: Path) -> list[str]:
    """10,000 strings from real data."""
    found = []
    for name, count in SOURCES.items():
        strings = _strings(json.loads(text) for text in _documents(data_dir / name))
        distinct = list(dict.fromkeys(strings))
        # Those of other scripts than Latin first: most of the data is English.
        distinct.sort(key=lambda text: max(map(ord, text), default=0) <= 0x24F)
        assert len(distinct) >= count, name
        found += distinct[:count]
    assert len(found) == 10_000
    return found


def made_strings() -> list[str]:
    """Letters of every script, as words and alone, and what tokenizers stumble over."""
    words = ["".join(map(chr, range(first, first + 7))) for first in BLOCKS]
    return [*AWKWARD, *words, *(f"the {word} and {word[3]}." for word in words)]


def _documents(path: Path) -> list[str]:
    with gzip.open(path, "rt") as file:
        return [file.read()] if ".json.gz" in path.name else list(file)


def _strings(values) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            yield from _strings(value.values())
        elif isinstance(value, list):
            yield from _strings(value)


def llama_3(texts: Sequence[str], folder: Path) -> Path:
    """Byte-level BPE; special tokens behind the pieces, one before a text, no padding."""
    tokenizer = _byte_level(texts, Regex(LLAMA_3_SPLIT))
    tokenizer.add_special_tokens(["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"])
    tokenizer.post_processor = _template(tokenizer, "<|begin_of_text|> $A")
    config = {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>"}
    return _write(tokenizer, folder, {"tokenizer_config.json": config})


def qwen(texts: Sequence[str], folder: Path) -> Path:
    """Byte-level BPE after NFC; nothing before a text."""
    tokenizer = _byte_level(texts, Regex(LLAMA_3_SPLIT.replace("{1,3}", "")))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    config = {
        "add_bos_token": False,
        "bos_token": None,
        "eos_token": "<|im_end|>",
        "pad_token": {"__type": "AddedToken", "content": "<|endoftext|>"},
    }
    return _write(tokenizer, folder, {"tokenizer_config.json": config})


def llama_2(texts: Sequence[str], folder: Path) -> Path:
    """SentencePiece's BPE as tokenizer.json: blanks are letters, unknown ones become bytes."""
    first = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=1500, special_tokens=first, show_progress=False)
    learner.train_from_iterator(texts, trainer)
    learnt = _model(learner)
    merges = [tuple(pair) for pair in learnt["merges"]]
    tokenizer = Tokenizer(
        models.BPE(learnt["vocab"], merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.post_processor = _template(tokenizer, "<s> $A")
    tokens = {"bos_token": "<s>", "eos_token": {"content": "</s>"}, "unk_token": "<unk>"}
    return _write(tokenizer, folder, {"special_tokens_map.json": tokens})


def unigram(texts: Sequence[str], folder: Path) -> Path:
    """Unigram as T5's: padding 0, an end behind every text, sentinels last."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=1500,
        special_tokens=["<pad>", "</s>", "<unk>"],
        unk_token="<unk>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    # The order of equally likely pieces is another each time, and with it the ids of all tests.
    learnt = [(piece, round(score, 6)) for piece, score in _model(tokenizer)["vocab"]]
    pieces = [*learnt[:3], *sorted(learnt[3:], key=lambda one: (-one[1], one[0]))]
    tokenizer.model = models.Unigram(pieces, unk_id=2)
    tokenizer.add_special_tokens([f"<extra_id_{index}>" for index in range(9, -1, -1)])
    tokenizer.post_processor = _template(tokenizer, "$A </s>")
    return _write(tokenizer, folder, {"config.json": {"pad_token_id": 0, "eos_token_id": 1}})


def twin(model: Path, folder: Path) -> Path:
    """A SentencePiece Unigram model as tokenizer.json."""
    proto = sentencepiece_model_pb2.ModelProto.FromString(model.read_bytes())
    pieces = [(piece.piece, piece.score) for piece in proto.pieces]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=proto.trainer_spec.unk_id))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap),
            # SentencePiece drops blanks at both ends and keeps one of several.
            normalizers.Strip(),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
    tokenizer.post_processor = _template(tokenizer, "$A </s>")
    return _write(tokenizer, folder, {"config.json": {"pad_token_id": 0, "eos_token_id": 1}})


def _byte_level(texts: Sequence[str], split: Regex) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(split, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1500,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _model(tokenizer: Tokenizer) -> dict:
    return json.loads(tokenizer.to_str())["model"]


def _template(tokenizer: Tokenizer, single: str) -> TemplateProcessing:
    names = [name for name in single.split() if name != "$A"]
    tokens = [(name, tokenizer.token_to_id(name)) for name in names]
    return TemplateProcessing(single=single, special_tokens=tokens)


def _write(tokenizer: Tokenizer, folder: Path, files: dict[str, dict]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    for name, values in files.items():
        (folder / name).write_text(json.dumps(values))
    return folder
