"""Checkpoints in lm-evaluation-harness: what its class for Hugging Face models gives, we give.

They need torch, transformers and lm_eval. Written with lm_eval 0.4.13, torch 2.13.0 and
transformers 5.23.0.
"""

import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import small_hf_models
import tokenizer_files
from quick_compilation import compile_quickly  # noqa: F401

from flan_jax.data import chat_templates
from flan_jax.data.conversations import USER, Conversation, Turn
from flan_jax.evaluation import scoring
from flan_jax.evaluation.examples import Example
from flan_jax.interop import hugging_face
from flan_jax.train.run_folder import RunFolderError

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("lm_eval")

import lm_eval  # noqa: E402
from lm_eval.api.instance import Instance  # noqa: E402
from lm_eval.models.huggingface import HFLM  # noqa: E402
from lm_eval.tasks import TaskManager  # noqa: E402

from flan_jax.interop.lm_eval import FlanJaxLM  # noqa: E402

ROOT = Path(__file__).parents[1]
TEXTS = [
    "the question is which of these is the answer", "a cat sat on the mat, and a dog did not",
    "Grüße aus Köln, 你好 🙂", "who wrote the letter that was found in 1912?", "yes no maybe true",
]  # fmt: skip
CONTEXTS = [
    "the question is", "a dog and a cat sat on the mat. who was it? ", "yes", "",
    "the letter of 1912\n\nthe answer:", "Grüße aus 你好 🙂 and the rest of it, which is long",
]  # fmt: skip
CONTINUATIONS = [" yes", " no", " the cat sat on the mat", "maybe", " 🙂 and a letter"]
WORDS = " ".join(TEXTS).split()
# Model, tokenizer, special tokens as transformers wants them, how much likelier EOS is made.
MODELS = {
    "t5": ("t5_1_0", tokenizer_files.unigram, ("<pad>", "</s>", None), 2.5),
    "llama": ("llama2", tokenizer_files.llama_2, ("<unk>", "</s>", "<s>"), 2.0),
    "qwen": ("qwen2", tokenizer_files.qwen, ("<|endoftext|>", "<|im_end|>", None), 2.0),
}


@pytest.fixture(scope="module", params=list(MODELS))
def folders(request, tmp_path_factory):
    """A Hugging Face folder, its tokenizer in transformers, and the run folder made of it."""
    name, tokenizer, (pad, eos, bos), scale = MODELS[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    tokenizer(TEXTS * 20, folder)
    theirs = transformers.PreTrainedTokenizerFast.from_pretrained(
        folder, pad_token=pad, eos_token=eos, bos_token=bos, unk_token=None
    )
    with pytest.MonkeyPatch.context() as patch:
        family, arguments = small_hf_models.MODELS[name]
        # transformers 5.23 gives the decoder's cache as many layers as the encoder has.
        arguments = {key: arguments[key] for key in arguments if key != "num_decoder_layers"}
        ids = {"eos_token_id": theirs.eos_token_id, "pad_token_id": theirs.pad_token_id}
        arguments |= {"vocab_size": len(theirs), **ids, "bos_token_id": theirs.bos_token_id}
        patch.setitem(small_hf_models.MODELS, name, (family, arguments))
        small_hf_models.save(name, folder)
    likelier_end(folder, theirs.eos_token_id, scale)
    run = tmp_path_factory.mktemp("run") / "run"
    hugging_face.import_folder(folder, str(run))
    return folder, theirs, run


def likelier_end(folder: Path, eos: int, scale: float) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    names = ("lm_head.weight", "shared.weight", "model.embed_tokens.weight")
    tensors[next(name for name in names if name in tensors)][eos] *= scale
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


class Peer(HFLM):
    """Their class, which adds the tokens of an encoder's context to the limit of an answer."""

    def _model_generate(self, context, max_length, stop, **kwargs):
        if self.backend == "seq2seq":
            max_length += 1 - context.shape[1]  # and the start token to be counted
        return super()._model_generate(context, max_length, stop, **kwargs)


@pytest.fixture(scope="module")
def pair(folders):
    """Their model and ours, of which a row has 64 tokens."""
    folder, tokenizer, run = folders
    theirs = Peer(
        pretrained=str(folder), tokenizer=tokenizer, device="cpu", batch_size=5, max_length=64,
        dtype="float32",
    )  # fmt: skip
    return theirs, FlanJaxLM(run, batch_size=8, max_length=64, dtype="float32")


def requests(kind: str, arguments: list[tuple]) -> list[Instance]:
    return [Instance(kind, {}, one, number) for number, one in enumerate(arguments)]


def both(pair, kind: str, arguments: list[tuple]) -> list[list]:
    """What theirs and ours answer."""
    quiet = {"disable_tqdm": True}
    return [getattr(model, kind)(requests(kind, arguments), **quiet) for model in pair]


def answers(pair, settings: dict) -> list[list[str]]:
    return both(pair, "generate_until", [(text, dict(settings)) for text in CONTEXTS if text])


def test_loglikelihoods_are_those_of_the_harness(pair):
    pairs = [(context, continuation) for context in CONTEXTS for continuation in CONTINUATIONS]
    # What greedy decoding writes, if it is the same tokens again.
    some = [" ".join(words) for words in np.random.default_rng(0).choice(WORDS, (40, 5))]
    one = requests("generate_until", [(text, {"max_gen_toks": 1}) for text in some])
    written = pair[1].generate_until(one, disable_tqdm=True)
    for before in ("", " "):  # which some tokenizers take away
        pairs += [(a, before + b) for a, b in zip(some, written, strict=True) if b.strip()]
    theirs, ours = both(pair, "loglikelihood", pairs)
    differences = [a[0] - b[0] for a, b in zip(theirs, ours, strict=True)]
    print(f"{len(pairs)} pairs: largest difference {np.abs(differences).max():.1e}")
    np.testing.assert_allclose(differences, 0, atol=1e-3)
    assert [greedy for _, greedy in ours] == [greedy for _, greedy in theirs]
    assert len({greedy for _, greedy in ours}) == 2


def test_long_contexts_are_cut_as_the_harness_cuts_them(pair, caplog):
    _, ours = pair
    long = " ".join(TEXTS * 4)
    before = ours.cut
    with caplog.at_level(logging.WARNING, "lm_eval"):
        logging.getLogger("lm_eval").propagate = True
        theirs, found = both(pair, "loglikelihood", [(long, " yes"), (long, " no"), ("a", " no")])
    np.testing.assert_allclose([s for s, _ in found], [s for s, _ in theirs], atol=1e-3)
    assert ours.cut - before == 2
    assert "loglikelihood: 2 of 3 contexts were cut from the left to max_length=64" in caplog.text
    assert ours.get_model_info()["contexts_cut"] == ours.cut
    settings = {"until": [], "max_gen_toks": 20}
    theirs, found = both(pair, "generate_until", [(long, settings)])
    assert found == theirs
    with pytest.raises(ValueError, match="max_length=64 tokens, got"):
        ours.loglikelihood(requests("loglikelihood", [("a", long)]), disable_tqdm=True)


def test_rolling_loglikelihoods_are_those_of_the_harness(pair):
    texts = [*TEXTS, " ".join(TEXTS * 4), "the"]  # of several windows, and of a part of one
    theirs, ours = both(pair, "loglikelihood_rolling", [(text,) for text in texts])
    tokens = np.array([len(pair[1].tok_encode(text)) for text in texts])
    difference = np.abs(np.subtract(theirs, ours))
    print(f"{tokens.sum()} tokens: largest difference of one {(difference / tokens).max():.1e}")
    assert max(tokens) > 128
    assert (difference < 1e-3 * tokens).all()


def test_answers_are_those_of_the_harness(pair):
    """EOS, stop texts and the limit end some each."""
    settings = {"until": [], "max_gen_toks": 40, "do_sample": False}
    theirs, ours = answers(pair, settings)
    assert ours == theirs
    assert len(set(map(len, ours))) > 1
    pieces = [re.findall("[a-z]{2}", text) for text in theirs]
    stops = sorted({some[len(some) // 2] for some in pieces if some})[:3]
    stopped, found = answers(pair, settings | {"until": [*stops, "never there"]})
    assert found == stopped
    assert sum(a != b for a, b in zip(found, ours, strict=True)) >= 2


def test_beams_and_draws(pair):
    _, ours = pair
    theirs, found = answers(pair, {"until": ["the"], "max_gen_toks": 12, "num_beams": 3})
    assert found == theirs
    draws = {"until": [], "max_gen_toks": 12, "do_sample": True, "temperature": 0.9, "top_p": 0.95}
    twice = [("the question", draws)] * 2
    first, second = ours.generate_until(requests("generate_until", twice), disable_tqdm=True)
    assert first != second
    again = ours.generate_until(requests("generate_until", twice), disable_tqdm=True)
    assert again == [first, second]
    with pytest.raises(ValueError, match=r"\['typical_p'\] are not known"):
        answers((ours,), {"typical_p": 0.5})


TASKS = {
    "choices": """
task: choices
dataset_path: json
dataset_kwargs: {data_files: {test: FOLDER/rows.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}\\nAnswer:"
doc_to_choice: "{{options}}"
doc_to_target: "{{answer}}"
metric_list: [{metric: acc}, {metric: acc_norm}, {metric: acc_mutual_info}]
""",
    "answers": """
task: answers
dataset_path: json
dataset_kwargs: {data_files: {test: FOLDER/rows.jsonl}}
test_split: test
output_type: generate_until
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_target: "{{options[answer]}}"
generation_kwargs: {until: ["th", "wa", "ca"], max_gen_toks: 30, do_sample: false}
metric_list: [{metric: exact_match}, {metric: bleu}]
""",
    "text": """
task: text
dataset_path: json
dataset_kwargs: {data_files: {test: FOLDER/rows.jsonl}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{question}}"
metric_list: [{metric: word_perplexity}, {metric: byte_perplexity}]
""",
}


@pytest.fixture
def tasks(tmp_path, monkeypatch) -> Path:
    """A folder of tasks over a file of 12 rows, without a network."""
    for name in ("HF_DATASETS_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "datasets"))
    rng = np.random.default_rng(0)
    rows = [
        {
            "question": " ".join(rng.choice(WORDS, 12)),
            "options": [" ".join(rng.choice(WORDS, rng.integers(1, 4))) for _ in range(4)],
            "answer": int(rng.integers(4)),
        }
        for _ in range(12)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name, text in TASKS.items():
        (tmp_path / f"{name}.yaml").write_text(text.replace("FOLDER", str(tmp_path)))
    return tmp_path


def test_tasks_have_the_same_results(pair, tasks):
    found = []
    for model in pair:
        manager = TaskManager(include_path=str(tasks), include_defaults=False)
        found.append(
            lm_eval.simple_evaluate(
                model=model, tasks=list(TASKS), task_manager=manager, bootstrap_iters=0
            )
        )
    theirs, ours = (one["results"] for one in found)
    assert set(theirs) == set(TASKS)
    for task in TASKS:
        for name, value in theirs[task].items():
            if isinstance(value, float):
                assert ours[task][name] == pytest.approx(value, rel=2e-3), (task, name)
            else:
                assert ours[task][name] == value, (task, name)
    texts = [[row["filtered_resps"] for row in one["samples"]["answers"]] for one in found]
    assert texts[0] == texts[1]
    assert found[1]["config"]["model_sha"] == pair[1].digest


@pytest.mark.parametrize("folders", ["llama"], indirect=True)
def test_the_command_line_and_its_cache(folders, pair, tasks):
    """Beside the results stand the parameters' digest, and the cache has every answer."""

    def run(*arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "flan_jax.interop.lm_eval", "--model", "flan_jax"]
        given = ["--tasks", "choices", "--include_path", str(tasks), "--batch_size", "8"]
        return subprocess.run(
            [*command, *given, *arguments], cwd=ROOT, capture_output=True, text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT), "HF_HOME": str(tasks / "home")},
        )  # fmt: skip

    checkpoint, out = f"checkpoint={folders[2]},dtype=float32", tasks / "out"
    options = "--output_path", str(out), "--use_cache", str(tasks / "cache")
    for _ in range(2):
        done = run("--model_args", checkpoint, *options)
        assert done.returncode == 0, done.stderr
        assert "acc_mutual_info" in done.stdout
    # Of 96 requests some are alike: options without a question.
    assert "Requests remaining: 0" in done.stderr
    files = [json.loads(file.read_text()) for file in out.rglob("results_*.json")]
    assert len(files) == 2
    for found in files:
        assert found["config"]["model_sha"] == pair[1].digest
    assert files[0]["results"] == files[1]["results"]


def test_the_page_runs(folders, tasks, tmp_path, monkeypatch, capsys):
    """The Python of docs/lm_eval.md, for a task that is here."""
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()
    Path("runs/flan").symlink_to(folders[2])
    page = (ROOT / "docs" / "lm_eval.md").read_text()
    (code,) = re.findall(r"^```py\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    manager = TaskManager(include_path=str(tasks), include_defaults=False)
    evaluate = lm_eval.simple_evaluate
    monkeypatch.setattr(
        lm_eval, "simple_evaluate", lambda **given: evaluate(**given, task_manager=manager)
    )
    exec(compile(code.replace("hellaswag", "choices"), "docs/lm_eval.md", "exec"), {})
    assert "acc_norm" in capsys.readouterr().out


def test_chats(folders):
    """Prompts are the tokens of training, and what the assistant says is scored behind them."""
    folder, theirs, run = folders
    name = "t5" if "t5" in folder.name else "chatml"
    model = FlanJaxLM(run, batch_size=8, dtype="float32", chat_template=name)
    asked = "a dog and a cat"
    text = model.apply_chat_template([{"role": "user", "content": asked}])
    if name == "t5":
        assert text == asked
        assert model.tok_encode(text) == theirs(asked)["input_ids"]
        return
    prompt = chat_templates.TEMPLATES[name].prompt(Conversation((Turn(USER, asked),)))
    tokens = [token for part in prompt for token in model.vocabulary.encode(part)]
    start = model.vocabulary.boundaries.start
    assert model.tok_encode(text) == [start] * (start is not None) + tokens
    begun = model.apply_chat_template(
        [{"role": "user", "content": asked}, {"role": "assistant", "content": "the"}], False
    )
    assert begun == text + "the"
    (found,) = model.loglikelihood(requests("loglikelihood", [(text, "yes it is")]), True)
    example = Example(tokens, "", (), ("",), (model.vocabulary.encode("yes it is"),))
    boundaries = model.vocabulary.boundaries
    every = model.config, model.params, [example]
    (expected,) = scoring.score_options(*every, batch_size=1, boundaries=boundaries)
    assert found[0] == pytest.approx(expected[0], abs=1e-4)
    assert name in model.chat_template(True) and name in model.tokenizer_name
    (answer,) = model.generate_until(
        requests("generate_until", [(text, {"max_gen_toks": 5, "until": ["<|im_end|>"]})]), True
    )
    assert "<|im_end|>" not in answer


def test_contexts_with_an_end(folders):
    """As prompts of our caches, of which a decoder-only model has seen no others."""
    ended = FlanJaxLM(folders[2], end_contexts=True)
    plain = FlanJaxLM(folders[2])
    pairs = [model._encode_pair("the cat", " sat") for model in (plain, ended)]
    end = [plain.eot_token_id] if plain.backend == "causal" else []
    assert pairs[1] == ([*pairs[0][0], *end], pairs[0][1])


def test_what_is_refused(folders, pair):
    run, (_, ours) = folders[2], pair
    with pytest.raises(RunFolderError, match="expected a complete checkpoint"):
        FlanJaxLM(str(run / "nowhere"))
    with pytest.raises(RunFolderError, match="expected a complete checkpoint 7"):
        FlanJaxLM(run, step=7)
    with pytest.raises(ValueError, match="chat template 'alpaca' is unknown"):
        FlanJaxLM(run, chat_template="alpaca")
    with pytest.raises(ValueError, match="batch_size: expected a positive number or auto, got 0"):
        FlanJaxLM(run, batch_size=0)
    with pytest.raises(ValueError, match="give one of chatml, llama3, gemma, t5 as chat_template"):
        ours.apply_chat_template([{"role": "user", "content": "a"}])
    with pytest.raises(ValueError, match="the cat.*expected 1 to max_length=64 tokens, got 0"):
        ours.loglikelihood(requests("loglikelihood", [("the cat", "")]), disable_tqdm=True)
    if ours.backend == "causal":
        with pytest.raises(ValueError, match="max_gen_toks=64 leaves no room for a context"):
            answers((ours,), {"max_gen_toks": 64})


def test_it_imports_without_torch_tensorflow_and_seqio():
    code = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'tensorflow', 'seqio', 'gin'):\n"
        "    sys.modules[name] = None\n"
        "from flan_jax.interop.lm_eval import FlanJaxLM\n"
        "from lm_eval.api.registry import get_model\n"
        "assert get_model('flan_jax') is FlanJaxLM\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
