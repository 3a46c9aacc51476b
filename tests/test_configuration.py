import dataclasses
import re
from pathlib import Path

import pytest

from flan_jax import configuration
from flan_jax.configuration import ConfigurationError, build, from_command_line
from flan_jax.model.config import ModelConfig
from flan_jax.parallel.mesh import AXES, MeshConfig

ROOT = Path(__file__).parent.parent
MODEL = ["TrainRun.output_dir = 'x'", "TrainRun.mixture = 'm.json'"]
FILES = ["runs/tune.gin", "models/t5_1_1_small.gin"]


def test_a_tree_is_built_from_files_and_bindings():
    (run,), effective = build(["TrainRun"], FILES, [*MODEL, "OptimizerConfig.b1 = 0.8"])
    assert run.model.d_model == 512 and run.feed.inputs_length == 1024
    assert run.optimizer.b1 == 0.8
    assert type(run.model) is ModelConfig  # not a subclass made by gin
    assert "OptimizerConfig.b1 = 0.8" in effective
    assert "ModelConfig.d_model = 512" in effective
    assert "CheckpointConfig.keep = " in effective  # a default, which no file names


def test_the_effective_configuration_builds_the_same_tree(tmp_path):
    (run,), effective = build(["TrainRun"], FILES, MODEL)
    (tmp_path / "config.gin").write_text(effective)
    (again,), _ = build(["TrainRun"], [str(tmp_path / "config.gin")])
    assert again == run


def test_bindings_do_not_leak_into_the_next_configuration():
    build(["TrainRun"], FILES, [*MODEL, "TrainRun.steps = 7"])
    (run,), _ = build(["TrainRun"], FILES, MODEL)
    assert run.steps != 7


def test_scopes_reach_nested_configurations():
    (experiment,), _ = build(["Experiment"], ["experiments/mini_quickstart.gin"])
    pretrain, tune = experiment.stages
    assert pretrain.train.optimizer.learning_rate != tune.train.optimizer.learning_rate
    assert pretrain.train.model == tune.train.model


@pytest.mark.parametrize("regular", [False, True])
def test_a_package_named_like_a_gin_folder_is_not_read(regular, tmp_path, monkeypatch):
    package = tmp_path / "runs"  # such as the outputs in the working directory of `python -m`
    package.mkdir()
    (package / "mini.gin").write_text("TrainRun.steps = 7")
    if regular:
        (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    (experiment,), _ = build(["Experiment"], ["experiments/mini_quickstart.gin"])
    assert experiment.stages[0].train.steps != 7


@pytest.mark.parametrize(
    "binding, message",
    [
        ("ModelConfg.d_model = 1", "ModelConfg.*Did you mean 'ModelConfig'"),
        ("ModelConfig.d_modell = 1", "d_modell.*Did you mean 'd_model'"),
        ("TrainRun.model = @ModelConfg()", "ModelConfg.*Did you mean 'ModelConfig'"),
        ("ModelConfig.d_model = 0", "d_model: expected at least 1, got 0"),
        ("TrainRun.steps = ", "TrainRun.steps ="),
        ("TrainRun.steps = 20.5", "TrainRun.steps: expected a whole number such as 100, got 20.5"),
        ("TrainRun.init_from = 7", "TrainRun.init_from: expected a text in quotes, got 7"),
        ("TrainRun.init_from = runs/x", "TrainRun.init_from = runs/x.*Texts stand in quotes"),
        ("ModelConfig.dropout_rate = '0'", "dropout_rate: expected a number such as 0.1, got '0'"),
        ("ModelConfig.scan_layers = 1", "scan_layers: expected True or False, got 1"),
    ],
)
def test_what_does_not_exist_is_an_error_with_a_suggestion(binding, message):
    with pytest.raises(ConfigurationError, match=f"(?s){message}"):
        build(["TrainRun"], FILES, [*MODEL, binding])


def test_a_missing_field_is_named():
    with pytest.raises(ConfigurationError, match="output_dir"):
        build(["TrainRun"], FILES, ["TrainRun.mixture = 'm.json'"])


def test_an_unknown_file_is_an_error_with_a_suggestion():
    with pytest.raises(ConfigurationError, match="Did you mean 'models/t5_1_1_small.gin'"):
        build(["TrainRun"], ["models/t5_1_small.gin"])


def test_command_line(capsys):
    arguments = [f"--gin_file={file}" for file in FILES]
    settings = ["--gin.TrainRun.output_dir='x'", "--gin.TrainRun.mixture='m'"]
    (run,), _ = from_command_line(["TrainRun"], "", [*arguments, *settings])
    assert (run.output_dir, run.mixture) == ("x", "m")
    with pytest.raises(SystemExit):
        from_command_line(["TrainRun"], "", ["--steps=3"])
    assert "settings are given as --gin.NAME=VALUE" in capsys.readouterr().err


def test_data_dir_reaches_the_caches():
    arguments = ["--gin_file=experiments/flan2021_without_nli.gin", "--data_dir=/data/flan"]
    (experiment,), _ = from_command_line(["Experiment"], "", arguments)
    assert experiment.caches.data_dir == "/data/flan"


@pytest.mark.parametrize("name", sorted(configuration.CONFIGURABLES))
def test_every_field_is_documented(name):
    cls = configuration._configurable(name)
    undocumented = [
        field.name for field in dataclasses.fields(cls) if f"{field.name}:" not in cls.__doc__
    ]
    assert not undocumented


def test_the_mesh_is_read_as_a_whole():
    assert tuple(field.name for field in dataclasses.fields(MeshConfig)) == (*AXES, "slices")


def test_a_mesh_is_one_short_line():
    bindings = ['EvaluateRun.mesh = "data=2,fsdp=-1,slices=2"']
    bindings += ["EvaluateRun.output_dir = 'x'", "EvaluateRun.checkpoint = 'x'"]
    with pytest.raises(ConfigurationError, match="caches: expected a list such as .*, got 'x'"):
        build(["EvaluateRun"], bindings=[*bindings, "EvaluateRun.caches = 'x'"])
    bindings += ["EvaluateRun.caches = ['x']"]
    (run,), effective = build(["EvaluateRun"], bindings=bindings)
    assert run.mesh == MeshConfig(data=2, fsdp=-1, slices=2)
    assert "mesh = 'data=2,fsdp=-1,slices=2'" in effective


@pytest.mark.parametrize("name", sorted({*configuration.CONFIGURABLES} - {"MeshConfig"}))
def test_every_field_is_read(name):
    folders = [ROOT / "flan_jax", ROOT / "scripts"]
    code = "\n".join(path.read_text() for folder in folders for path in folder.rglob("*.py"))
    fields = dataclasses.fields(configuration._configurable(name))
    unread = [field.name for field in fields if not re.search(rf"\w\.{field.name}\b", code)]
    assert not unread


def _gin_files(folder):
    root = configuration.gin_folder()
    return sorted(str(path.relative_to(root)) for path in (root / folder).glob("*.gin"))


@pytest.mark.parametrize("file", _gin_files("models"))
def test_shipped_models_build(file):
    (model,), _ = build(["ModelConfig"], [file])
    assert model.vocab_size > 0


@pytest.mark.parametrize("file", _gin_files("experiments"))
def test_shipped_experiments_build(file):
    (experiment,), _ = build(["Experiment"], [file])
    assert experiment.stages


def test_the_quickstart_has_the_roles_that_the_collection_declares():
    from tasks.mini import roles

    (experiment,), _ = build(["Experiment"], ["experiments/mini_quickstart.gin"])
    assert experiment.test_clusters == roles.TEST
    assert experiment.dev_clusters == roles.DEVELOPMENT
    assert set(experiment.trained_clusters) == set(roles.TRAINED)
