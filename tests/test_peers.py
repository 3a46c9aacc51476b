"""The same weights in lm-evaluation-harness and transformers: scores and answers agree.

They need torch, transformers and lm_eval; see tests/small_hf_models.py. Written with lm_eval
0.4.13, torch 2.13.0 and transformers 5.23.0.
"""

import dataclasses

import jax
import numpy as np
import pytest
import small_hf_models
import word_tokenizer
from quick_compilation import compile_quickly  # noqa: F401

from flan_jax.evaluation import generation, scoring
from flan_jax.evaluation.examples import Example
from flan_jax.evaluation.sampling import DecodingConfig
from flan_jax.interop import hugging_face, weights
from flan_jax.interop.safetensors_folder import TensorFolder
from flan_jax.parallel.mesh import MeshConfig, make_mesh

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

EOS, MAX_LENGTH = 1, 12


@pytest.fixture(scope="module")
def monkeypatch_of_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module", params=["t5_1_0", "llama2"])
def pair(request, tmp_path_factory, monkeypatch_of_module):
    """Returns torch's model, our configuration and our parameters."""
    from safetensors.torch import load_file, save_file

    folder = tmp_path_factory.mktemp(request.param)
    # transformers 5.23 gives the decoder's cache as many layers as the encoder has.
    family, arguments = small_hf_models.MODELS[request.param]
    arguments = {key: arguments[key] for key in arguments if key != "num_decoder_layers"}
    monkeypatch_of_module.setitem(small_hf_models.MODELS, request.param, (family, arguments))
    small_hf_models.save(request.param, folder)
    tensors = load_file(folder / "model.safetensors")
    # So that some answers end. T5's embeddings are tied: those of others lm_eval would tie.
    name, scale = ("shared.weight", 5) if "shared.weight" in tensors else ("lm_head.weight", 2)
    tensors[name][EOS] *= scale
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    _, config = hugging_face.read_config(folder)
    config = dataclasses.replace(config, dtype="float32")
    mesh = make_mesh(MeshConfig(data=1), jax.devices()[:1])
    params = weights.read_params(TensorFolder(folder), config, mesh)
    return small_hf_models.load(request.param, folder), config, params


def make_examples(encoder: bool) -> list[Example]:
    """Prompts of 3 to 40 tokens, EOS of encoder-decoders included; options with EOS."""
    rng = np.random.default_rng(0)

    def tokens(least, most):
        return rng.integers(3, small_hf_models.VOCAB, rng.integers(least, most)).tolist()

    def example():
        options = tuple([*tokens(1, 6), EOS] for _ in range(4))
        return Example([*tokens(3, 40), *[EOS] * encoder], "", (), tuple("abcd"), options)

    return [example() for _ in range(8)]


def test_option_scores_equal_those_of_lm_eval(pair):
    """Without the end token, which lm_eval does not score; with it they differ by its score."""
    pytest.importorskip("lm_eval")
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    model, config, params = pair
    encoder = config.architecture == "encoder_decoder"
    examples = make_examples(encoder)
    peer = HFLM(
        pretrained=model, backend="seq2seq" if encoder else "causal", batch_size=5,
        tokenizer=word_tokenizer.make(small_hf_models.VOCAB, ends=encoder), max_length=128,
        add_bos_token=None if encoder else False,
    )  # fmt: skip
    requests = []
    for example in examples:
        # T5's tokenizer adds the EOS; our decoders read a start token first.
        prompt = example.inputs[:-1] if encoder else [0, *example.inputs]
        for option in example.option_tokens:
            texts = word_tokenizer.text(prompt), " " + word_tokenizer.text(option[:-1])
            requests.append(Instance("loglikelihood", {}, texts, 0))
    theirs = np.array([score for score, _ in peer.loglikelihood(requests, disable_tqdm=True)])
    bare = scoring.without_end(examples)
    ours = np.concatenate(scoring.score_options(config, params, bare, batch_size=8))
    print(f"{config.architecture}: largest difference {np.abs(ours - theirs).max():.1e}")
    np.testing.assert_allclose(ours, theirs, atol=1e-3, rtol=0)
    with_end = np.concatenate(scoring.score_options(config, params, examples, batch_size=8))
    assert np.all(with_end < ours - 1e-3)


def generate(model, prompts: list[list[int]], **settings) -> list[list[int]]:
    """Answers of transformers, without EOS."""
    encoder = model.config.is_encoder_decoder
    members = prompts if encoder else [[0, *prompt] for prompt in prompts]
    width = max(map(len, members))
    tokens = torch.zeros(len(members), width, dtype=torch.long)
    mask = torch.zeros_like(tokens)
    for row, member in enumerate(members):
        span = slice(0, len(member)) if encoder else slice(width - len(member), width)
        tokens[row, span], mask[row, span] = torch.tensor(member), 1
    made = model.generate(
        tokens, attention_mask=mask, max_new_tokens=MAX_LENGTH, do_sample=False,
        eos_token_id=EOS, pad_token_id=0, **settings,
    )  # fmt: skip
    rows = (made[:, 1:] if encoder else made[:, width:]).tolist()
    return [row[: row.index(EOS)] if EOS in row else row[:MAX_LENGTH] for row in rows]


@pytest.mark.parametrize("beams, penalty", [(1, 1.0), (4, 1.0), (4, 0.0), (3, 2.0)])
def test_answers_equal_those_of_transformers(pair, beams, penalty):
    """Greedy, and beam search with `early_stopping=False`, by log-probability / length ** penalty.

    transformers counts the EOS in the length, and so do we.
    """
    model, config, params = pair
    prompts = [example.inputs for example in make_examples(config.encoder_layers > 0)]
    settings = {}
    if beams > 1:
        settings = dict(num_beams=beams, length_penalty=penalty, early_stopping=False)
    theirs = generate(model, prompts, **settings)
    how = DecodingConfig(beams=beams, length_penalty=penalty)
    # In batches of five, so that rows are replaced.
    assert generation.generate(config, params, prompts, MAX_LENGTH, 5, decoding=how) == theirs
    assert len(set(map(len, theirs))) > 1
