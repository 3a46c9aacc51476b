"""What LoRA trained, exported: merged into the weights, or as an adapter folder of peft."""

import dataclasses
import json
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from quick_compilation import compile_quickly  # noqa: F401
from safetensors.numpy import load_file
from small_models import rows_batch
from test_hugging_face import SMALL, write

from flan_jax.interop import peft_folder
from flan_jax.model import lora, soft_prompt, transformer
from flan_jax.model.lora import LoraConfig
from flan_jax.model.soft_prompt import PromptTuningConfig
from flan_jax.parallel.mesh import MeshConfig, make_mesh
from flan_jax.train import checkpoint, partial_run, run_folder
from flan_jax.train.run_folder import RunFolder

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))
import convert  # noqa: E402

LORA = LoraConfig(rank=2, alpha=3.0, targets=("query", "value", "up"), dropout_rate=0.1)


def write_run(folder, base, adaptation, seed=7):
    """A run folder beside an imported base, as if it had been trained; no zeros anywhere."""
    config = run_folder.read_model_config(base)
    mesh = make_mesh(MeshConfig(data=1), jax.devices()[:1])
    named, _ = partial_run.open_base(base, adaptation, config, mesh, None)
    about = run_folder.read_run(base) | partial_run.describe(adaptation, named)
    module = lora if isinstance(adaptation, LoraConfig) else soft_prompt
    rng = np.random.default_rng(seed)
    trained = jax.tree.map(
        lambda leaf: jax.device_put(rng.standard_normal(leaf.shape, np.float32)),
        module.abstract(adaptation, config),
    )
    opened = RunFolder(str(folder))
    run_folder.write_json(folder, "model.json", dataclasses.asdict(config))
    run_folder.write_json(folder, "run.json", about)
    checkpoint.save_params(opened, trained)
    return str(folder)


def exported(tmp_path, family, adaptation=LORA):
    """Folders of a base, of a run beside it merged, and of its adapter."""
    base, imported, merged, adapter = (
        str(tmp_path / name) for name in ("base", "imported", "merged", "adapter")
    )
    write(base, SMALL[family], family)
    convert.main(["import", base, imported])
    run = write_run(tmp_path / "run", imported, adaptation)
    convert.main(["export", run, merged, "--like", base])
    convert.main(["export", run, adapter, "--adapter", "--like", base])
    return base, merged, adapter


@pytest.mark.parametrize("family", ["mt5", "llama"])
def test_the_adapter_is_what_was_merged(tmp_path, family):
    base, merged, adapter = exported(tmp_path, family)
    settings = json.loads((Path(adapter) / "adapter_config.json").read_text())
    expected = {"mt5": ["q", "v", "wi_1"], "llama": ["q_proj", "up_proj", "v_proj"]}[family]
    assert settings["target_modules"] == expected
    assert (settings["r"], settings["lora_alpha"]) == (2, 3.0)
    assert settings["base_model_name_or_path"] == base
    assert settings["task_type"] == {"mt5": "SEQ_2_SEQ_LM", "llama": "CAUSAL_LM"}[family]

    before, after = (load_file(f"{folder}/model.safetensors") for folder in (base, merged))
    tensors = load_file(f"{adapter}/adapter_model.safetensors")
    modules = {name.partition(".lora_")[0] for name in tensors}
    assert len(tensors) == 2 * len(modules)
    for module in modules:
        a, b = (tensors.pop(f"{module}.lora_{part}.weight") for part in "AB")
        name = module.removeprefix("base_model.model.") + ".weight"
        sum_ = before.pop(name) + 1.5 * b @ a
        np.testing.assert_allclose(after.pop(name), sum_, rtol=0, atol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, after, before)


def test_modules_in_full_where_last_names_would_say_more():
    restricted = dataclasses.replace(LORA, targets=("cross_attention/query",))
    modules = peft_folder.target_modules(SMALL["mt5"], restricted)
    assert modules == [f"decoder.block.{layer}.layer.1.EncDecAttention.q" for layer in range(2)]


def test_what_cannot_be_exported(tmp_path):
    base, imported = str(tmp_path / "base"), str(tmp_path / "imported")
    write(base, SMALL["llama"], "llama")
    convert.main(["import", base, imported])
    with pytest.raises(SystemExit, match="trained all parameters"):
        convert.main(["export", imported, str(tmp_path / "x"), "--adapter"])
    run = write_run(tmp_path / "run", imported, PromptTuningConfig(length=2))
    with pytest.raises(SystemExit, match="is a run of prompt tuning"):
        convert.main(["export", run, str(tmp_path / "x")])
    run = write_run(tmp_path / "lora", imported, LORA)
    with pytest.raises(SystemExit, match="exists; choose another folder"):
        convert.main(["export", run, base, "--adapter"])


def test_a_soft_prompt_alone(tmp_path):
    base, imported, adapter = (str(tmp_path / name) for name in ("base", "imported", "adapter"))
    write(base, SMALL["mt5"], "mt5")
    convert.main(["import", base, imported])
    run = write_run(tmp_path / "run", imported, PromptTuningConfig(length=3), seed=1)
    convert.main(["export", run, adapter, "--adapter", "--like", base])
    expected = np.random.default_rng(1).standard_normal((3, SMALL["mt5"].d_model), np.float32)
    tensors = load_file(f"{adapter}/adapter_model.safetensors")
    np.testing.assert_array_equal(tensors.pop("prompt_embeddings"), expected)
    assert not tensors
    settings = json.loads((Path(adapter) / "adapter_config.json").read_text())
    assert (settings["peft_type"], settings["num_virtual_tokens"]) == ("PROMPT_TUNING", 3)
    card = (Path(adapter) / "README.md").read_text()
    assert "library_name: peft" in card and "length 3" in card


@pytest.mark.slow
@pytest.mark.parametrize("family", ["mt5", "llama", "gemma2"])
def test_peft_computes_the_same_with_a_soft_prompt(tmp_path, family):
    torch = pytest.importorskip("torch", reason="see small_hf_models.py")
    transformers = pytest.importorskip("transformers", reason="see small_hf_models.py")
    peft = pytest.importorskip("peft", reason="pip install peft")
    torch.set_num_threads(1)
    base, imported, adapter = (str(tmp_path / name) for name in ("base", "imported", "adapter"))
    config = SMALL[family]
    write(base, config, family)
    convert.main(["import", base, imported])
    run = write_run(tmp_path / "run", imported, PromptTuningConfig(length=3))
    convert.main(["export", run, adapter, "--adapter", "--like", base])
    rng = np.random.default_rng(0)
    pairs = [(rng.integers(2, config.vocab_size, 6), rng.integers(2, config.vocab_size, 4))] * 2
    batch = rows_batch(config, [[pair] for pair in pairs], 6, 4)
    auto, inputs = transformers.AutoModelForCausalLM, {"input_ids": batch.decoder_inputs}
    if family == "mt5":
        auto = transformers.AutoModelForSeq2SeqLM
        names = {"input_ids": "encoder_tokens", "decoder_input_ids": "decoder_inputs"}
        inputs = {name: getattr(batch, field) for name, field in names.items()}
    theirs = peft.PeftModel.from_pretrained(auto.from_pretrained(base), adapter).eval()
    with torch.no_grad():
        whole = {name: torch.tensor(tokens).long() for name, tokens in inputs.items()}
        expected = theirs(**whole).logits.numpy()
    mesh = make_mesh(MeshConfig(data=1), jax.devices()[:1])
    params = partial_run.load(run, 0, config, mesh)
    ours = np.asarray(transformer.apply(config, params, batch))
    expected = expected[:, -ours.shape[1] :]  # those of the prompt come before
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-4 * max(1, np.abs(ours).max()))


@pytest.mark.slow
@pytest.mark.parametrize("targets", [LORA.targets, ("cross_attention/query", "encoder/mlp"), None])
@pytest.mark.parametrize("family", ["mt5", "qwen3"])
def test_peft_computes_the_same_as_the_merged_model(tmp_path, family, targets):
    torch = pytest.importorskip("torch", reason="see small_hf_models.py")
    transformers = pytest.importorskip("transformers", reason="see small_hf_models.py")
    peft = pytest.importorskip("peft", reason="pip install peft")
    torch.set_num_threads(1)
    if family == "qwen3" and targets and "encoder/mlp" in targets:
        targets = ("decoder/self_attention/out",)
    adaptation = dataclasses.replace(LORA, targets=targets or ("attention", "mlp"))
    base, merged, adapter = exported(tmp_path, family, adaptation)
    auto = transformers.AutoModelForCausalLM
    tokens = torch.randint(2, SMALL[family].vocab_size, (2, 9))
    inputs = {"input_ids": tokens}
    if family == "mt5":
        auto = transformers.AutoModelForSeq2SeqLM
        inputs["decoder_input_ids"] = tokens[:, :5]
    theirs = peft.PeftModel.from_pretrained(auto.from_pretrained(base), adapter).eval()
    ours, plain = (auto.from_pretrained(folder).eval() for folder in (merged, base))
    with torch.no_grad():
        a, b, c = (model(**inputs).logits for model in (theirs, ours, plain))
    largest = max(1.0, float(b.abs().max()))
    assert float((a - b).abs().max()) < 1e-4 * largest
    assert float((a - c).abs().max()) > 1e-2 * largest
