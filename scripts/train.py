"""Trains, or goes on training: from random weights, from another run's, or where a run stopped.

    python scripts/train.py --gin_file runs/tune.gin --gin_file models/t5_1_1_base.gin \\
        --gin.TrainRun.mixture='"caches/flan-train.json"' --gin.TrainRun.output_dir='"runs/flan"'

Hardware: TPU, GPU or CPU; on several hosts, the same command on each.
A folder that holds a checkpoint is resumed. SIGTERM saves and exits with 0. The effective
configuration is written to <output_dir>/config.gin.
"""

import sys
from collections.abc import Sequence

from flan_jax import configuration


def main(argv: Sequence[str]) -> None:
    roots = ("TrainRun", "TrainingEvaluation")
    (run, scored), effective = configuration.from_command_line(roots, __doc__, argv)
    from flan_jax.data import vocabularies
    from flan_jax.data.mixture import open_mixture
    from flan_jax.evaluation.during_training import make_evaluate, score_names
    from flan_jax.parallel import distributed
    from flan_jax.train import loop

    distributed.initialize()
    evaluate, names = None, ()
    if run.evaluate_every:
        vocabulary = vocabularies.from_facts(open_mixture(run.mixture).vocabulary)
        evaluate = make_evaluate(run.model, scored, vocabulary.decode, vocabulary.digest)
        names = score_names(scored)
    loop.train(run, evaluate, names, effective)


if __name__ == "__main__":
    main(sys.argv[1:])
