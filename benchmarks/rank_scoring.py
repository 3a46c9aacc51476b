"""Rank classification side by side with lm-evaluation-harness, on the same random weights.

    taskset -c 1 python benchmarks/rank_scoring.py [--questions 64] [--model t5]

Questions of four options with prompts of about 200 tokens, T5 1.1 small's shape (or a Llama of
about that size), float32 on one CPU core. Prints JSON lines: questions per CPU second of both,
their ratio and the largest difference of a log-likelihood (end token not scored, as lm_eval does
for encoder-decoders). Each side runs once beforehand (compilation, warm-up). Needs `pip install
torch transformers lm-eval`; about two minutes. Measured on a shared Xeon core with 32 questions in
batches of 16: 10.8 questions a CPU second against 3.3, 3.3 times as many.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import peers

from flan_jax.evaluation import scoring
from flan_jax.evaluation.examples import Example

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import word_tokenizer  # noqa: E402


def make_questions(model: str, count: int) -> list[Example]:
    """Prompts of 180 to 220 tokens, EOS of encoder-decoders included; options of 1 to 4 tokens."""
    rng = np.random.default_rng(0)

    def tokens(length):
        return rng.integers(3, peers.VOCAB, length).tolist()

    questions = []
    for _ in range(count):
        prompt = tokens(rng.integers(180, 221) - 1)
        options = tuple(tokens(rng.integers(1, 5)) for _ in range(4))
        end = [1] if model == "t5" else []
        questions.append(Example([*prompt, *end], "", (), ("a", "b", "c", "d"), options))
    return questions


def requests_of(model: str, questions: list[Example]) -> list:
    """The same as requests of lm_eval: pairs of strings."""
    from lm_eval.api.instance import Instance

    requests = []
    for question in questions:
        # Our decoders read a start token first; T5's tokenizer adds the EOS.
        prompt = question.inputs[:-1] if model == "t5" else [0, *question.inputs]
        for option in question.option_tokens:
            pair = word_tokenizer.text(prompt), " " + word_tokenizer.text(option)
            requests.append(Instance("loglikelihood", {}, pair, 0))
    return requests


def main() -> None:
    """Measures both sides, ours before and after theirs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--questions", type=int, default=64)
    parser.add_argument("--model", choices=peers.SHAPES, default="t5")
    parser.add_argument("--batch_sizes", type=int, nargs="+", default=[16, 64])
    arguments = parser.parse_args()
    from lm_eval.models.huggingface import HFLM

    questions = make_questions(arguments.model, arguments.questions)
    requests = requests_of(arguments.model, questions)
    with tempfile.TemporaryDirectory() as folder:
        model, config, params = peers.make(arguments.model, Path(folder))
    tokenizer = word_tokenizer.make(peers.VOCAB, ends=arguments.model == "t5")
    for batch_size in arguments.batch_sizes:
        backend = "seq2seq" if arguments.model == "t5" else "causal"
        peer = HFLM(
            pretrained=model, backend=backend, tokenizer=tokenizer, batch_size=batch_size,
            max_length=1024, add_bos_token=None if arguments.model == "t5" else False,
        )  # fmt: skip

        def ours(batch_size=batch_size):
            return np.concatenate(scoring.score_options(config, params, questions, batch_size))

        def theirs(peer=peer):
            return np.array([pair[0] for pair in peer.loglikelihood(requests, disable_tqdm=True)])

        ours(), peer.loglikelihood(requests[:batch_size], disable_tqdm=True)
        (a, first), (b, other), (_, second) = map(peers.cpu_seconds, (ours, theirs, ours))
        seconds = (first + second) / 2
        peers.report(
            benchmark="rank_scoring",
            model=arguments.model,
            questions=len(questions),
            batch_size=batch_size,
            questions_per_cpu_second=round(len(questions) / seconds, 2),
            lm_eval_questions_per_cpu_second=round(len(questions) / other, 2),
            ratio=round(other / seconds, 2),
            largest_difference=float(np.abs(a - b).max()),
        )


if __name__ == "__main__":
    main()
