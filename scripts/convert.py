"""Hugging Face models and T5X checkpoints in, tuned models out.

    python scripts/convert.py import flan-t5-xl imported/flan-t5-xl --param_dtype bfloat16
    python scripts/train.py ... --gin.TrainRun.init_from='"imported/flan-t5-xl"'
    python scripts/convert.py export runs/flan served/flan --like flan-t5-xl
    python scripts/convert.py export runs/lora served/lora-adapter --adapter --like flan-t5-xl
    python scripts/convert.py verify served/flan runs/flan
    python scripts/convert.py unpickle t5-v1_1-xl-bin t5-v1_1-xl        # .bin to safetensors
    python scripts/convert.py import-t5x checkpoint_1100000 imported/t5_1_1_xl \\
        --model models/t5_1_1_xl.gin --vocabulary t5_spiece.model

Hardware: TPU, GPU or CPU; the parameters are split over all devices. Time: that of reading and
writing the files. Folders are local, `config.json` and safetensors files; run folders may be
remote. `verify` and `unpickle` need torch, and `verify` transformers.
"""

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence


def main(argv: Sequence[str]) -> None:
    arguments = parser().parse_args(argv)
    from flan_jax.interop.families import FamilyError
    from flan_jax.interop.imported import ConversionError
    from flan_jax.interop.safetensors_folder import TensorFolderError
    from flan_jax.interop.torch_files import TorchFilesError
    from flan_jax.train.run_folder import RunFolderError

    errors = (ConversionError, FamilyError, TensorFolderError, TorchFilesError, RunFolderError)
    try:
        arguments.run(arguments)
    except errors as error:
        sys.exit(f"convert.py: {error}")


def import_folder(arguments: argparse.Namespace) -> None:
    from flan_jax.interop import hugging_face, weights

    _, config = hugging_face.read_config(arguments.source)
    size = weights.DTYPES[arguments.param_dtype].itemsize
    with progress("importing", weights.parameter_count(config) * size) as report:
        hugging_face.import_folder(
            arguments.source, arguments.output_dir, None, arguments.param_dtype, report
        )
    print(f"TrainRun.init_from = {arguments.output_dir!r} starts from these weights")


def import_t5x(arguments: argparse.Namespace) -> None:
    from flan_jax import configuration
    from flan_jax.data.vocabulary import Vocabulary
    from flan_jax.interop import t5x, weights

    (config,), _ = configuration.build(["ModelConfig"], [arguments.model])
    vocabulary = None
    if arguments.vocabulary:
        vocabulary = Vocabulary(arguments.vocabulary, arguments.sentinels)
    size = weights.DTYPES[arguments.param_dtype].itemsize
    with progress("importing", weights.parameter_count(config) * size) as report:
        t5x.import_folder(
            arguments.source,
            arguments.output_dir,
            config,
            vocabulary,
            param_dtype=arguments.param_dtype,
            report=report,
        )
    print(f"TrainRun.init_from = {arguments.output_dir!r} starts from these weights")


def export_folder(arguments: argparse.Namespace) -> None:
    from flan_jax.interop import hugging_face, peft_folder, weights
    from flan_jax.train import run_folder

    if arguments.adapter:
        peft_folder.export_folder(
            arguments.source,
            arguments.target,
            base_model=arguments.like or "",
            family=arguments.family,
            dtype=arguments.dtype,
        )
        return
    folder, _ = run_folder.locate(arguments.source)
    config = run_folder.read_model_config(folder)
    size = weights.DTYPES[arguments.dtype or config.param_dtype].itemsize
    with progress("exporting", weights.parameter_count(config) * size) as report:
        hugging_face.export_folder(
            arguments.source,
            arguments.target,
            like=arguments.like,
            family=arguments.family,
            dtype=arguments.dtype,
            report=report,
        )


def verify(arguments: argparse.Namespace) -> None:
    from flan_jax.interop import verify

    result = verify.compare(arguments.folder, arguments.source)
    print(
        f"largest logit difference {result.error:.2e} of {result.largest:.3g}, over "
        f"{result.positions} positions; the same best token at {result.same_choice:.1%}"
    )
    if not result.equal:
        sys.exit(f"they differ: the bound is {verify.BOUND:g} x max(1, largest logit)")


def unpickle(arguments: argparse.Namespace) -> None:
    from flan_jax.interop import torch_files

    torch_files.to_safetensors(arguments.source, arguments.target)


@contextlib.contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[str, int], None]]:
    """Shows a bar of bytes; gives a function that is told of each parameter."""
    from rich import progress as bars
    from rich.console import Console

    columns = (
        bars.TextColumn(title), bars.BarColumn(20), bars.DownloadColumn(),
        bars.TimeRemainingColumn(), bars.TextColumn("{task.description}"),
    )  # fmt: skip
    with bars.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=total)
        yield lambda name, size: bar.update(task, advance=size, description=name[-36:])


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    dtypes = ("float32", "bfloat16")

    one = commands.add_parser("import", help="a Hugging Face folder becomes a run folder")
    one.set_defaults(run=import_folder)
    one.add_argument("source", help="Hugging Face folder")
    one.add_argument("output_dir", help="run folder to write")
    one.add_argument("--param_dtype", choices=dtypes, default="float32", help="of the parameters")

    one = commands.add_parser("import-t5x", help="a T5X checkpoint becomes a run folder")
    one.set_defaults(run=import_t5x)
    one.add_argument("source", help="folder of the checkpoint, e.g. checkpoint_1100000")
    one.add_argument("output_dir", help="run folder to write")
    one.add_argument("--model", required=True, help="gin file of the model, e.g. one of models/")
    one.add_argument("--vocabulary", help="SentencePiece model, which the checkpoint has not")
    one.add_argument("--sentinels", type=int, default=100, help="ids after its pieces (T5: 100)")
    one.add_argument("--param_dtype", choices=dtypes, default="float32", help="of the parameters")

    one = commands.add_parser("export", help="a run becomes a Hugging Face folder")
    one.set_defaults(run=export_folder)
    one.add_argument("source", help="run folder, or <run>/checkpoints/<step>")
    one.add_argument("target", help="folder to write")
    one.add_argument("--like", help="Hugging Face folder whose tokenizer and ids are kept")
    one.add_argument("--family", help="model_type, e.g. mt5; the first that fits by default")
    one.add_argument("--dtype", choices=dtypes, help="of the tensors; as the parameters by default")
    one.add_argument(
        "--adapter", action="store_true",
        help="write what LoRA or prompt tuning trained as an adapter folder of peft, onto the "
        "model of --like; by default what LoRA trained is merged into the weights",
    )  # fmt: skip

    one = commands.add_parser("verify", help="compares the logits of both sides")
    one.set_defaults(run=verify)
    one.add_argument("folder", help="Hugging Face folder")
    one.add_argument("source", help="run folder, or <run>/checkpoints/<step>")

    one = commands.add_parser("unpickle", help="a folder of .bin files becomes one of safetensors")
    one.set_defaults(run=unpickle)
    one.add_argument("source", help="folder of pytorch_model*.bin")
    one.add_argument("target", help="folder to write")
    return top


if __name__ == "__main__":
    main(sys.argv[1:])
