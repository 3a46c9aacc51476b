"""Host memory of models that no host could hold twice: initialised, saved, restored, exported.

Simulated devices keep their buffers in the host's memory, so what is measured is what the process
holds beyond the devices' buffers: the state, and while it is initialised the temporaries of the
compiled program. Allowed are a copy of the host's own shards, where a checkpoint is written (here
of all of them), and the largest stacked tensor and 1 GiB besides.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# Goes through the life of a state on eight devices, and prints what each part took.
_LIFE = """
import functools, json, os, shutil, sys, threading, time
import jax, numpy as np
from pathlib import Path
from flan_jax import configuration
from flan_jax.interop import hugging_face, families
from flan_jax.model import transformer
from flan_jax.model.config import ModelConfig
from flan_jax.parallel.mesh import MeshConfig, make_mesh
from flan_jax.train import checkpoint
from flan_jax.train.checkpoint import CheckpointConfig, Checkpoints
from flan_jax.train.optimizer import OptimizerConfig, make_optimizer
from flan_jax.train.run_folder import RunFolder
from flan_jax.train.state import abstract_state, create_state, fresh_state

config, root = ModelConfig(**json.loads(sys.argv[1])), Path(sys.argv[2])
axes = transformer.logical_axes(config)
optimizer = make_optimizer(OptimizerConfig(), 10, axes)
shapes = transformer.abstract(config)
say = lambda text: None

def held():  # anonymous memory: pages of mapped files are the system's to drop
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) * 1024

def bytes_of(tree):
    leaves = jax.tree.leaves(tree)
    return sum(shard.data.nbytes for leaf in leaves for shard in leaf.addressable_shards)

def measured(name, function):
    before, peak, stop = held(), [0], threading.Event()
    def watch():
        while not stop.is_set():
            peak[0] = max(peak[0], held() - before)
            time.sleep(0.005)
    thread = threading.Thread(target=watch)
    thread.start()
    made = function()
    jax.block_until_ready([leaf for leaf in jax.tree.leaves(made) if isinstance(leaf, jax.Array)])
    stop.set()
    thread.join()
    found[name] = peak[0]
    return made

def on(mesh_config):
    mesh = make_mesh(mesh_config)
    return mesh, abstract_state(shapes, optimizer, axes, mesh)

found = {}
jax.block_until_ready(jax.numpy.zeros(8))
mesh, abstract = on(MeshConfig(data=1, fsdp=4, tensor=2))
with jax.set_mesh(mesh):
    init = functools.partial(transformer.init, config)
    program = jax.jit(lambda key: fresh_state(init(key), optimizer), out_shardings=jax.tree.map(
        lambda leaf: leaf.sharding, abstract)).lower(jax.random.key(0)).compile()
    found["temporaries"] = 8 * program.memory_analysis().temp_size_in_bytes
    state = measured("init", lambda: create_state(init, optimizer, abstract, jax.random.key(0)))
    found["state"] = bytes_of(state)
    found["init"] -= found["state"] + found["temporaries"]
    folder = RunFolder(str(root / "run"))
    checkpoints = Checkpoints(folder, CheckpointConfig(), say)
    measured("save", lambda: checkpoints.save_final(state, 1, {}))
    checkpoints.close()
found["largest"] = max(leaf.nbytes for leaf in jax.tree.leaves(state.params))
first = np.asarray(state.params["encoder"]["layers"]["self_attention"]["query"][0, :4])
del state
mesh, abstract = on(MeshConfig(data=1, fsdp=2, tensor=4))
with jax.set_mesh(mesh):
    checkpoints = Checkpoints(folder, CheckpointConfig(), say)
    state, _ = measured("restore", lambda: checkpoints.restore(abstract))
    found["restored"] = bytes_of(state)
    found["restore"] -= found["restored"]
    checkpoints.close()
    again = np.asarray(state.params["encoder"]["layers"]["self_attention"]["query"][0, :4])
    assert (first == again).all()
    written = families.config_json(config)
    params = state.params
    measured("export", lambda: hugging_face.write_folder(root / "served", config, params, written))
folder.close()
print(json.dumps(found))
"""

# T5 1.1 XL (huggingface.co/google/t5-v1_1-xl/blob/main/config.json).
_XL = dict(
    architecture="encoder_decoder", vocab_size=32128, d_model=2048, d_ff=5120, num_layers=24,
    num_heads=32, head_dim=64, param_dtype="bfloat16",
)  # fmt: skip


@pytest.mark.slow
def test_the_life_of_a_model_of_3b_parameters(tmp_path):
    root = Path(__file__).parent.parent
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        # As on other backends: operations that need little memory first, not all at once.
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8 "
        "--xla_cpu_enable_concurrency_optimized_scheduler=false",
        "PYTHONPATH": str(root),
    }
    done = subprocess.run(
        [sys.executable, "-c", _LIFE, json.dumps(_XL), str(tmp_path)],
        cwd=root, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    print({name: f"{size / 2**20:,.0f} MiB" for name, size in found.items()})
    beyond = found["largest"] + 2**30
    assert found["init"] < beyond
    assert found["save"] < found["state"] + beyond
    assert found["restore"] < beyond
    assert found["export"] < beyond
