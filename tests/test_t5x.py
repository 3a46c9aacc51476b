"""T5X checkpoints import to the same parameters as their Hugging Face twins."""

import dataclasses
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import tensorstore
from flax import serialization
from test_hugging_face import SMALL, assert_same, params_of, read, write

from flan_jax.interop import t5x, tensor_names
from flan_jax.interop.imported import ConversionError
from flan_jax.interop.t5x import T5XFolder
from flan_jax.parallel.mesh import MeshConfig, make_mesh
from flan_jax.train import checkpoint, run_folder

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))
import convert  # noqa: E402

MODELS = {"gated": SMALL["mt5"], "relu": SMALL["t5"], "bias_per_layer": SMALL["umt5"]}


def t5x_names(config, params, scanned, heads):
    """The arrays of a T5X checkpoint, spelled out independently of the code under test."""
    p = jax.tree.map(np.asarray, params)
    arrays = {"token_embedder.embedding": p["embedding"]}
    if "head" in p:
        arrays["decoder.logits_dense.kernel"] = p["head"]
    wi = {"up": "wi"} if config.mlp == "relu" else {"gate": "wi_0", "up": "wi_1"}
    sublayers = {
        "encoder": {"self_attention": ("attention", "attention")},
        "decoder": {
            "self_attention": ("self_attention", "self_attention"),
            "cross_attention": ("encoder_decoder_attention", "cross_attention"),
        },
    }
    for stack, attentions in sublayers.items():
        arrays[f"{stack}.{stack}_norm.scale"] = p[stack]["norm"]
        if "relative_bias" in p[stack]:
            arrays[f"{stack}.relpos_bias.rel_embedding"] = p[stack]["relative_bias"].T
        layers, stacked = p[stack]["layers"], {}
        for ours, (theirs, norm) in attentions.items():
            stacked[f"pre_{norm}_layer_norm.scale"] = layers[ours]["norm"]
            for name in ("query", "key", "value"):
                kernel = layers[ours][name]
                if heads:
                    kernel = kernel.reshape(*kernel.shape[:2], -1, config.head_dim)
                stacked[f"{theirs}.{name}.kernel"] = kernel
            out = layers[ours]["out"]
            if heads:
                out = out.reshape(len(out), -1, config.head_dim, out.shape[-1])
            stacked[f"{theirs}.out.kernel"] = out
        stacked["pre_mlp_layer_norm.scale"] = layers["feed_forward"]["norm"]
        for ours, theirs in (wi | {"down": "wo"}).items():
            stacked[f"mlp.{theirs}.kernel"] = layers["feed_forward"][ours]
        if "relative_bias" in layers:
            stacked["relpos_bias.rel_embedding"] = layers["relative_bias"].swapaxes(1, 2)
        for name, array in stacked.items():
            if scanned:
                arrays[f"{stack}.{scanned.format(stack)}.{name}"] = array.swapaxes(0, 1)
            else:
                arrays |= {f"{stack}.layers_{i}.{name}": one for i, one in enumerate(array)}
    return arrays


def save(folder, arrays, dtype="float32", version=3):
    """Writes arrays as T5X does: gzip-compressed zarr, and an index that refers to them."""
    target = {}
    for name, array in arrays.items():
        node = target
        *parents, last = name.split(".")
        for parent in parents:
            node = node.setdefault(parent, {})
        chunks = [max(1, size // 2) if size % 2 == 0 else size for size in array.shape]
        spec = {
            "driver": "zarr",
            "dtype": dtype,
            "kvstore": {"driver": "gfile", "path": f"target.{name}"},
            "metadata": {"compressor": {"id": "gzip"}, "shape": list(array.shape),
                         "chunks": chunks},
        }  # fmt: skip
        here = {"driver": "file", "path": str(folder / f"target.{name}")}
        store = tensorstore.open(spec | {"kvstore": here}, create=True).result()
        store.write(array.astype(store.dtype.numpy_dtype)).result()
        node[last] = spec
    state = {"step": np.int32(1100000), "param_states": {}}
    index = {"version": version, "optimizer": {"target": target, "state": state}}
    (folder / "checkpoint").write_bytes(serialization.to_bytes(index))
    return folder


def load(folder, config, mesh=None, **changes):
    config = dataclasses.replace(config, **changes)
    mesh = mesh or make_mesh(MeshConfig(data=1), jax.devices()[:1])
    return t5x.read_params(T5XFolder(folder), config, mesh)


@pytest.mark.parametrize(
    "model, scanned, heads",
    [
        ("gated", None, False),
        ("gated", "{}", False),
        ("gated", "layers", False),
        ("gated", None, True),
        ("gated", "{}", True),
        ("relu", None, False),
        ("bias_per_layer", None, False),
        ("bias_per_layer", "{}", True),
    ],
)
def test_import_equals_the_hugging_face_twin(model, scanned, heads, tmp_path):
    config = MODELS[model]
    folder = tmp_path / "checkpoint_1100000"
    save(folder, t5x_names(config, params_of(config), scanned, heads))
    _, twin = read(write(tmp_path / "twin", config))
    assert_same(load(folder, config), twin)


def test_half_precision_and_slices(tmp_path):
    config = MODELS["gated"]
    arrays = t5x_names(config, params_of(config), "{}", True)
    folder = save(tmp_path / "half", arrays, "bfloat16")
    half = jax.tree.map(lambda leaf: leaf.astype("bfloat16"), params_of(config))
    assert_same(load(folder, config, param_dtype="bfloat16"), half)
    # Slices that cut through heads, as many devices would ask for them.
    opened, whole = T5XFolder(folder), tensor_names.flatten(half)
    for path, name, stored, ranges in [
        ("query", "self_attention.query.kernel", "heads", ((3, 20), (5, 21))),
        ("out", "self_attention.out.kernel", "out", ((7, 30), (0, 9))),
    ]:
        part = t5x._read(opened, f"decoder.decoder.{name}", stored, 1, ranges)
        cut = tuple(slice(*one) for one in ranges)
        expected = np.asarray(whole[f"decoder/layers/self_attention/{path}"])[1][cut]
        np.testing.assert_array_equal(part, expected)


def test_faults_are_named(tmp_path):
    config = MODELS["gated"]
    arrays = t5x_names(config, params_of(config), None, False)
    name = "decoder.layers_1.mlp.wo.kernel"
    cases = {
        "missing: decoder.layers_1.mlp.wo.kernel .48, 32.": {
            key: value for key, value in arrays.items() if key != name
        },
        "extra: encoder.more.kernel": arrays | {"encoder.more.kernel": np.ones((2, 2))},
        "wrong shape: decoder.layers_1.mlp.wo.kernel is .32, 48.": arrays | {name: arrays[name].T},
    }
    for number, (message, changed) in enumerate(cases.items()):
        with pytest.raises(ConversionError, match=message):
            load(save(tmp_path / str(number), changed), config)
    whole = save(tmp_path / "whole", arrays)
    (whole / f"target.{name}" / "1.0").unlink()
    with pytest.raises(ConversionError, match=f"{name} cannot be read .*1.0.* is missing"):
        load(whole, config)
    (whole / f"target.{name}" / "1.0").write_bytes(b"\x1f\x8b nonsense")
    with pytest.raises(ConversionError, match=f"{name} cannot be read"):
        load(whole, config)
    (whole / f"target.{name}" / ".zarray").unlink()
    with pytest.raises(ConversionError, match=f"target.{name} is missing or damaged"):
        load(whole, config)
    (whole / "checkpoint").write_bytes((whole / "checkpoint").read_bytes()[:-50])
    with pytest.raises(ConversionError, match="checkpoint is damaged"):
        load(whole, config)
    with pytest.raises(ConversionError, match="expected a T5X checkpoint"):
        load(tmp_path, config)
    with pytest.raises(ConversionError, match="of version 2, expected 3"):
        load(save(tmp_path / "old", arrays, version=2), config)


def test_a_run_folder_from_the_command_line(tmp_path, data_dir):
    config = MODELS["gated"]
    folder = save(tmp_path / "source", t5x_names(config, params_of(config), None, False))
    fields = (
        "architecture vocab_size d_model d_ff num_layers num_heads head_dim num_encoder_layers "
        "relative_buckets relative_max_distance"
    ).split()
    lines = [f"ModelConfig.{name} = {getattr(config, name)!r}" for name in fields]
    (tmp_path / "model.gin").write_text("\n".join(lines))
    run = str(tmp_path / "run")
    vocabulary = str(data_dir / "tokenizers" / "t5_spiece.model")
    convert.main(["import-t5x", str(folder), run, "--model", str(tmp_path / "model.gin"),
                  "--vocabulary", vocabulary])  # fmt: skip
    imported = run_folder.read_model_config(run)
    assert_same(checkpoint.load_params(run, imported), params_of(config))
    assert run_folder.read_vocabulary(run).size == 32100
    with pytest.raises(SystemExit, match="holds checkpoints already"):
        convert.main(["import-t5x", str(folder), run, "--model", str(tmp_path / "model.gin")])
