"""Hugging Face folders in and out: round trips, faults, sharding, memory. Without torch."""

import dataclasses
import functools
import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import tokenizer_files
from safetensors.numpy import load_file, save_file
from scored import TUNED, make_results
from small_models import CONFIGS
from training_support import small_run, write_mixture

from flan_jax.evaluation import results
from flan_jax.interop import families, hugging_face, model_card, text_part, weights
from flan_jax.interop.families import FamilyError
from flan_jax.interop.imported import ConversionError
from flan_jax.interop.safetensors_folder import INDEX, SINGLE, TensorFolder, TensorFolderError
from flan_jax.model import transformer
from flan_jax.parallel.mesh import MeshConfig, make_mesh
from flan_jax.train import checkpoint, fingerprint, loop, run_folder

# What the shared small models are called elsewhere.
SMALL = {
    "t5": CONFIGS["tied"],
    "mt5": CONFIGS["encoder_decoder"],
    "umt5": CONFIGS["bias_per_layer"],
    "llama": CONFIGS["decoder_only"],
    "mistral": dataclasses.replace(CONFIGS["decoder_only"], sliding_window=4),
    "qwen2": dataclasses.replace(CONFIGS["decoder_only"], qkv_bias=True, tie_embeddings=True),
    "qwen3": dataclasses.replace(CONFIGS["decoder_only"], qk_norm=True),
    "gemma2": dataclasses.replace(
        CONFIGS["gemma"], qk_norm=False, rope_theta_local=None, rope_scaling="none"
    ),
    "gemma3_text": dataclasses.replace(CONFIGS["gemma"], attention_softcap=None),
}


@functools.cache
def params_of(config):
    """Random parameters, made without a compiler."""
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda leaf: jax.device_put(rng.standard_normal(leaf.shape, np.float32)),
        transformer.abstract(config),
    )


def write(folder, config, family=None, params=None, shard_bytes=10**9):
    written = families.config_json(config, family)
    params = params_of(config) if params is None else params
    hugging_face.write_folder(folder, config, params, written, shard_bytes=shard_bytes)
    return folder


def read(folder, mesh=None, **changes):
    _, config = hugging_face.read_config(folder)
    config = dataclasses.replace(config, **changes)
    mesh = mesh or make_mesh(MeshConfig(data=1), jax.devices()[:1])
    return config, weights.read_params(TensorFolder(folder), config, mesh)


def assert_same(actual, expected):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


@pytest.mark.parametrize("family", SMALL)
def test_a_round_trip_is_bitwise_and_keeps_the_configuration(family, tmp_path):
    config = SMALL[family]
    write(tmp_path / "whole", config, family)
    back, params = read(tmp_path / "whole")
    assert_same(params, params_of(config))
    assert not families.differences(config, back)
    # Again, from unscanned parameters' configuration, in several files.
    unscanned = dataclasses.replace(back, scan_layers=False)
    write(tmp_path / "parts", unscanned, family, params, shard_bytes=8000)
    assert len(TensorFolder(tmp_path / "parts").files) > 2
    assert_same(read(tmp_path / "parts")[1], params)


@pytest.mark.parametrize("prefix", ["language_model.model.", "model.language_model."])
def test_the_language_model_of_one_with_eyes(prefix, tmp_path):
    config = SMALL["gemma3_text"]
    write(tmp_path / "text", config, "gemma3_text")
    text = json.loads((tmp_path / "text" / "config.json").read_text())
    whole = {"model_type": "gemma3", "text_config": text, "vision_config": {}, "eos_token_id": 7}
    plain = load_file(tmp_path / "text" / SINGLE)
    tensors = {prefix + name.removeprefix("model."): value for name, value in plain.items()}
    eyes = "vision_tower.vision_model.embeddings.patch_embedding.weight"
    tensors |= {eyes: np.zeros((2, 2), np.float32)}
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / "config.json").write_text(json.dumps(whole))
    save_file(tensors, tmp_path / "whole" / SINGLE)
    hugging_face.import_folder(tmp_path / "whole", str(tmp_path / "imported"))
    mesh = make_mesh(MeshConfig(data=1), jax.devices()[:1])
    assert_same(checkpoint.load_params(str(tmp_path / "imported"), config, mesh), params_of(config))
    # What goes out is the language model, with the special tokens of the whole.
    target, like = tmp_path / "exported", tmp_path / "whole"
    hugging_face.export_folder(str(tmp_path / "imported"), target, like)
    written = json.loads((target / "config.json").read_text())
    assert (written["model_type"], written["eos_token_id"]) == ("gemma3_text", 7)
    jax.tree.map(np.testing.assert_array_equal, load_file(target / SINGLE), plain)


def test_published_configurations_of_gemma_3_leave_out_what_is_by_default():
    # The entries of the 4B model's config.json that say what it computes.
    text = dict(
        model_type="gemma3_text", hidden_size=2560, intermediate_size=10240, num_hidden_layers=34,
        rope_scaling={"factor": 8.0, "rope_type": "linear"}, sliding_window=1024,
    )  # fmt: skip
    family, config = families.read_config(
        text_part.config_of({"model_type": "gemma3", "text_config": text})
    )
    assert family == "gemma3_text"
    assert (config.num_heads, config.kv_heads, config.head_dim) == (8, 4, 256)
    assert (config.vocab_size, config.rope_factor, config.rope_theta_local) == (262208, 8.0, 1e4)


def test_an_unknown_part_is_an_extra_tensor(tmp_path):
    config = SMALL["gemma3_text"]
    write(tmp_path / "text", config, "gemma3_text")
    text = json.loads((tmp_path / "text" / "config.json").read_text())
    whole = {"model_type": "gemma3", "text_config": text}
    (tmp_path / "text" / "config.json").write_text(json.dumps(whole))
    tensors = load_file(tmp_path / "text" / SINGLE) | {"ears.weight": np.zeros(2, np.float32)}
    save_file(tensors, tmp_path / "text" / SINGLE)
    with pytest.raises(TensorFolderError, match="extra: ears.weight"):
        hugging_face.import_folder(tmp_path / "text", str(tmp_path / "imported"))


def test_the_family_is_found_from_the_model():
    for family, config in SMALL.items():
        expected = "t5" if family == "mt5" else family
        assert families.config_json(config)["model_type"] == expected
    assert families.config_json(SMALL["mt5"], "mt5")["tie_word_embeddings"] is False


@pytest.mark.parametrize(
    "config, family, message",
    [
        (CONFIGS["prefix_lm"], None, "'llama' differs in ModelConfig.prefix_lm .True here"),
        (CONFIGS["tied_original"], None, "'t5' differs in ModelConfig.scaling .'original' here"),
        (CONFIGS["encoder_decoder_rope"], None, "'t5' differs in ModelConfig.positions"),
        (SMALL["t5"], "mt5", "'mt5' differs in ModelConfig.tie_embeddings"),
        (SMALL["t5"], "llama", "'llama' differs in ModelConfig.architecture"),
        (SMALL["qwen3"], "llama", "'llama' differs in ModelConfig.qk_norm"),
        (SMALL["t5"], "gpt", "there is no family 'gpt'"),
    ],
)
def test_a_model_that_no_family_expresses_is_refused(config, family, message):
    with pytest.raises(FamilyError, match=message):
        families.config_json(config, family)


def test_configurations_of_published_models():
    """`config.json` as published (the entries that matter), in the older form."""
    llama3_2 = {
        "model_type": "llama", "vocab_size": 128256, "hidden_size": 2048, "head_dim": 64,
        "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32,
        "num_key_value_heads": 8, "rms_norm_eps": 1e-5, "rope_theta": 500000.0,
        "tie_word_embeddings": True, "hidden_act": "silu", "attention_bias": False,
        "rope_scaling": {
            "factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
            "original_max_position_embeddings": 8192, "rope_type": "llama3",
        },
    }  # fmt: skip
    _, config = families.read_config(llama3_2)
    assert (config.rope_scaling, config.rope_factor, config.kv_heads) == ("llama3", 32.0, 8)
    assert config.scaling == "standard" and config.tie_embeddings
    with pytest.raises(FamilyError, match="rope_type='yarn' is not known; known are default"):
        families.read_config(llama3_2 | {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}})
    with pytest.raises(FamilyError, match="attention_bias=True, which is not known"):
        families.read_config(llama3_2 | {"attention_bias": True})
    with pytest.raises(FamilyError, match="config.json lacks 'hidden_size'"):
        families.read_config({key: llama3_2[key] for key in llama3_2 if key != "hidden_size"})
    with pytest.raises(FamilyError, match="model_type 'gpt2'; known are t5, mt5"):
        families.read_config({"model_type": "gpt2"})


# ---- faulty folders ------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "model", SMALL["llama"])


def rewrite(folder, change):
    """Rewrites the tensors of a folder after `change`, which takes them by name."""
    tensors = dict(weights.tensors(SMALL["llama"], params_of(SMALL["llama"])))
    change(tensors)
    save_file({n: np.ascontiguousarray(t) for n, t in tensors.items()}, folder / SINGLE)


NAME = "model.layers.1.mlp.up_proj.weight"


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda t: t.pop(NAME), f"missing: {NAME} .48, 32."),
        (lambda t: t.update(extra=t[NAME]), "extra: extra .48, 32."),
        (lambda t: t.update({NAME: t[NAME].T}), f"wrong shape: {NAME} is .32, 48., expected .48, "),
        (lambda t: t.update({NAME: t[NAME].astype(np.int8)}), f"wrong type: {NAME} is I8"),
    ],
    ids=["missing", "extra", "misshapen", "integers"],
)
def test_wrong_tensors_are_named(folder, change, message):
    rewrite(folder, change)
    with pytest.raises(TensorFolderError, match=message):
        read(folder)


def test_many_faults_of_one_kind_are_summed_up(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 9}))
    with pytest.raises(TensorFolderError, match="missing: model.layers.2.input_layer") as error:
        read(folder)
    assert "... and 6 like it" in str(error.value) and len(str(error.value).splitlines()) < 30


def test_a_tied_output_layer_that_differs_is_refused(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": True}))
    copy = "lm_head.weight is the same as model.embed_tokens.weight, but it is not"
    with pytest.raises(TensorFolderError, match=copy):
        read(folder)
    rewrite(folder, lambda t: t.update({"lm_head.weight": t["model.embed_tokens.weight"]}))
    _, params = read(folder)
    tied = {path: leaf for path, leaf in params_of(SMALL["llama"]).items() if path != "head"}
    assert_same(params, tied)


def test_what_older_files_have_beside_the_parameters_is_left_out(folder):
    unused = {f"model.layers.{n}.self_attn.rotary_emb.inv_freq": np.ones(4) for n in range(2)}
    rewrite(folder, lambda t: t.update(unused))
    assert_same(read(folder)[1], params_of(SMALL["llama"]))


def test_damaged_files_are_named(folder, tmp_path):
    whole = (folder / SINGLE).read_bytes()
    (folder / SINGLE).write_bytes(whole[:-100])
    with pytest.raises(TensorFolderError, match=f"{SINGLE} is damaged or cut short"):
        read(folder)
    (folder / SINGLE).unlink()
    with pytest.raises(TensorFolderError, match=f"neither {SINGLE} nor {INDEX}"):
        read(folder)
    parts = write(tmp_path / "parts", SMALL["llama"], shard_bytes=8000)
    first, second, *_ = sorted(parts.glob("*.safetensors"))
    second.rename(parts / "away")
    with pytest.raises(TensorFolderError, match=f"lacks {second.name}"):
        read(parts)
    (parts / "away").rename(second)
    index = json.loads((parts / INDEX).read_text())
    last = index["weight_map"]["model.norm.weight"]
    index["weight_map"]["model.norm.weight"] = first.name if last != first.name else second.name
    (parts / INDEX).write_text(json.dumps(index))
    with pytest.raises(TensorFolderError, match="has tensor model.norm.weight; it has not"):
        read(parts)
    (parts / INDEX).write_text("{")
    with pytest.raises(TensorFolderError, match=f"{INDEX} is damaged"):
        read(parts)


# ---- run folders -------------------------------------------------------------------------


def test_import_and_export_of_run_folders(tmp_path):
    config = SMALL["gemma2"]
    source = write(tmp_path / "source", config)
    tokenizer_files.llama_3(["a text"] * 9, source)
    settings = json.loads((source / "config.json").read_text())
    settings |= {"max_position_embeddings": 77, "eos_token_id": [1, 7]}
    (source / "config.json").write_text(json.dumps(settings))
    run = str(tmp_path / "run")
    hugging_face.import_folder(source, run)
    imported = run_folder.read_model_config(run)
    assert not families.differences(imported, config)
    params = checkpoint.load_params(run, imported)
    assert_same(params, params_of(config))
    assert fingerprint.source_identity(run, None).endswith("@0")
    with pytest.raises(ConversionError, match="holds checkpoints already"):
        hugging_face.import_folder(source, run)

    target = tmp_path / "target"
    hugging_face.export_folder(run, target, like=source)
    for name in (SINGLE, "tokenizer.json"):
        assert (target / name).read_bytes() == (source / name).read_bytes()
    written = json.loads((target / "config.json").read_text())
    assert (written["max_position_embeddings"], written["eos_token_id"]) == (77, [1, 7])
    assert fingerprint.source_identity(run, None)[:16] in (target / "README.md").read_text()
    with pytest.raises(ConversionError, match="target exists"):
        hugging_face.export_folder(run, target)
    with pytest.raises(ConversionError, match="memory://out: expected a local folder to write"):
        hugging_face.export_folder(run, "memory://out")
    with pytest.raises(ConversionError, match="config.json: expected a local Hugging Face folder"):
        hugging_face.import_folder(tmp_path, str(tmp_path / "other"))
    assert {path.name for path in tmp_path.iterdir()} == {"source", "run", "target"}


def test_the_model_card_has_scores_and_no_paths(tmp_path):
    write(tmp_path / "source", SMALL["llama"])
    run = tmp_path / "run"
    hugging_face.import_folder(tmp_path / "source", str(run))
    results.save(make_results("tuned", TUNED), str(run / "results-zero_shot.json"))
    card = model_card.text(str(run), 0, SMALL["llama"], "llama")
    summary = results.summarise(make_results("tuned", TUNED))
    animals = f"{summary.clusters['animals'].score.value:.1%}"
    assert "## Scores: tuned" in card and f"| animals | test | {animals} |" in card
    assert "| started from | source |" in card and str(tmp_path) not in card


def test_a_failed_export_leaves_nothing(tmp_path, monkeypatch):
    def fail(self):
        raise OSError("no")

    monkeypatch.setattr(hugging_face.TensorWriter, "close", fail)
    with pytest.raises(OSError, match="no"):
        write(tmp_path / "model", SMALL["llama"])
    assert not list(tmp_path.iterdir())


def test_weights_are_turned_into_the_parameter_type_on_the_way(folder, tmp_path):
    _, half = read(folder, param_dtype="bfloat16")
    expected = jax.tree.map(lambda leaf: leaf.astype("bfloat16"), params_of(SMALL["llama"]))
    assert_same(half, expected)
    config = dataclasses.replace(SMALL["llama"], param_dtype="bfloat16")
    write(tmp_path / "half", config, params=half)
    assert TensorFolder(tmp_path / "half").dtype(NAME) == "BF16"
    assert_same(read(tmp_path / "half", param_dtype="bfloat16")[1], half)


@pytest.mark.slow
def test_training_starts_from_an_imported_folder(tmp_path):
    run = small_run(tmp_path / "tuned", write_mixture(tmp_path / "cache"), steps=2)
    source = write(tmp_path / "source", run.model)
    hugging_face.import_folder(source, str(tmp_path / "imported"))
    run = dataclasses.replace(
        run,
        init_from=str(tmp_path / "imported"),
        optimizer=dataclasses.replace(run.optimizer, learning_rate=0.0, weight_decay=0.0),
    )
    loop.train(run)
    assert_same(checkpoint.load_params(run.output_dir, run.model), params_of(run.model))
    identity = run_folder.read_run(run.output_dir)["fingerprint"]["fields"]["init_from"]
    assert identity == fingerprint.source_identity(str(tmp_path / "imported"), None)
    hugging_face.export_folder(run.output_dir, tmp_path / "served", like=source)
    assert_same(read(tmp_path / "served")[1], params_of(run.model))
    card = (tmp_path / "served" / "README.md").read_text()
    assert "step 2 of 2" in card and "toy-train.json" in card


def test_the_vocabulary_of_a_t5_folder_comes_along(tmp_path, data_dir):
    vocabulary = data_dir / "tokenizers" / "t5_spiece.model"
    if not vocabulary.exists():
        pytest.skip(f"needs {vocabulary}")
    source, run = write(tmp_path / "source", SMALL["t5"]), str(tmp_path / "run")
    (source / "spiece.model").write_bytes(vocabulary.read_bytes())
    hugging_face.import_folder(source, run)
    kept = run_folder.read_vocabulary(run)
    assert kept.encode("The house is wonderful.") == [37, 629, 19, 1627, 5] and kept.size == 32100
    hugging_face.export_folder(run, tmp_path / "target")
    assert (tmp_path / "target" / "spiece.model").read_bytes() == vocabulary.read_bytes()
    written = json.loads((tmp_path / "target" / "config.json").read_text())
    assert (written["decoder_start_token_id"], written["eos_token_id"]) == (0, 1)


# ---- large models ------------------------------------------------------------------------

# Imports a folder onto eight devices, and prints what the process held beyond the weights.
_IMPORT = """
import json, sys, threading, time
import jax
from flan_jax.interop import hugging_face, weights
from flan_jax.interop.safetensors_folder import TensorFolder
from flan_jax.model import transformer
from flan_jax.parallel.mesh import MeshConfig, make_mesh
import dataclasses

def held():  # anonymous memory: pages of mapped files are the system's to drop
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) * 1024

_, config = hugging_face.read_config(sys.argv[1])
config = dataclasses.replace(config, param_dtype=sys.argv[2])
mesh = make_mesh(MeshConfig(data=1, fsdp=4, tensor=2))
folder = TensorFolder(sys.argv[1])
jax.block_until_ready(jax.numpy.zeros(8))
before, done, largest, placed, stop = held(), [0], [0], {}, threading.Event()

def watch():
    while not stop.is_set():
        largest[0] = max(largest[0], held() - before - done[0])
        time.sleep(0.005)

thread = threading.Thread(target=watch)
thread.start()

def report(path, size):
    done[0] += size
    placed[path] = size

params = weights.read_params(folder, config, mesh, report)
stop.set()
thread.join()
per_device = {}
for leaf in jax.tree.leaves(params):
    for shard in leaf.addressable_shards:
        key = str(shard.device)
        per_device[key] = per_device.get(key, 0) + shard.data.nbytes
print(json.dumps({"beyond": largest[0], "stacked": max(placed.values()),
                  "total": done[0], "per_device": per_device}))
"""


def imported_in_a_process(folder, param_dtype):
    environment = {
        "JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "PATH": "/usr/bin:/bin",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT, str(folder), param_dtype],
        cwd=Path(__file__).parent.parent, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_each_device_gets_its_shards(tmp_path):
    config = dataclasses.replace(
        SMALL["t5"], d_model=256, d_ff=512, num_heads=8, head_dim=32, num_encoder_layers=None
    )
    folder = write(tmp_path / "model", config)
    measured = imported_in_a_process(folder, "float32")
    shares = set(measured["per_device"].values())
    assert len(measured["per_device"]) == 8 and len(shares) == 1
    # An eighth of the matrices (fsdp=4, tensor=2), and all of the norms and position tables.
    assert shares.pop() < 0.13 * measured["total"]


# T5 1.1 XL (huggingface.co/google/t5-v1_1-xl/blob/main/config.json).
_XL = dict(
    model_type="t5", vocab_size=32128, d_model=2048, d_ff=5120, num_layers=24, num_heads=32,
    d_kv=64, feed_forward_proj="gated-gelu", tie_word_embeddings=False,
)  # fmt: skip


@pytest.mark.slow
def test_a_model_of_3b_parameters_needs_little_memory_beside_the_devices(tmp_path):
    """Peak of a 2.85B model in bfloat16 onto eight devices: see the printed figure."""
    import ml_dtypes

    from flan_jax.interop import tensor_names
    from flan_jax.interop.safetensors_folder import TensorWriter

    _, config = families.read_config(_XL)
    (tmp_path / "config.json").write_text(json.dumps(_XL))
    writer = TensorWriter(tmp_path, tensor_names.names(config), np.dtype(ml_dtypes.bfloat16), 10**9)
    rng = np.random.default_rng(0)
    for name, shape in tensor_names.names(config).items():
        bits = rng.integers(0, 2**14, shape, np.uint16)  # small positive numbers
        writer.add(name, bits.view(ml_dtypes.bfloat16))
    writer.close()
    measured = imported_in_a_process(tmp_path, "bfloat16")
    print({name: f"{measured[name] / 2**20:,.0f} MiB" for name in ("beyond", "stacked", "total")})
    assert measured["beyond"] < measured["stacked"] + 2**30
