"""Compares a training step with Hugging Face T5's on PyTorch: same shape, batch and optimiser.

    python benchmarks/compare_torch.py [--core 0] [--steps 5] [--flush]

Each side runs in a process of its own, on the same one core (Linux: `sched_setaffinity`), so that
its peak memory is its own. The sides step in turn, so that whatever else the machine does falls
on both. Prints one JSON object: versions, CPU seconds of the best step of each side, their ratio,
peak resident memory, and the share of the product of two matrices of 2,048 rows that each side's
library reaches on that core. Needs torch and transformers beside flan_jax; about three minutes.

Both sides: T5 1.1 small, 8 rows of 512 and 128 tokens, float32, no dropout, Adafactor (relative
to the parameters' size, no momentum), gradients clipped to norm 1. PyTorch computes with subnormal
numbers unless it is told not to, and XLA does not: Hugging Face's steps slow down as training goes
on, and `--flush` keeps them from it.
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import time

CORE, FLUSH = "FLAN_JAX_BENCHMARK_CORE", "FLAN_JAX_BENCHMARK_FLUSH"


def ours():
    """Returns flan_jax's step, versions, the FLOPs of a step and the matmul ceiling."""
    import jax
    import measuring
    import shapes
    from train_step import build

    from flan_jax.data.feed import FeedConfig
    from flan_jax.parallel.mesh import MeshConfig, make_mesh
    from flan_jax.train import flops
    from flan_jax.train.optimizer import OptimizerConfig

    ceiling = measuring.matmul_ceiling("float32")  # first: its memory is then free for the step
    config = dataclasses.replace(
        shapes.MODELS["t5_1_1_small"], dtype="float32", remat="dots_attention"
    )
    feed = FeedConfig(inputs_length=512, targets_length=128, batch_size=8)
    mesh = make_mesh(MeshConfig())
    with jax.set_mesh(mesh):
        step, _, create = build(config, OptimizerConfig(), mesh)
        state = create()
        batch = shapes.batch(config, feed)
        compiled = step.lower(state, batch).compile()

    def once():
        nonlocal state
        state, metrics = compiled(state, batch)
        jax.block_until_ready(state)
        return float(metrics["loss_sum"] / metrics["weight_sum"])

    about = measuring.versions() | {"flops": flops.train_step_flops(config, feed)}
    return once, about, ceiling


def hugging_face():
    """Returns the same for Hugging Face's model."""
    import torch
    import transformers

    torch.set_num_threads(1)
    torch.set_flush_denormal(bool(os.environ.get(FLUSH)))
    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=32128, d_model=512, d_ff=1024, num_layers=8, num_decoder_layers=8, num_heads=6,
        d_kv=64, feed_forward_proj="gated-gelu", tie_word_embeddings=False, dropout_rate=0.0,
        decoder_start_token_id=0, pad_token_id=0,
    )  # fmt: skip
    model = transformers.T5ForConditionalGeneration(config).train()
    optimizer = transformers.Adafactor(
        model.parameters(), lr=1e-3, relative_step=False, scale_parameter=True, warmup_init=False
    )
    inputs = torch.randint(3, config.vocab_size, (8, 512))
    targets = torch.randint(3, config.vocab_size, (8, 128))

    def once():
        optimizer.zero_grad()
        loss = model(input_ids=inputs, attention_mask=torch.ones_like(inputs), labels=targets).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.item()

    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
    times = []
    for _ in range(5):
        start = time.process_time()
        torch.mm(a, b)
        times.append(time.process_time() - start)
    about = {"torch": torch.__version__, "transformers": transformers.__version__}
    return once, about, 2 * 2048**3 / min(times)


def side(name: str) -> None:
    """Does one step for each line that comes in."""
    os.sched_setaffinity(0, {int(os.environ[CORE])})
    once, about, ceiling = {"ours": ours, "hugging_face": hugging_face}[name]()
    print(json.dumps(about | {"ceiling": ceiling}), flush=True)
    import resource

    for _ in sys.stdin:
        start = time.process_time()
        loss = once()
        seconds = time.process_time() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"seconds": seconds, "peak": peak, "loss": loss}), flush=True)


def start(name: str, core: int, flush: bool) -> subprocess.Popen:
    """Starts one side."""
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", __file__, "--side", name],
        env=os.environ
        | {CORE: str(core), "JAX_PLATFORMS": "cpu", "HF_HUB_OFFLINE": "1"}
        | ({FLUSH: "1"} if flush else {}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def compare(core: int, steps: int, flush: bool) -> dict:
    """Steps both sides in turn and returns what was measured."""
    processes = {name: start(name, core, flush) for name in ("ours", "hugging_face")}
    about = {name: json.loads(one.stdout.readline()) for name, one in processes.items()}
    seen = {name: [] for name in processes}
    for _ in range(1 + steps):  # the first is not counted
        for name, process in processes.items():
            process.stdin.write("step\n")
            process.stdin.flush()
            seen[name].append(json.loads(process.stdout.readline()))
    for process in processes.values():
        process.stdin.close()
        process.wait()
    flops = about["ours"].pop("flops")
    result = about["ours"] | about["hugging_face"] | {"shape": [8, 512, 128], "core": core}
    result["subnormals_flushed_by_torch"] = flush
    del result["ceiling"]
    for name, records in seen.items():
        times = [record["seconds"] for record in records[1:]]
        result[name] = {
            "cpu_seconds": round(min(times), 3),
            "all_cpu_seconds": [round(one, 2) for one in times],
            "peak_gb": round(records[-1]["peak"] / 1e9, 3),
            "matmul_gflops": round(about[name]["ceiling"] / 1e9, 1),
            "share_of_matmul": round(flops / min(times) / about[name]["ceiling"], 3),
            "losses": [round(record["loss"], 3) for record in records],
        }
    ours, theirs = result["ours"], result["hugging_face"]
    result["ratio"] = round(ours["cpu_seconds"] / theirs["cpu_seconds"], 3)
    return result


def main() -> None:
    """Runs both sides, or one of them as a child."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--flush", action="store_true", help="torch treats subnormals as zero")
    parser.add_argument("--side", choices=("ours", "hugging_face"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        side(arguments.side)
    else:
        print(json.dumps(compare(arguments.core, arguments.steps, arguments.flush)))


if __name__ == "__main__":
    main()
