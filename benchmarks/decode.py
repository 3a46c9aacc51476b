"""Measures generation without peers: reading prompts, and a step that adds a token to each row.

    taskset -c 0 python benchmarks/decode.py --model t5_1_1_small --dtype float32
    python benchmarks/decode.py --model t5_1_1_xl --rows 64 --prompt 1024 --cache int8

Prints one JSON object; runs without TensorFlow, SeqIO and gin, on jax 0.10 to 0.12, on CPU, GPU
and TPU, on one device. A step reads the decoder's parameters and the caches of all rows once, which
bounds it: their bytes a second stand beside the tokens. Seconds are CPU seconds where the device is
a CPU, and of the wall elsewhere. `generation.py` compares whole answers with transformers'.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import lines
import measuring
import numpy as np
import shapes

from flan_jax.model import decoding, transformer


def run(arguments) -> dict:
    """Compiles and times what the arguments describe."""
    config = shapes.MODELS[arguments.model]
    config = dataclasses.replace(config, dtype=arguments.dtype, param_dtype=arguments.dtype)
    params = jax.jit(functools.partial(transformer.init, config))(jax.random.key(0))
    rng = np.random.default_rng(0)
    size = (arguments.rows, arguments.prompt)
    prompts = jnp.asarray(rng.integers(3, config.vocab_size, size), jnp.int32)
    lengths = jnp.full(arguments.rows, arguments.prompt, jnp.int32)

    @jax.jit
    def read(params, prompts, lengths):
        first, cache = decoding.start(
            config, params, prompts, lengths, arguments.tokens, arguments.cache
        )
        return jnp.argmax(first, axis=-1), decoding.split_layers(cache)

    @functools.partial(jax.jit, donate_argnums=1)
    def step(params, cache, tokens):
        logits, cache = decoding.decode_step(config, params, cache, tokens, arguments.cache)
        return jnp.argmax(logits, axis=-1), cache

    measuring.timed(read, params, prompts, lengths)  # compiles
    (tokens, cache), prompt_seconds = measuring.timed(read, params, prompts, lengths)
    held = sum(leaf.nbytes for leaf in jax.tree.leaves(cache))
    split = decoding.split_params(params)
    (tokens, cache), _ = measuring.timed(step, split, cache, tokens)
    seconds = []
    for _ in range(arguments.tokens - 1):
        (tokens, cache), took = measuring.timed(step, split, cache, tokens)
        seconds.append(took)
    seconds = float(np.median(seconds))
    decoder = {name: leaf for name, leaf in params.items() if name != "encoder"}
    read_bytes = held + sum(leaf.nbytes for leaf in jax.tree.leaves(decoder))
    return measuring.versions() | {
        "model": arguments.model,
        "rows": arguments.rows,
        "prompt": arguments.prompt,
        "tokens": arguments.tokens,
        "dtype": config.dtype,
        "cache": arguments.cache or config.dtype,
        "prompt_tokens_per_second": round(prompts.size / prompt_seconds),
        "step_seconds": round(seconds, 6),
        "tokens_per_second": round(arguments.rows / seconds, 1),
        "cache_gb": round(held / 1e9, 4),
        "read_gb_per_second": round(read_bytes / seconds / 1e9, 2),
        "peak_gb": round(measuring.peak_memory() / 1e9, 3),
    }


def main() -> None:
    """Measures one shape."""
    parser = lines.parser(__doc__)
    parser.add_argument("--model", default="t5_1_1_small", choices=shapes.MODELS)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--prompt", type=int, default=128, help="tokens of a prompt")
    parser.add_argument("--tokens", type=int, default=32, help="tokens of an answer, above one")
    parser.add_argument("--dtype", default="bfloat16", choices=("float32", "bfloat16"))
    parser.add_argument("--cache", choices=("bfloat16", "int8"), help="default: the dtype")
    arguments = parser.parse_args()
    lines.write(run(arguments), arguments.out)


if __name__ == "__main__":
    main()
