"""Planning: arithmetic, memory, rooflines, the search and what is refused, by hand."""

import dataclasses
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest
import rich.console
from small_models import DECODER_ONLY, ENCODER_DECODER

from flan_jax.data.feed import FeedConfig
from flan_jax.model import transformer
from flan_jax.parallel.mesh import describe
from flan_jax.parallel.planning import (
    analysis,
    arithmetic,
    chips,
    compilation,
    plan,
    search,
    tables,
    worker,
)
from flan_jax.parallel.planning.compilation import Job
from flan_jax.train import flops
from flan_jax.train.optimizer import OptimizerConfig

# One layer of the encoder and one of the decoder; every size is another power of two, times 3.
T5 = dataclasses.replace(
    ENCODER_DECODER, vocab_size=96, d_model=32, d_ff=64, num_layers=1, num_heads=4, head_dim=16,
    num_encoder_layers=1, dtype="bfloat16",
)  # fmt: skip
JOB = Job(T5, FeedConfig(8, 4, batch_size=16), OptimizerConfig(name="adamw"))


def test_arithmetic_of_one_layer_by_hand():
    """B = 16 rows, S = 8, T = 4, D = 32, N H = 64, F = 64, V = 96."""
    encoder = 8 * (4 * 32 * 64 + 3 * 32 * 64) + 2 * 8 * 8 * 64
    decoder = 4 * (4 * 32 * 64 + 3 * 32 * 64) + 2 * 4 * 4 * 64
    cross = (2 * 4 + 2 * 8) * 32 * 64 + 2 * 4 * 8 * 64
    forward = 2 * 16 * (encoder + decoder + cross + 4 * 32 * 96)
    assert forward == 2 * 16 * 247808
    # The mathematics needs half of causal attention.
    needed = forward - 2 * 16 * (4 * 4 * 64)
    assert flops.train_step_flops(T5, JOB.feed) == 3 * needed
    traced = compilation.trace_train_step(JOB, analysis.abstract_mesh((1, 1, 1, 2)))
    # The softmax's division is an einsum of its own in this model: it is counted as well.
    counted = arithmetic.matrix_flops(traced.jaxpr)
    assert counted == pytest.approx(3 * forward, rel=0.02)
    full, _ = analysis.traced_costs(search.with_remat(JOB, "full"))
    dots, _ = analysis.traced_costs(search.with_remat(JOB, "dots"))
    layers = forward - 2 * 16 * 4 * 32 * 96
    assert counted < dots < full < counted + 1.02 * layers


def test_a_mapped_program_counts_on_every_device():
    mesh = analysis.abstract_mesh((2, 2, 1, 1))
    spec = jax.P("data")

    def local(a, b):
        return a @ b

    with jax.sharding.use_abstract_mesh(mesh):
        mapped = jax.shard_map(local, in_specs=(spec, jax.P()), out_specs=spec)
        shapes = [jax.ShapeDtypeStruct(shape, "float32") for shape in ((6, 5), (5, 7))]
        traced = jax.jit(mapped).trace(*shapes)
    # Three rows each on four devices, since nothing is split over `fsdp`.
    assert arithmetic.matrix_flops(traced.jaxpr) == 4 * 2 * 3 * 5 * 7


def test_memory_by_hand():
    """Parameters of the layers are split over fsdp=4 x tensor=2, norms over nothing."""
    d, inner, f, v = 32, 64, 64, 96
    kernels = (4 * d * inner + 3 * d * f) * 2 + 4 * d * inner + 2 * v * d
    norms = 2 * d + 3 * d + 2 * d  # of the encoder's and the decoder's sublayers, and the last two
    tables = 2 * 8 * 4
    held = 4 * (kernels / 8 + norms + tables)
    used = analysis.memory(search.with_remat(JOB, "full"), (2, 4, 2, 1))
    assert used.parameters == used.gradients == held
    assert used.optimizer == pytest.approx(2 * held, abs=64)  # two moments and counters
    # bfloat16 inputs of one layer each, 16 rows over 8 ways; the loss keeps a gradient of the last
    # hidden states, and what is no layer's input counts as split over tensor.
    assert used.activations == 2 * (8 + 4) * d * 2 + 2 * 4 * d * 2 / 2
    assert used.total == sum(dataclasses.astuple(used)[:-1])
    with pytest.raises(ValueError, match="16 rows a microbatch do not divide"):
        analysis.memory(JOB, (32, 1, 1, 1))


def test_gpus_are_planned_by_analysis():
    """64 GPUs, nodes of 8: each GPU fetches a part from afar, and its neighbours the others."""
    chip = chips.CHIPS["h100"]
    shape = (1, 32, 2, 1)
    job = dataclasses.replace(JOB, feed=FeedConfig(8, 4, batch_size=64))
    sent = analysis.collective_bytes(job, shape)
    count = sum(leaf.size for leaf in jax.tree.leaves(transformer.abstract(job.model)))
    assert sent["fsdp"] == 3 * 2 * count / 2 * 31 / 32
    # Two rows a device; two sublayers of 8 positions and three of 4, forward and backward, twice.
    assert sent["tensor"] == 2 * 2 * 2 * (2 * 8 + 3 * 4) * 32 * 2 / 2
    line = analysis.estimate(job, shape, chip)
    # A pair of `tensor` and four of `fsdp` are in a node.
    assert line.link_seconds["network"] == pytest.approx(sent["fsdp"] / 4 / 50e9)
    assert line.link_seconds["link"] == pytest.approx((sent["fsdp"] + sent["tensor"]) / 450e9)
    made = plan.analyse(job, "h100:64", shape)
    assert (made.method, made.fits, made.collectives) == ("analysis", True, None)
    assert made.roofline.mfu_bound <= 1


def test_the_longest_of_three_times_bounds_the_step():
    line = plan.Roofline(60.0, 80.0, 2, 4.0, 6.0, {"x+": 5.0, "slices": 1.0})
    assert (line.network_seconds, line.step_seconds, line.serial_seconds) == (5, 6, 15)
    assert line.bound_by == "memory"
    assert line.mfu_bound == pytest.approx(60 / 80 * 4 / 6)
    assert line.mfu_serial == pytest.approx(60 / 80 * 4 / 15)


def shrunk(hbm: float):
    """A chip "v5e" with that many bytes of memory."""
    return {"v5e": dataclasses.replace(chips.CHIPS["v5e"], hbm_bytes=hbm)}


def test_a_mesh_that_cannot_fit_is_refused_with_the_nearest_that_would(monkeypatch):
    job = search.with_remat(JOB, "full")
    split = analysis.memory(job, (1, 2, 4, 1)).total
    monkeypatch.setattr(chips, "CHIPS", shrunk(1.5 * split))
    whole = plan.analyse(job, "v5e:2x4", (8, 1, 1, 1))
    assert not whole.fits
    known = search.candidates(job, "v5e:2x4")
    assert known[0].fits and not known[-1].fits
    message = search.refusal(whole, known)
    assert "data=8 with remat=full does not fit v5e:2x4: needs" in message
    other = search.nearest_that_fits(whole, known)
    assert other.fits and describe(other.mesh) in message
    monkeypatch.setattr(chips, "CHIPS", shrunk(split / 100))
    known = search.candidates(job, "v5e:2x4")
    assert "No mesh of these devices does" in search.refusal(whole, known)


def test_only_meshes_that_divide_are_candidates():
    known = search.candidates(JOB, "v5e:2x4")
    shapes = {one.mesh for one in known}
    assert (1, 2, 4, 1) in shapes and (8, 1, 1, 1) in shapes
    assert not any(tensor > 4 for _, _, tensor, _ in shapes)  # four heads
    of_two_slices = search.candidates(JOB, "v5e:2x4", 2)
    assert all(one.mesh[0] % 2 == 0 for one in of_two_slices)
    few = dataclasses.replace(JOB, feed=FeedConfig(8, 4, batch_size=3))
    with pytest.raises(ValueError, match="multiple of 8"):
        search.candidates(few, "v5e:2x4")


def test_meshes_that_keep_the_torus_come_first():
    assert search.keeps_torus_axes((4, 16, 1, 1), "v5p:4x4x4")
    assert search.keeps_torus_axes((1, 1, 64, 1), "v5p:4x4x4")
    assert not search.keeps_torus_axes((8, 8, 1, 1), "v5p:4x4x4")
    assert search.keeps_torus_axes((32, 16, 1, 1), "v6e:16x16", num_slices=2)
    assert not search.keeps_torus_axes((64, 8, 1, 1), "v6e:16x32")
    assert search.keeps_torus_axes((8, 8, 1, 1), "h100:64")
    whole = [search.keeps_torus_axes(one.mesh, "v5e:2x4") for one in _fitting("v5e:2x4")]
    assert whole == sorted(whole, reverse=True) and not all(whole)


def _fitting(topology):
    return [one for one in search.candidates(JOB, topology, remats=("full",)) if one.fits]


@pytest.mark.parametrize("text", ["v5p:4x4", "v5e:4x4x4", "h100:8x8", "v5e:axb", "v5e"])
def test_a_wrong_topology_is_refused(text):
    with pytest.raises(ValueError, match="size"):
        plan.device_count(text)
    with pytest.raises(ValueError, match="v4, v5e, v5p, v6e"):
        plan.device_count("v99:4x4")


def test_a_search_resumes_from_its_results(tmp_path, monkeypatch):
    sketches = search.candidates(JOB, "v5e:4x4", remats=("full",))[:3]
    asked = []

    def compile_apart(request, seconds):
        asked.append(tuple(request["shape"]))
        if len(asked) == 2:
            raise TimeoutError("too long")
        made = plan.analyse(JOB, "v5e:4x4", tuple(request["shape"]))
        return dataclasses.replace(made, method="compiled", compile_seconds=1.0)

    monkeypatch.setattr(worker, "compile_apart", compile_apart)
    path, said = str(tmp_path / "plans.jsonl"), []
    jobs = [(search.with_remat(JOB, one.remat), one) for one in sketches]
    first = search.compile_all(jobs, search.Results(path), 1.0, said.append)
    assert len(first) == 2 and "too long" in "".join(said)
    again = search.compile_all(jobs, search.Results(path), 1.0, said.append)
    assert len(again) == 3 and len(asked) == 4
    late = search.compile_all(jobs, search.Results(None), 0.0, said.append)
    assert late == [] and "the time is over" in said[-1]
    assert {plan.from_json(plan.to_json(one)) == one for one in again} == {True}


def test_tables_show_every_plan():
    fitting = plan.analyse(JOB, "h200:8", (2, 2, 2, 1))
    refused = dataclasses.replace(fitting, fits=False, roofline=None, note="needs more")
    console = rich.console.Console(width=160, file=io.StringIO())
    console.print(tables.overview([fitting, refused]))
    assert "does not fit" in console.file.getvalue()
    text = tables.details(fitting)
    assert "saved activations" in text and "data=2,fsdp=2,tensor=2" in text
    compiled = dataclasses.replace(
        fitting, collectives={"all-gather": {"count": 1, "bytes": 10**9}}, compile_seconds=3.0
    )
    assert "| 64 | none |" in tables.markdown([(64, compiled)])
    assert "gather 1.0" in tables.markdown([(64, compiled)])
    assert all(name in tables.chip_table() for name in chips.CHIPS)


def test_the_script_plans_for_gpus(tmp_path):
    script = Path(__file__).parents[1] / "scripts" / "plan.py"
    done = subprocess.run(
        [
            sys.executable, str(script), "--model", "mini", "--topology", "h100:8",
            "--inputs_length", "64", "--targets_length", "64", "--json", str(tmp_path / "p.json"),
            "--optimizer", "adamw", "--gin.ModelConfig.num_layers=2",
        ],
        capture_output=True, text=True, env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "by analysis alone" in done.stdout and "--gin.TrainRun.mesh=" in done.stdout
    best = json.loads((tmp_path / "p.json").read_text())[0]
    assert best["fits"] and best["method"] == "analysis"


@pytest.mark.slow
@pytest.mark.parametrize("model", [T5, dataclasses.replace(DECODER_ONLY, dtype="bfloat16")])
def test_a_small_model_is_compiled_for_a_tpu(model):
    pytest.importorskip("libtpu")
    feed = FeedConfig(128, 128, batch_size=16, architecture=model.architecture)
    job = search.with_remat(Job(model, feed), "full")
    made = worker.compile_apart(worker.request(job, "v5e:2x2", (1, 2, 2, 1), 1, "train"), 900)
    assert made.fits and made.method == "compiled"
    assert 0 < made.memory.parameters < made.memory.total < made.hbm_bytes
    assert made.forward_weight_all_reduces == 0
    assert made.collectives["all-reduce"]["count"] >= model.num_layers
    decode = worker.compile_apart(worker.request(job, "v5e:2x2", (1, 2, 2, 1), 1, "decode"), 900)
    assert decode.fits and decode.program == "decode"
