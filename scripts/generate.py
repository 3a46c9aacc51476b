"""Answers instructions: a file with one a line, or typed at a prompt.

    python scripts/generate.py --gin.GenerateRun.checkpoint='"runs/quickstart/seed2/tuned"'
    python scripts/generate.py --gin.GenerateRun.checkpoint='"runs/flan"' \\
        --gin.GenerateRun.input_file='"instructions.txt"' \\
        --gin.GenerateRun.output_file='"answers.txt"'
    python scripts/generate.py --gin.GenerateRun.checkpoint='"runs/chat"' \\
        --gin.GenerateRun.chat_template='"chatml"'

Hardware: TPU, GPU or CPU. At the prompt, a backslash and n stand for a line break; an empty line
or the end of input ends the session. With a chat template the session is one conversation, and
each line of a file begins one of its own.
"""

import dataclasses
import sys
from collections.abc import Callable, Sequence

from flan_jax import configuration, storage
from flan_jax.data.declarations import RowError


def main(argv: Sequence[str]) -> None:
    (run,), _ = configuration.from_command_line(["GenerateRun"], __doc__, argv)
    import jax

    from flan_jax.evaluation.generation import answer_chats, answer_texts
    from flan_jax.parallel.mesh import make_mesh
    from flan_jax.train import checkpoint, mesh_fit, run_folder

    folder, step = run_folder.locate(run.checkpoint, run.step)
    config = run_folder.read_model_config(folder)
    vocabulary = run_folder.read_vocabulary(folder)
    how = dataclasses.replace(run.decoding, boundaries=vocabulary.boundaries)
    run = dataclasses.replace(run, decoding=how)
    mesh = make_mesh(run.mesh)
    mesh_fit.check_model(mesh, config)
    with jax.set_mesh(mesh):
        params = checkpoint.load_params(str(folder), config, mesh, step)

        def answer(chats: list[list[str]]) -> list[str]:
            coders = vocabulary.encode, vocabulary.decode
            if run.chat_template is None:
                instructions = [texts[-1] for texts in chats]
                texts, cut = answer_texts(config, params, instructions, *coders, run)
            else:
                texts, cut = answer_chats(config, params, chats, *coders, run)
            if cut:
                print(f"{cut} instructions were cut to {run.inputs_length} tokens", file=sys.stderr)
            return texts

        if run.input_file is None:
            converse(answer)
        else:
            answer_file(answer, run.input_file, run.output_file)


def answer_file(
    answer: Callable[[list[list[str]]], list[str]], input_file: str, output_file: str | None
) -> None:
    """Answers each line of a file; a line break within an answer is written as backslash and n."""
    # Texts hold other marks that str.splitlines() takes for the end of a line.
    given = storage.path(input_file).read_text().split("\n")
    given = given if given[-1] else given[:-1]
    chats = [[unescape(line.removesuffix("\r"))] for line in given]
    if output_file is not None:  # before the answers are worked out
        storage.path(output_file).parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(text.replace("\n", "\\n") + "\n" for text in answer(chats))
    if output_file is None:
        sys.stdout.write(lines)
    else:
        storage.write_atomically(output_file, lines.encode())


def converse(answer: Callable[[list[list[str]]], list[str]]) -> None:
    """Answers instructions as they are typed, each with those before it and their answers."""
    chat: list[str] = []
    while True:
        try:
            line = input("> " if sys.stdin.isatty() else "")
        except EOFError:
            return
        if not line:
            return
        try:
            (text,) = answer([[*chat, unescape(line)]])
        except RowError as error:  # the text holds a marker of the template
            print(error, file=sys.stderr)
            continue
        chat += [unescape(line), text]
        print(text, flush=True)


def unescape(line: str) -> str:
    return line.replace("\\n", "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
