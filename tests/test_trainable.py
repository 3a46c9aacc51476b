"""Runs that train a part: what checkpoints hold, resuming, and the base that completes them."""

import dataclasses
import json
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_compilation import compile_quickly  # noqa: F401
from training_support import finish, losses, small_run, start_process, write_mixture

from flan_jax import configuration
from flan_jax.model import transformer
from flan_jax.model.layers import LowRank
from flan_jax.model.lora import LoraConfig
from flan_jax.model.soft_prompt import PromptTuningConfig
from flan_jax.parallel.digest import params_digest
from flan_jax.parallel.mesh import MeshConfig, make_mesh
from flan_jax.train import checkpoint, fingerprint, partial_run, run_folder, run_ledger
from flan_jax.train.checkpoint import CheckpointConfig, load_params
from flan_jax.train.loop import train
from flan_jax.train.run_folder import RunFolder, RunFolderError

LORA = LoraConfig(rank=2, targets=("query", "value", "up"), dropout_rate=0.1)
PROMPT = PromptTuningConfig(length=3)


def write_base(folder, model, seed=0):
    """A run folder of random weights, as an import writes it."""
    about = {
        "fingerprint": {"digest": f"base{seed}", "fields": {}},
        "vocabulary": {"digest": "a" * 64, "size": 64, "sentinels": 0, "path": None},
        "init_from": None,
    }
    opened = RunFolder(str(folder))
    run_folder.write_json(folder, "model.json", dataclasses.asdict(model))
    run_folder.write_json(folder, "run.json", about)
    checkpoint.save_params(opened, transformer.init(model, jax.random.key(seed)))
    return str(folder)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """The mixture, the folder of a base, and one of compiled programs."""
    folder = tmp_path_factory.mktemp("toy")
    mixture = write_mixture(folder / "cache")
    base = write_base(folder / "base", small_run("unused", mixture).model)
    return mixture, base, str(folder / "xla")


def partial(output_dir, toy, trainable=LORA, **changes):
    """A run of 6 steps beside the frozen base."""
    changes = {"steps": 6, "compilation_cache_dir": toy[2], "init_from": toy[1]} | changes
    return small_run(output_dir, toy[0], trainable=trainable, **changes)


def files(folder):
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): path.read_bytes() for path in found}


def assert_bitwise_equal(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(np.testing.assert_array_equal, a, b)


def assert_different(a, b):
    """At least one leaf of two trees differs."""
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    assert any((np.asarray(x) != np.asarray(y)).any() for x, y in pairs)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, toy):
    """A run of 6 steps, what it trained, what was evaluated, and all files of before."""
    before = files(Path(toy[1]))
    run = partial(tmp_path_factory.mktemp("trained") / "run", toy, evaluate_every=6)
    run = dataclasses.replace(run, checkpoint=CheckpointConfig(interval=3))
    evaluated = []

    def evaluate(params, step):
        evaluated.append(params)
        return {"accuracy": 0.0}

    return run, train(run, evaluate).params, evaluated[0], before


def test_stopped_and_resumed_equals_uninterrupted(tmp_path, toy, trained):
    whole, expected, _, base_files = trained
    shutil.copytree(whole.output_dir, tmp_path / "stopped")
    shutil.rmtree(tmp_path / "stopped" / "checkpoints" / "6")
    resumed = train(partial(tmp_path / "stopped", toy))
    assert_bitwise_equal(resumed.params, expected)
    earlier = partial_run.load_trained(
        whole.output_dir, 3, LORA, whole.model, make_mesh(MeshConfig())
    )
    assert {*expected["decoder"]["layers"]["self_attention"]} == {"query", "value"}
    assert_different(expected, earlier)
    assert files(Path(toy[1])) == base_files


def test_a_checkpoint_holds_the_adapters_and_the_name_of_the_base(toy, trained):
    run, params, _, _ = trained
    adapters, base = partial_run.read(run.output_dir)
    assert adapters == LORA and base.folder == toy[1]
    saved = Path(run.output_dir) / "checkpoints" / "6"
    progress = json.loads((saved / "progress" / "metadata").read_text())
    weights = load_params(toy[1], run.model)
    assert progress["base"] == base.digest == params_digest(weights)
    mesh = make_mesh(MeshConfig())
    own = partial_run.load_trained(run.output_dir, 6, LORA, run.model, mesh)
    assert_bitwise_equal(own, params)


def test_it_is_read_as_a_model_like_any_other(toy, trained):
    run, _, evaluated, _ = trained
    merged, weights = load_params(run.output_dir, run.model), load_params(toy[1], run.model)
    assert jax.tree.structure(merged) == jax.tree.structure(weights)
    assert_different(merged["decoder"], weights["decoder"])
    assert_bitwise_equal(merged["embedding"], weights["embedding"])
    # While it trained, the same was evaluated, unmerged.
    sums = jax.tree.map(
        lambda leaf: (
            leaf.kernel + leaf.scale * leaf.a @ leaf.b if isinstance(leaf, LowRank) else leaf
        ),
        evaluated,
        is_leaf=lambda leaf: isinstance(leaf, LowRank),
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-6), sums, merged)


def test_the_base_must_be_there_and_the_same(tmp_path, toy, trained):
    base, model = shutil.copytree(toy[1], tmp_path / "base"), trained[0].model
    folder = shutil.copytree(trained[0].output_dir, tmp_path / "run")
    longer = partial(folder, toy, init_from=str(base), steps=8)
    loaded = load_params(str(folder), model)

    def name_base(where):
        about = run_folder.read_run(folder)
        about["base"]["folder"] = str(where)
        run_folder.write_json(folder, "run.json", about)

    name_base(base)
    assert_bitwise_equal(load_params(str(folder), model), loaded)
    moved = base.rename(tmp_path / "moved")
    for attempt in (lambda: load_params(str(folder), model), lambda: train(longer)):
        with pytest.raises(RunFolderError, match="is not complete without its base, step 0 of"):
            attempt()
    write_base(base, model, seed=1)
    for attempt in (lambda: load_params(str(folder), model), lambda: train(longer)):
        with pytest.raises(RunFolderError, match="was trained on another base: step 0 of"):
            attempt()
    name_base(moved)
    assert_bitwise_equal(load_params(str(folder), model), loaded)


def test_other_adapters_are_another_run(trained):
    run = trained[0]
    other = dataclasses.replace(run, trainable=dataclasses.replace(LORA, rank=3), evaluate_every=0)
    with pytest.raises(fingerprint.FingerprintMismatch, match="trainable.rank: 2 -> 3"):
        train(other)
    with pytest.raises(fingerprint.FingerprintMismatch, match="trainable.method: 'lora' -> "):
        train(dataclasses.replace(other, trainable=None))
    with pytest.raises(ValueError, match="set TrainRun.init_from to the run folder"):
        train(dataclasses.replace(other, init_from=None))


def test_a_bfloat16_base_that_is_adapted_itself(tmp_path, toy, trained):
    run, params, _, _ = trained
    half = dataclasses.replace(LORA, base_dtype="bfloat16")
    mesh = make_mesh(MeshConfig())
    base, frozen = partial_run.open_base(run.output_dir, half, run.model, mesh, None)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(frozen)} == {"bfloat16"}
    assert (base.dtype, base.step) == ("bfloat16", 6)
    second = RunFolder(str(tmp_path / "second"))
    run_folder.write_json(second.root, "model.json", dataclasses.asdict(run.model))
    run_folder.write_json(second.root, "run.json", partial_run.describe(half, base))
    checkpoint.save_params(second, params)
    weights = load_params(run.output_dir, run.model)
    loaded = load_params(str(second.root), run.model)
    rounded = weights["embedding"].astype(jnp.bfloat16).astype(jnp.float32)
    np.testing.assert_array_equal(loaded["embedding"], rounded)
    assert_different(loaded["decoder"], weights["decoder"])


@pytest.mark.parametrize("file, kind", [("lora", LoraConfig), ("prompt_tuning", type(PROMPT))])
def test_shipped_settings_build(file, kind):
    places = [f"TrainRun.{name} = 'x'" for name in ("output_dir", "mixture", "init_from")]
    files = [f"runs/{file}.gin", "models/t5_1_1_small.gin"]
    (run,), _ = configuration.build(["TrainRun"], files, places)
    assert type(run.trainable) is kind and run.trainable.base_dtype == "bfloat16"


def test_the_digest_is_of_the_content():
    params = {"a": jnp.arange(6.0).reshape(2, 3), "b": jnp.ones(4, jnp.bfloat16)}
    digest = params_digest(params)
    assert params_digest(jax.tree.map(jnp.copy, params)) == digest
    others = [
        params | {"a": params["a"].at[1, 2].add(1e-6)},
        params | {"a": params["a"][::-1]},
        params | {"a": params["a"].reshape(3, 2)},
        params | {"b": params["b"].astype(jnp.float32)},
        {"c": params["a"], "b": params["b"]},
    ]
    assert len({digest, *map(params_digest, others)}) == 6


def test_prompt_tuning_from_start_to_finish(tmp_path, toy):
    run = partial(tmp_path / "run", toy, PROMPT, steps=2, gradient_accumulation=1)
    expected = train(run)
    assert expected.params["prompt"].shape == (3, 16)
    loaded = load_params(run.output_dir, run.model)
    np.testing.assert_array_equal(loaded["prompt"], expected.params["prompt"])
    rest = {name: loaded[name] for name in loaded if name != "prompt"}
    assert_bitwise_equal(rest, load_params(toy[1], run.model))
    counted = run_ledger.read(run.output_dir)
    (tmp_path / "run" / run_ledger.NAME).unlink()
    assert run_ledger.read(run.output_dir) == counted
    for other in (None, LORA):
        with pytest.raises(RunFolderError, match="is a run of prompt tuning"):
            train(partial(tmp_path / "next", toy, other, init_from=run.output_dir, steps=1))
    long = dataclasses.replace(PROMPT, length=12)
    with pytest.raises(ValueError, match="raise FeedConfig.inputs_length by 3"):
        train(partial(tmp_path / "long", toy, long))


@pytest.mark.slow
def test_prompt_tuning_stopped_and_resumed_equals_uninterrupted(tmp_path, toy):
    expected = train(partial(tmp_path / "whole", toy, PROMPT))
    half = partial(tmp_path / "half", toy, PROMPT, steps=3)
    train(half)
    assert_bitwise_equal(train(dataclasses.replace(half, steps=6)).params, expected.params)


MESHES = """
import json, sys, dataclasses
sys.path.insert(0, "tests")
from test_trainable import LORA, PROMPT, partial
from flan_jax.parallel.mesh import MeshConfig
from flan_jax.train.loop import train
from flan_jax.train.metrics_log import LoggingConfig
folder, toy, shape, kind = sys.argv[1], sys.argv[2:5], json.loads(sys.argv[5]), sys.argv[6]
run = partial(folder, toy, {"lora": LORA, "prompt": PROMPT}[kind])
logging = LoggingConfig(interval=1, tensorboard=False)
train(dataclasses.replace(run, mesh=MeshConfig(*shape), logging=logging))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lora", "prompt"])
def test_every_mesh_gives_the_same_loss(tmp_path, toy, kind):
    found = {}
    for shape in ([1], [8, 1, 1], [2, 2, 2]):
        folder, devices = tmp_path / str(len(found)), int(np.prod(shape))
        process = start_process(MESHES, str(folder), *toy, str(shape), kind, devices=devices)
        finish(process, timeout=300)
        found[str(shape)] = losses(partial(folder, toy))
    first, *others = found.values()
    assert len(first) == 6
    for other in others:
        for step, loss in first.items():
            assert other[step] == pytest.approx(loss, abs=1e-5), (step, found)
    # A base loaded on another mesh is the same base.
    merged = load_params(str(tmp_path / "2"), partial("x", toy).model)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(merged))
