"""Our models compute what transformers computes: logits, cached steps, generations.

Models are small, of random weights, and made here (`small_hf_models` says what must be installed);
each is saved by transformers, imported, and compared in float32 on the CPU. `BOUND` is stated
relative to the largest logit, or absolute where that is below one. Largest errors seen: T5 1.0
6e-7, T5 1.1 and mT5 6e-6, umT5 2e-6, Llama, Mistral and Qwen 4e-6, Gemma 5e-6.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_hf_models
from small_models import quick_jit, rows_batch

from flan_jax.interop import hugging_face, weights
from flan_jax.model import decoding, transformer
from flan_jax.parallel.mesh import MeshConfig, make_mesh

torch = pytest.importorskip("torch", reason="see small_hf_models.py")
pytest.importorskip("transformers", reason="see small_hf_models.py")

BOUND = 1e-4
LENGTHS = [(7, 5), (12, 9), (3, 14)]  # of inputs and targets
apply = quick_jit(transformer.apply)
QUICK = {"t5_1_1", "umt5", "llama3", "gemma3"}  # what they have, the others have in part
MODELS = [name for name in small_hf_models.MODELS if name != "umt5_untied"]
families = pytest.mark.parametrize("name", MODELS)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A function from a name to our configuration and parameters, and the torch model."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("models")

    @functools.cache
    def of(name):
        small_hf_models.save(name, root / name)
        _, config = hugging_face.read_config(root / name)
        config = dataclasses.replace(config, dtype="float32")
        mesh = make_mesh(MeshConfig(data=1), jax.devices()[:1])
        params = weights.read_params(hugging_face.open_tensors(root / name), config, mesh)
        return config, params, small_hf_models.load(name, root / name)

    return of


def _pairs(config):
    rng = np.random.default_rng(0)
    vocab = small_hf_models.VOCAB
    return [(rng.integers(2, vocab, a), rng.integers(2, vocab, b)) for a, b in LENGTHS]


@torch.no_grad()
def _theirs(config, model, batch):
    """The logits of transformers for rows of one example, padded on the right."""
    inputs = {
        "input_ids": torch.tensor(batch.decoder_inputs).long(),
        "attention_mask": torch.tensor(batch.decoder_segments).long(),
    }
    if config.architecture == "encoder_decoder":
        inputs = {f"decoder_{name}": value for name, value in inputs.items()}
        inputs["input_ids"] = torch.tensor(batch.encoder_tokens).long()
        inputs["attention_mask"] = torch.tensor(batch.encoder_segments).long()
    return model(**inputs).logits.numpy()


def _assert_close(ours, theirs):
    bound = BOUND * max(1, np.abs(theirs).max())
    assert np.abs(ours - theirs).max() <= bound


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
     for name in MODELS],
)  # fmt: skip
def test_packed_logits_equal_those_of_transformers(name, pair):
    config, params, model = pair(name)
    pairs = _pairs(config)
    alone = rows_batch(config, [[one] for one in pairs], 14, 16)
    theirs = _theirs(config, model, alone)[np.nonzero(alone.decoder_segments)]
    packed = rows_batch(config, [pairs[:2], pairs[2:]], 20, 16)
    _assert_close(apply(config, params, packed)[np.nonzero(packed.decoder_segments)], theirs)


@pytest.mark.slow
@families
@pytest.mark.parametrize("scan_layers", [True, False], ids=["scanned", "unrolled"])
def test_padded_logits_equal_those_of_transformers(name, scan_layers, pair):
    config, params, model = pair(name)
    config = dataclasses.replace(config, scan_layers=scan_layers)
    batch = rows_batch(config, [[one] for one in _pairs(config)], 14, 16)
    real = np.nonzero(batch.decoder_segments)
    ours, theirs = apply(config, params, batch), _theirs(config, model, batch)
    _assert_close(ours[real], theirs[real])
    error, largest = np.abs(ours[real] - theirs[real]).max(), np.abs(theirs[real]).max()
    print(f"{name}: error {error:.1e}, largest logit {largest:.2f}")


@pytest.mark.slow
def test_untied_umt5_differs_by_a_factor(pair):
    """transformers 5.23 multiplies by d_model**-0.5 whether or not the embeddings are tied.

    T5X, which umT5 was trained with, does so for tied ones alone (t5x/examples/scalable_t5); the
    order of the logits is the same.
    """
    config, params, model = pair("umt5_untied")
    assert not config.tie_embeddings
    batch = rows_batch(config, [[one] for one in _pairs(config)], 14, 16)
    real = np.nonzero(batch.decoder_segments)
    ours, theirs = apply(config, params, batch)[real], _theirs(config, model, batch)[real]
    _assert_close(ours * config.d_model**-0.5, theirs)


@pytest.mark.slow
@families
def test_cached_steps_equal_those_of_transformers(name, pair):
    config, params, model = pair(name)
    batch = rows_batch(config, [[one] for one in _pairs(config)], 14, 16)
    theirs = _theirs(config, model, batch)
    lengths = batch.decoder_segments.sum(axis=1)
    encoded = segments = None
    if config.architecture == "encoder_decoder":
        segments = batch.encoder_segments
        encoded = quick_jit(decoding.encode)(config, params, batch.encoder_tokens, segments)
    prefill = quick_jit(decoding.prefill, static_argnums=(0, 4))
    step = quick_jit(decoding.decode_step)
    prompts, rows = np.array([2, 1, 3]), np.arange(len(lengths))
    logits, cache = prefill(
        config, params, batch.decoder_inputs[:, :3], prompts, 30, encoded, segments
    )
    for at in range((lengths - prompts).max() + 1):
        real = prompts + at <= lengths
        where = np.minimum(prompts + at, batch.decoder_inputs.shape[1]) - 1
        _assert_close(np.asarray(logits)[real], theirs[rows, where][real])
        following = np.minimum(prompts + at, batch.decoder_inputs.shape[1] - 1)
        logits, cache = step(config, params, cache, batch.decoder_inputs[rows, following])


@pytest.mark.slow
@families
def test_generations_equal_those_of_transformers(name, pair):
    config, params, model = pair(name)
    rng = np.random.default_rng(1)
    for length in (3, 6, 11, 16):
        prompts = rng.integers(2, small_hf_models.VOCAB, (8, length)).astype(np.int32)
        ours = np.asarray(_generate(config, params, prompts))
        with torch.no_grad():
            made = model.generate(
                torch.tensor(prompts).long(),
                attention_mask=torch.ones(prompts.shape).long(),
                max_new_tokens=64,
                # transformers 5.23 counts the layers of its cache by the encoder.
                use_cache=config.architecture == "decoder_only",
                do_sample=False,
                output_logits=True,
                return_dict_in_generate=True,
            )
        theirs = made.sequences[:, -64:].numpy()
        logits = torch.stack(made.logits, dim=1)
        best, second = logits.topk(2, dim=-1).values.unbind(-1)
        near_tie = (best - second).numpy() < 2 * BOUND * max(1, logits.abs().max().item())
        for row in np.flatnonzero((ours != theirs).any(axis=1)):
            first = np.flatnonzero(ours[row] != theirs[row])[0]
            assert near_tie[row, first], (name, length, row, first)


def _generate(config, params, prompts):
    """64 tokens a row, greedily."""
    prompts, encoded, segments = jnp.asarray(prompts), None, None
    if config.architecture == "encoder_decoder":
        segments = jnp.ones_like(prompts)
        encoded = quick_jit(decoding.encode)(config, params, prompts, segments)
        prompts = jnp.zeros_like(prompts[:, :1])

    def generate(config, params, prompts, encoded, segments):
        lengths = jnp.full(len(prompts), prompts.shape[1])
        capacity = prompts.shape[1] + 64
        first, cache = decoding.prefill(
            config, params, prompts, lengths, capacity, encoded, segments
        )

        def body(state, _):
            logits, cache = state
            tokens = logits.argmax(-1)
            return decoding.decode_step(config, params, cache, tokens), tokens

        return jax.lax.scan(body, (first, cache), length=64)[1].T

    return quick_jit(generate)(config, params, prompts, encoded, segments)


@pytest.mark.slow
@families
def test_an_exported_folder_is_the_one_that_was_imported(name, pair, tmp_path):
    """In the logits of transformers, bit for bit."""
    config, params, model = pair(name)
    family = "gemma3_text" if name.startswith("gemma3") else small_hf_models.MODELS[name][0]
    written = hugging_face.families.config_json(config, family)
    hugging_face.write_folder(tmp_path / "out", config, params, written)
    batch = rows_batch(config, [[one] for one in _pairs(config)], 14, 16)
    again = small_hf_models.load(name, tmp_path / "out")
    np.testing.assert_array_equal(_theirs(config, again, batch), _theirs(config, model, batch))
