"""Scores a trained model on evaluation caches: journal/, results.json, report.html.

    python scripts/evaluate.py --gin.EvaluateRun.checkpoint='"runs/flan"' \\
        --gin.EvaluateRun.caches='["caches/flan2021.json"]' \\
        --gin.EvaluateRun.output_dir='"runs/flan/evaluation"'

Hardware: TPU, GPU or CPU. The folder of the run is all that is needed beside the caches.
The same command goes on with an evaluation that was killed, on any mesh.
"""

import sys
from collections.abc import Sequence

from flan_jax import configuration


def main(argv: Sequence[str]) -> None:
    (run,), effective = configuration.from_command_line(["EvaluateRun"], __doc__, argv)
    import jax

    from flan_jax.evaluation.evaluate import evaluate_run
    from flan_jax.parallel import distributed
    from flan_jax.parallel.mesh import make_mesh
    from flan_jax.train import checkpoint, mesh_fit, run_folder

    distributed.initialize()
    folder, step = run_folder.locate(run.checkpoint, run.step)
    config = run_folder.read_model_config(folder)
    mesh = make_mesh(run.mesh)
    mesh_fit.check_model(mesh, config)
    with jax.set_mesh(mesh):
        params, weights = checkpoint.load_identified(str(folder), config, mesh, step)
        vocabulary = run_folder.read_vocabulary(folder)
        shown = {"effective configuration": effective}
        how = vocabulary.decode, shown, weights, vocabulary.digest
        evaluate_run(run, config, params, *how)
    run_folder.write_text(run.output_dir, "config.gin", effective)


if __name__ == "__main__":
    main(sys.argv[1:])
