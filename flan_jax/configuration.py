"""Builds the configuration of a script from gin files and the command line.

The configurables are the frozen dataclasses that stand beside what they configure; gin binds their
fields, builds the tree once, and is then finished. Nothing else in the package imports gin.
"""

import argparse
import collections.abc
import contextlib
import dataclasses
import difflib
import importlib
import inspect
import logging
import os
import re
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gin

# Name in gin files -> where the dataclass is defined.
CONFIGURABLES = {
    "CacheConfig": "flan_jax.data.tokenisation",
    "CacheRun": "flan_jax.data.preparation",
    "CheckpointConfig": "flan_jax.train.checkpoint",
    "DecodingConfig": "flan_jax.evaluation.sampling",
    "EvaluateRun": "flan_jax.evaluation.evaluate",
    "EvaluationConfig": "flan_jax.evaluation.predictions",
    "Experiment": "flan_jax.experiment",
    "FeedConfig": "flan_jax.data.feed",
    "GenerateRun": "flan_jax.evaluation.generation",
    "LoraConfig": "flan_jax.model.lora",
    "LoggingConfig": "flan_jax.train.metrics_log",
    "LossConfig": "flan_jax.train.losses",
    "MeshConfig": "flan_jax.parallel.mesh",
    "ModelConfig": "flan_jax.model.config",
    "OptimizerConfig": "flan_jax.train.optimizer",
    "PromptTuningConfig": "flan_jax.model.soft_prompt",
    "Stage": "flan_jax.experiment",
    "TrainRun": "flan_jax.train.run",
    "TrainingEvaluation": "flan_jax.evaluation.during_training",
}


class ConfigurationError(ValueError):
    """A gin file or a `--gin.` flag names something that does not exist."""


def gin_folder() -> Path:
    """Returns the folder of the shipped gin files, in a checkout or in an installed wheel.

    Raises:
      FileNotFoundError: neither place holds them.
    """
    package = Path(__file__).resolve().parent
    for folder in (package.parent / "gin", package / "gin_files"):
        if (folder / "models").is_dir():
            return folder
    raise FileNotFoundError(
        f"The gin files of flan_jax are neither in {package.parent / 'gin'} (a checkout) nor in "
        f"{package / 'gin_files'} (a wheel); install flan_jax again."
    )


def build(
    roots: Sequence[str], files: Sequence[str] = (), bindings: Sequence[str] = ()
) -> tuple[list[Any], str]:
    """Builds configuration trees from gin files and bindings.

    Args:
      roots: names of the root dataclasses, e.g. ["TrainRun"].
      files: gin files, absolute, relative to the working directory or to the shipped `gin/`.
      bindings: lines of gin, e.g. "TrainRun.steps = 100"; they win over the files.

    Returns:
      The root dataclasses, and the effective configuration as gin text: every field that was used,
      defaults included.

    Raises:
      ConfigurationError: a file, a configurable or a field is unknown; the message suggests the
        nearest that exists, and names the file and line.
    """
    gin.clear_config()
    gin.add_config_file_search_path(str(gin_folder()))
    configurables = {name: _configurable(name) for name in CONFIGURABLES}
    # Gin logs an error for each place of its search path where an included file is not.
    logging.disable(logging.ERROR)
    try:
        with _included_files_only():
            gin.parse_config_files_and_bindings(
                [_existing(file) for file in files], list(bindings), finalize_config=True
            )
        trees = [gin.get_configurable(root)() for root in roots]
    except (ValueError, TypeError, SyntaxError, OSError) as error:
        if isinstance(error, ConfigurationError):
            raise
        raise ConfigurationError(_explain(error, bindings, configurables)) from error
    finally:
        logging.disable(logging.NOTSET)
    return trees, gin.operative_config_str()


def from_command_line(
    roots: Sequence[str], description: str, argv: Sequence[str]
) -> tuple[list[Any], str]:
    """Builds a script's configuration from `--gin_file FILE` and `--gin.NAME=VALUE` arguments.

    Args:
      roots: names of the root dataclasses.
      description: what `--help` prints, the script's docstring.
      argv: the arguments, without the program's name.

    Returns:
      As `build`.

    Raises:
      SystemExit: an argument is unknown, or the configuration is wrong.
    """
    parser = argument_parser(description)
    arguments, rest = parser.parse_known_args(argv)
    bindings = [f"CacheRun.data_dir = {arguments.data_dir!r}"] if arguments.data_dir else []
    if arguments.tasks_module:
        bindings.append(f"CacheRun.module = {arguments.tasks_module!r}")
    if arguments.allow_missing:
        names = tuple(filter(None, arguments.allow_missing.split(",")))
        bindings.append(f"CacheRun.allow_missing = {names!r}")
    for argument in rest:
        match = re.fullmatch(r"--gin\.([\w./]+)\s*=(.*)", argument, flags=re.DOTALL)
        if not match:
            parser.error(
                f"unknown argument {argument!r}; settings are given as --gin.NAME=VALUE, "
                f"e.g. --gin.{roots[0]}.output_dir='\"runs/x\"'"
            )
        bindings.append(f"{match[1]} = {match[2]}")
    try:
        return build(roots, arguments.gin_file, bindings)
    except ConfigurationError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


def argument_parser(description: str) -> argparse.ArgumentParser:
    """Returns the parser that all scripts share."""
    parser = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Any field can be set: --gin.TrainRun.steps=100 "
        "--gin.TrainRun.output_dir='\"runs/x\"'",
    )
    parser.add_argument(
        "--gin_file", action="append", default=[], metavar="FILE",
        help="a gin file, by path or relative to gin/; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--data_dir", metavar="FOLDER", help="folder of the data sets (CacheRun.data_dir)"
    )
    parser.add_argument(
        "--tasks_module", metavar="MODULE",
        help="Python module that holds the collection (CacheRun.module)",
    )  # fmt: skip
    parser.add_argument(
        "--allow_missing", metavar="TASKS",
        help="tasks that may be left out if they cannot be cached, between commas; shell patterns "
        "such as wmt* too (CacheRun.allow_missing)",
    )  # fmt: skip
    return parser


@contextlib.contextmanager
def _included_files_only() -> Iterator[None]:
    """Keeps gin from looking for included files in Python packages.

    For `include "runs/mini.gin"` it would take any importable `runs` first, and fail on a plain
    folder of that name in the working directory. It has no public switch.
    """
    readers = gin.config._FILE_READERS
    kept = list(readers)
    readers[:] = [(open, os.path.isfile)]
    try:
        yield
    finally:
        readers[:] = kept


def _configurable(name: str) -> type:
    """Registers one dataclass with gin and returns it."""
    cls = getattr(importlib.import_module(CONFIGURABLES[name]), name)
    if name not in _REGISTERED:
        gin.external_configurable(_factory(cls), name=name)
        _REGISTERED.add(name)
    return cls


_REGISTERED: set[str] = set()  # gin's own registry is global and refuses a second registration


def _factory(cls: type) -> Callable[..., Any]:
    """Returns a function that builds `cls`: gin would otherwise hand out a subclass of it.

    A field that is itself a configurable dataclass is built from its own bindings, so that
    `ModelConfig.d_model = 512` needs no `TrainRun.model = @ModelConfig()` beside it; one that has
    a short form may be given as text, `TrainRun.mesh = "data=2,fsdp=-1"`.
    """
    hints = typing.get_type_hints(cls)
    fields = [field for field in dataclasses.fields(cls) if field.init]
    nested = {
        field.name: hints[field.name]
        for field in fields
        if getattr(hints[field.name], "__name__", "") in CONFIGURABLES
    }

    def make(**values: Any) -> Any:
        for name, value in values.items():
            if value is not None and not _fits(value, hints[name]):
                raise TypeError(
                    f"{cls.__name__}.{name}: expected {_kind(hints[name])}, got {value!r}"
                )
        for name, configurable in nested.items():
            if values.get(name) is None:
                values[name] = gin.get_configurable(configurable.__name__)()
            elif isinstance(values[name], str) and hasattr(configurable, "parse"):
                values[name] = configurable.parse(values[name])
        return cls(**values)

    make.__signature__ = inspect.Signature(
        [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None if field.name in nested else _default(field),
            )
            for field in fields
        ]
    )
    make.__name__ = make.__qualname__ = cls.__name__
    make.__doc__ = cls.__doc__
    make.__module__ = cls.__module__
    return make


# What values of a plain type are called, and how one is written.
_KINDS = {
    int: "a whole number such as 100",
    float: "a number such as 0.1",
    bool: "True or False",
    str: "a text in quotes",
    tuple: 'a list such as ["a", "b"]',
}


def _plain(hint: Any) -> list[type]:
    """The plain types of a field's type; none where other values may be given too."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        parts = [_plain(one) for one in typing.get_args(hint) if one is not types.NoneType]
        return sum(parts, []) if all(parts) else []
    if typing.get_origin(hint) in (tuple, collections.abc.Sequence):
        return [tuple]
    return [hint] if hint in _KINDS else []


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value may be one of a field's type, as far as plain types tell."""
    allowed = _plain(hint)
    given = {list: tuple}.get(type(value), type(value))
    return not allowed or given in allowed or (given is int and float in allowed)


def _kind(hint: Any) -> str:
    return " or ".join(_KINDS[one] for one in _plain(hint))


def _default(field: dataclasses.Field) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    if field.default is not dataclasses.MISSING:
        return field.default
    return inspect.Parameter.empty


def _existing(file: str) -> str:
    """Returns the path of a gin file, or raises with the nearest name."""
    for candidate in (Path(file), gin_folder() / file):
        if candidate.is_file():
            return str(candidate)
    known = [str(path.relative_to(gin_folder())) for path in gin_folder().rglob("*.gin")]
    raise ConfigurationError(f"There is no gin file {file!r}.{_nearest(file, known)}")


def _explain(error: Exception, bindings: Sequence[str], configurables: dict[str, type]) -> str:
    """Adds the faulty line, or the nearest existing name, to gin's own message."""
    message = str(error)
    if isinstance(error, SyntaxError) and not error.filename and error.lineno:
        faulty = f"{message}: {bindings[error.lineno - 1]}"
        quotes = "\n  Texts stand in quotes beside the shell's: --gin.A.b='\"text\"'"
        return faulty + (quotes if "malformed node" in message else "")
    unknown = re.search(r"[Nn]o configurable matching (?:reference )?'@?([\w./]+)", message)
    if unknown:
        return message + _nearest(unknown[1].split("/")[-1], list(configurables))
    pattern = r"[Cc]onfigurable '([\w./]+)' doesn't have a parameter named '(\w+)'"
    field = re.search(pattern, message)
    cls = configurables.get(field[1].split(".")[-1]) if field else None
    if field and cls:
        return message + _nearest(field[2], [f.name for f in dataclasses.fields(cls)])
    return message


def _nearest(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f" Did you mean {close[0]!r}?"
    return f" There are: {', '.join(sorted(known))}."
