"""Checkpoints: exact, retained, whole or not at all, and clear about what is wrong."""

import dataclasses
import json
import logging
import resource
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training_support import small_run

from flan_jax import storage
from flan_jax.model import transformer
from flan_jax.parallel.mesh import MeshConfig, make_mesh
from flan_jax.train import checkpoint, run_folder
from flan_jax.train.checkpoint import CheckpointConfig, CheckpointError, Checkpoints, load_params
from flan_jax.train.metrics_log import drop_records_after
from flan_jax.train.optimizer import OptimizerConfig, make_optimizer
from flan_jax.train.run_folder import RunFolder, RunFolderError
from flan_jax.train.state import TrainState, abstract_state, state_from_params

AXES = {"a": {"kernel": ("layers", "embed", "mlp")}, "bias": ("embed",)}


@pytest.fixture(params=["adamw", "adafactor"])
def toy(request):
    """A small state, one matrix of which Adafactor factors, and its abstract form."""
    optimizer = make_optimizer(OptimizerConfig(name=request.param), 10, AXES)
    params = {
        "a": {"kernel": jax.random.normal(jax.random.key(0), (2, 128, 128))},
        "bias": jnp.arange(4.0),
    }
    abstract = abstract_state(
        jax.eval_shape(lambda: params), optimizer, AXES, make_mesh(MeshConfig())
    )
    state = state_from_params(jax.device_put(params, shardings(abstract)), optimizer, abstract)
    return state, abstract


def shardings(abstract):
    return jax.tree.map(lambda leaf: leaf.sharding, abstract.params)


@pytest.fixture
def said():
    return []


@pytest.fixture
def open_checkpoints(tmp_path, said):
    """Opens the checkpoints of one folder, each time anew, as another process would."""
    opened = []

    def open_them(**config):
        checkpoints = Checkpoints(RunFolder(str(tmp_path)), CheckpointConfig(**config), said.append)
        opened.append(checkpoints)
        return checkpoints

    yield open_them
    for checkpoints in opened:
        checkpoints.close()


@jax.jit
def advance(state: TrainState) -> TrainState:
    return jax.tree.map(lambda x: x + jnp.ones_like(x), state)


def save_steps(checkpoints, state, steps):
    for step in steps:
        checkpoints.save(state._replace(step=jnp.int32(step)), step, {"step": step, "feed": [1, 2]})
    checkpoints.wait()


def assert_equal(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_restores_bit_for_bit_with_progress(toy, open_checkpoints, said):
    state, abstract = toy
    state = advance(state)
    save_steps(open_checkpoints(), state, [1])
    restored, progress = open_checkpoints().restore(abstract)
    assert_equal(restored, state._replace(step=jnp.int32(1)))
    assert progress == {"step": 1, "feed": [1, 2]}
    assert restored.params["bias"].sharding == abstract.params["bias"].sharding
    assert "resuming from checkpoint 1" in said[-1]


def test_saving_in_the_background_is_not_disturbed_by_donation(toy, open_checkpoints):
    state, abstract = toy
    expected = jax.tree.map(np.array, state.params)
    donating = jax.jit(lambda s: jax.tree.map(lambda x: x * 0 + 7, s), donate_argnums=0)
    checkpoints = open_checkpoints()
    checkpoints.save(state, 3, {})
    donating(state)
    checkpoints.wait()
    restored, _ = open_checkpoints().restore(abstract)
    assert_equal(restored.params, expected)


def test_retention(toy, open_checkpoints, tmp_path):
    save_steps(open_checkpoints(keep=2, keep_period=4), toy[0], range(1, 10))
    assert run_folder.committed_steps(tmp_path) == [4, 8, 9]


@pytest.mark.parametrize("toy", ["adamw"], indirect=True)
def test_the_best_is_kept_beside_the_latest(toy, open_checkpoints, tmp_path, said):
    def save(checkpoints, step, **scores):
        state = toy[0]._replace(step=jnp.int32(step))
        checkpoints.save(state, step, {"step": step}, scores or None)
        checkpoints.wait()

    checkpoints = open_checkpoints(keep=1, best="nli")
    assert checkpoints.shall_keep({"nli": 0.0}) and not checkpoints.shall_keep(None)
    for step, score in ((1, 0.3), (2, 0.7), (3, 0.5)):
        save(checkpoints, step, nli=score, mean=1 - score)
    save(checkpoints, 4)  # a step that was not scored
    assert run_folder.committed_steps(tmp_path) == [2, 4]
    checkpoints.close()
    assert said[-1] == "best checkpoint: 2, with nli 0.7"

    resumed = open_checkpoints(keep=1, best="nli")
    assert resumed.find_best() == (2, 0.7)
    assert resumed.shall_keep({"nli": 0.71}) and not resumed.shall_keep({"nli": 0.7})
    assert resumed.restore(toy[1])[1] == {"step": 4}  # a resume begins with the latest
    save(resumed, 5, nli=0.9)
    assert run_folder.committed_steps(tmp_path) == [5]
    resumed.close()
    other = open_checkpoints(keep=1, best="qa")  # which no checkpoint has
    assert other.find_best() is None and other.shall_keep({"qa": 0.1})


def test_no_checkpoint_is_no_error(toy, open_checkpoints):
    assert open_checkpoints().restore(toy[1]) is None


def test_a_half_written_checkpoint_is_named_and_the_previous_one_used(
    toy, open_checkpoints, tmp_path, said
):
    state, abstract = toy
    save_steps(open_checkpoints(), state, [5])
    # what a kill during a save leaves: orbax's temporary folder, some files in it
    half = tmp_path / "checkpoints" / "10.orbax-checkpoint-tmp"
    shutil.copytree(tmp_path / "checkpoints" / "5", half)
    (half / run_folder.COMMITTED).unlink()
    checkpoints = open_checkpoints()
    _, progress = checkpoints.restore(abstract)
    assert progress["step"] == 5
    assert any("checkpoint 10 is half-written" in line for line in said)
    save_steps(checkpoints, state, [10])
    assert run_folder.committed_steps(tmp_path) == [5, 10]
    assert not half.exists()


def damage(folder):
    """Cuts the parameters' data files in half, as a crashed machine may."""
    files = [f for f in (folder / "params").rglob("d/*") if f.is_file()]
    assert files
    for file in files:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def test_a_damaged_checkpoint_is_put_aside(toy, open_checkpoints, tmp_path, said):
    state, abstract = toy
    save_steps(open_checkpoints(), state, [5, 10])
    damage(tmp_path / "checkpoints" / "10")
    checkpoints = open_checkpoints()
    restored, progress = checkpoints.restore(abstract)
    assert progress["step"] == 5
    assert_equal(restored.params, state.params)
    assert any("checkpoint 10 is damaged" in line for line in said)
    save_steps(checkpoints, state, [10])
    assert run_folder.committed_steps(tmp_path) == [5, 10]
    assert (tmp_path / "checkpoints" / "10.damaged").exists()


def test_only_damaged_checkpoints_are_an_error(toy, open_checkpoints, tmp_path):
    save_steps(open_checkpoints(), toy[0], [5])
    damage(tmp_path / "checkpoints" / "5")
    with pytest.raises(CheckpointError, match="no checkpoint in .* can be read"):
        open_checkpoints().restore(toy[1])
    assert (tmp_path / "checkpoints" / "5").exists()


@pytest.fixture
def full_disk():
    """Lets files of this process grow to a few bytes only; writing more fails like a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda full: resource.setrlimit(
        resource.RLIMIT_FSIZE, (20_000, before[1]) if full else before
    )
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


# Orbax's own threads are cut off by the error; what they leave is no matter of ours.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_full_disk(toy, open_checkpoints, tmp_path, said, full_disk):
    state, abstract = toy
    checkpoints = open_checkpoints(keep=1, max_failures=2)
    save_steps(checkpoints, state, [5])
    full_disk(True)
    save_steps(checkpoints, state, [10])
    assert "checkpoint 10 could not be saved" in said[-1]
    assert "File too large" in said[-1]
    assert "checkpoint 5 is intact" in said[-1]
    assert [entry.name for entry in (tmp_path / "checkpoints").iterdir()] == ["5"]
    full_disk(False)
    save_steps(checkpoints, state, [15])
    assert run_folder.committed_steps(tmp_path) == [15]
    full_disk(True)
    with pytest.raises(CheckpointError, match="2 saves in a row have failed"):
        checkpoints.save_final(state, 20, {"step": 20})
    full_disk(False)
    _, progress = open_checkpoints().restore(abstract)
    assert progress["step"] == 15


def test_orbax_log_is_left_as_it_was(open_checkpoints):
    level = logging.getLogger("absl").level
    open_checkpoints().close()
    assert logging.getLogger("absl").level == level


@pytest.fixture
def model(tmp_path):
    """A saved run of the support model: its configuration and parameters."""
    config = small_run(tmp_path, "unused").model
    shapes = transformer.abstract(config)
    params = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.1 * leaf.size, leaf.dtype), shapes)
    run_folder.write_json(tmp_path, "model.json", dataclasses.asdict(config))
    checkpoints = Checkpoints(RunFolder(str(tmp_path)), CheckpointConfig(), print)
    for step in (1, 2):
        scaled = jax.tree.map(lambda x, step=step: x * step, params)
        checkpoints.save(TrainState(jnp.int32(step), scaled, {"m": jnp.zeros(3)}), step, {})
    checkpoints.close()
    return config, params


def test_load_params_from_a_relative_path(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path.parent)
    loaded = load_params(tmp_path.name, model[0])
    assert_equal(loaded, jax.tree.map(lambda x: x * 2, model[1]))


def test_load_params_alone(model, tmp_path):
    config, params = model
    assert run_folder.read_model_config(tmp_path) == config
    twice = jax.tree.map(lambda x: x * 2, params)
    assert_equal(load_params(str(tmp_path), config), twice)
    assert_equal(load_params(str(tmp_path), config, step=1), params)
    assert_equal(load_params(str(tmp_path / "checkpoints" / "1"), config), params)
    mesh = make_mesh(MeshConfig())
    loaded = load_params(str(tmp_path), config, mesh)
    assert all(leaf.sharding.mesh == mesh for leaf in jax.tree.leaves(loaded))


def test_load_params_of_another_model_names_the_parameters(model, tmp_path):
    config = dataclasses.replace(model[0], d_ff=48)
    with pytest.raises(CheckpointError) as caught:
        load_params(str(tmp_path), config)
    assert "decoder/layers/feed_forward" in str(caught.value)
    assert "(2, 16, 32) -> (2, 16, 48)" in str(caught.value)
    untied = dataclasses.replace(model[0], tie_embeddings=True)
    with pytest.raises(CheckpointError, match=r"head: \(16, 64\) -> \(absent\)"):
        load_params(str(tmp_path), untied)


def test_damaged_parameters_are_named_with_the_checkpoint(model, tmp_path):
    for file in (tmp_path / "checkpoints" / "2" / "params").rglob("d/*"):
        file.write_bytes(b"")
    with pytest.raises(CheckpointError, match="checkpoints/2 cannot be read .* another step"):
        load_params(str(tmp_path), model[0])
    assert_equal(load_params(str(tmp_path), model[0], step=1), model[1])
    (tmp_path / "model.json").write_text("{")
    with pytest.raises(RunFolderError, match="model.json is damaged .*: restore it"):
        run_folder.read_model_config(tmp_path)


def test_load_params_from_nowhere(model, tmp_path):
    with pytest.raises(RunFolderError, match=r"complete checkpoints there: \[1, 2\]"):
        load_params(str(tmp_path), model[0], step=7)
    with pytest.raises(RunFolderError, match="there is none there"):
        load_params(str(tmp_path / "nothing"), model[0])
    with pytest.raises(RunFolderError, match="model.json"):
        run_folder.read_model_config(str(tmp_path / "nothing"))


def test_remote_folder(model, tmp_path, said):
    """A run on a file system that orbax does not know: written here, copied there, resumed."""
    url = f"memory://{tmp_path.name}/run"
    params = {"w": jnp.arange(6.0)}
    folder = RunFolder(url)
    run_folder.write_json(url, "run.json", {"fingerprint": 1})
    (folder.local / "metrics.jsonl").write_text('{"step": 1}\n')
    checkpoints = Checkpoints(folder, CheckpointConfig(keep=1), said.append)
    state = TrainState(jnp.int32(0), params, {"m": jnp.ones(2)})
    save_steps(checkpoints, state, [1, 2])
    assert run_folder.committed_steps(url) == [2]
    checkpoints.close()
    folder.close()
    assert not folder.local.exists()
    again = RunFolder(url)
    assert (again.local / "metrics.jsonl").read_text() == '{"step": 1}\n'
    assert run_folder.read_run(url) == {"fingerprint": 1}
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    abstract = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), state
    )
    checkpoints = Checkpoints(again, CheckpointConfig(), said.append)
    restored, progress = checkpoints.restore(abstract)
    assert progress["step"] == 2
    assert_equal(restored.params, params)
    checkpoints.close()
    again.close()
    loaded = checkpoint.restore_params(run_folder.local_checkpoint(url, 2), abstract.params)
    assert_equal(loaded, params)
    storage.path(url).rmtree()


def test_records_after_the_restored_step_are_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    lines = [json.dumps({"step": step, "loss": 1.0}) for step in (5, 10, 15)]
    path.write_text("\n".join(lines) + '\n{"step": 20, "lo')
    drop_records_after(path, 10)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [5, 10]


@pytest.mark.parametrize("field", ["interval", "keep", "max_failures"])
def test_bad_configuration_is_refused(field):
    with pytest.raises(ValueError, match=field):
        CheckpointConfig(**{field: 0})
