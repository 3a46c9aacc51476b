"""What a run reports: console, JSON lines and TensorBoard.

Metrics stay on the device until an interval is full and are fetched together, so that the device
never waits for the log. TensorBoard files are written by tensorboardX, which needs no TensorFlow.
"""

import dataclasses
import json
import math
import time
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np
import tensorboardX
from rich import progress
from rich.console import Console
from rich.table import Column

from flan_jax.train.step import Metrics

JSONL_NAME = "metrics.jsonl"
_REFRESH_SECONDS = 0.5


@dataclasses.dataclass(frozen=True)
class LoggingConfig:
    """What is reported, and how often.

    Attributes:
      interval: steps between two records.
      jsonl: append records to `metrics.jsonl` in the run's folder.
      tensorboard: write event files to `tensorboard/` in the run's folder.
      profile_start: first step of a profiler trace, written to `profile/`; None for no trace.
      profile_steps: steps that the trace covers.
    """

    interval: int = 100
    jsonl: bool = True
    tensorboard: bool = True
    profile_start: int | None = None
    profile_steps: int = 5

    def __post_init__(self):
        if self.interval < 1:
            raise ValueError(f"LoggingConfig.interval: expected at least 1, got {self.interval}")


def make_console() -> Console:
    """The console of this process: standard error on the first process, silent on others."""
    return Console(stderr=True, quiet=jax.process_index() > 0, highlight=False)


def say(console: Console, message: str) -> None:
    """Prints one line as it is, above a progress bar if there is one."""
    console.print(message, markup=False, soft_wrap=True)


def summarise(metrics: list[Mapping[str, np.ndarray]]) -> dict[str, float]:
    """Reduces the metrics of consecutive steps to one record, every target token counting alike.

    Args:
      metrics: what the train step returned, one entry a step.

    Returns:
      `loss` and `z_loss` in nats a weighted target token, `accuracy` from 0 to 1 over target
      tokens, mean `grad_norm`, the last `param_norm` and `learning_rate`, and `skipped_steps`,
      which count in nothing else; if all were skipped, the others are those of these steps.
    """
    last, skipped = metrics[-1], [step for step in metrics if step["skipped"]]
    if len(skipped) < len(metrics):
        metrics = [step for step in metrics if not step["skipped"]]
    total = {
        name: math.fsum(float(step[name]) for step in metrics)
        for name in ("loss_sum", "z_loss_sum", "weight_sum", "correct_sum", "target_tokens")
    }
    weight = total["weight_sum"] or 1.0
    return {
        "loss": total["loss_sum"] / weight,
        "z_loss": total["z_loss_sum"] / weight,
        "accuracy": total["correct_sum"] / (total["target_tokens"] or 1.0),
        "grad_norm": math.fsum(float(step["grad_norm"]) for step in metrics) / len(metrics),
        "param_norm": float(last["param_norm"]),
        "learning_rate": float(last["learning_rate"]),
        "skipped_steps": float(len(skipped)),
    }


def drop_records_after(path: Path, step: int) -> None:
    """Removes the records of steps after `step`, which a resumed run will write again.

    A last line cut short by a kill goes too.
    """
    kept = []
    for line in path.read_text().splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        if record["step"] <= step:
            kept.append(line + "\n")
    replacement = path.with_suffix(".rewritten")
    replacement.write_text("".join(kept))
    replacement.replace(path)


class MetricsLog:
    """Reports one run; on processes other than the first it stays silent."""

    def __init__(
        self,
        folder: Path,
        config: LoggingConfig,
        console: Console,
        start: int,
        steps: int,
        flops_per_step: float,
        peak_flops: float | None,
    ):
        """Opens the files, dropping what they hold beyond the step that the run starts from.

        Args:
          folder: a local folder.
          config: what is reported.
          console: where lines and the progress bar go.
          start: step that the run starts from.
          steps: step that it ends at.
          flops_per_step: model FLOPs of one step, all devices together.
          peak_flops: peak FLOP/s of all devices together, or None where it is not known.
        """
        self._config = config
        self._steps = steps
        self._flops_per_step = flops_per_step
        self._peak_flops = peak_flops
        self._pending: list[tuple[int, Metrics]] = []
        self._untimed = 0
        self._clock: float | None = None
        self._refreshed = 0.0
        self.last: dict[str, float] = {}
        self._primary = jax.process_index() == 0
        self._console = console
        self._folder = folder
        self._jsonl = folder / JSONL_NAME if config.jsonl and self._primary else None
        if self._jsonl and self._jsonl.exists():
            drop_records_after(self._jsonl, start)
        self._tensorboard = None
        if config.tensorboard and self._primary:
            # purge_step hides what an interrupted run wrote beyond the step it resumes from.
            self._tensorboard = tensorboardX.SummaryWriter(
                str(folder / "tensorboard"), purge_step=start + 1
            )
        self._bar = self._open_bar(start)

    def train(self, step: int, metrics: Metrics) -> None:
        """Takes the metrics of one step; writes a record when an interval is full.

        The record is written one step late: by then the device has the next step to work on.

        Args:
          step: updates done, this one included.
          metrics: device scalars that the train step returned.
        """
        self._pending.append((step, metrics))
        if self._clock is None:  # the first step was compiled: it tells nothing of the speed
            self.restart_clock()
        if len(self._pending) > 1 and self._pending[-2][0] % self._config.interval == 0:
            self._write_pending(len(self._pending) - 1)
        if self._bar and time.monotonic() - self._refreshed > _REFRESH_SECONDS:
            self._bar.update(self._bar.task_ids[0], completed=step)
            self._refreshed = time.monotonic()

    def flush(self) -> None:
        """Writes a record of the steps so far, although the interval is not full."""
        if self._pending:
            self._write_pending(len(self._pending))
        if self._tensorboard:
            self._tensorboard.flush()

    def evaluation(self, step: int, values: Mapping[str, float]) -> None:
        """Writes the results of an evaluation, as `evaluation/<name>`.

        Args:
          step: updates done.
          values: numbers by name.
        """
        values = {f"evaluation/{name}": float(value) for name, value in values.items()}
        self._write(step, values)
        shown = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        say(self._console, f"step {step}  {shown}")

    def profile(self, step: int) -> None:
        """Starts and ends the profiler's trace; called before each step with its number."""
        first = self._config.profile_start
        if step == first:
            jax.profiler.start_trace(self._folder / "profile")
        elif first is not None and step == first + self._config.profile_steps:
            jax.profiler.stop_trace()

    def restart_clock(self) -> None:
        """Leaves the time since the last record out of the speed (an evaluation, a save)."""
        self._untimed = len(self._pending)
        self._clock = time.monotonic()

    def close(self) -> None:
        """Writes what is pending and closes the files."""
        self.flush()
        if self._bar:
            self._bar.stop()
        if self._tensorboard:
            self._tensorboard.close()

    def _open_bar(self, start: int) -> progress.Progress | None:
        if not self._console.is_terminal or not self._primary:
            return None
        whole = Column(no_wrap=True, overflow="ignore")  # rather than cut to an ellipsis
        bar = progress.Progress(
            progress.MofNCompleteColumn(table_column=whole),
            progress.BarColumn(bar_width=10),
            progress.TextColumn("{task.description}", table_column=whole),
            progress.TimeRemainingColumn(table_column=whole),
            console=self._console,
        )
        bar.add_task("compiling", total=self._steps, completed=start)
        bar.start()
        return bar

    def _write_pending(self, count: int) -> None:
        """Fetches the first `count` pending steps and writes them as one record."""
        taken, self._pending = self._pending[:count], self._pending[count:]
        metrics = jax.device_get([metrics for _, metrics in taken])
        now = time.monotonic()
        record = summarise(metrics) | self._speed(metrics[self._untimed :], now - self._clock)
        self._untimed, self._clock = 0, now
        step = taken[-1][0]
        self._write(step, record)
        self.last = record
        self._show(step, record)
        if skipped := int(record["skipped_steps"]):
            which = f"{skipped} of the last {count} steps had a loss or gradient that is not finite"
            say(self._console, f"step {step}: {which}; they were skipped")

    def _speed(self, timed: list[Mapping[str, np.ndarray]], seconds: float) -> dict[str, float]:
        if not timed or seconds <= 0:
            return {}
        flops = self._flops_per_step * len(timed) / seconds
        speed = {
            "tokens_per_second": math.fsum(float(step["tokens"]) for step in timed) / seconds,
            "steps_per_second": len(timed) / seconds,
            "model_flops_per_second": flops,
        }
        if self._peak_flops:
            speed["share_of_peak"] = flops / self._peak_flops
        return speed

    def _write(self, step: int, values: Mapping[str, float]) -> None:
        if self._jsonl:
            # NaN is no JSON: a diverged loss is written as null.
            finite = {k: v if math.isfinite(v) else None for k, v in values.items()}
            self._append(json.dumps({"step": step} | finite) + "\n")
        if self._tensorboard:
            for name, value in values.items():
                tag = name if "/" in name else f"train/{name}"
                self._tensorboard.add_scalar(tag, value, step)

    def _append(self, line: str) -> None:
        """Appends to `metrics.jsonl`; a full disk costs the record, not the run."""
        try:
            with self._jsonl.open("a") as file:
                file.write(line)
        except OSError as error:
            say(self._console, f"{self._jsonl} could not be written: {error.strerror}")

    def _show(self, step: int, record: Mapping[str, float]) -> None:
        parts = [f"loss {record['loss']:.4f}"]
        left = ""
        if "steps_per_second" in record:
            parts.append(f"{record['tokens_per_second']:,.0f} tokens/s")
            if "share_of_peak" in record:
                parts.append(f"{record['share_of_peak']:.1%} of peak")
            else:
                parts.append(f"{record['model_flops_per_second'] / 1e9:,.1f} GFLOP/s")
            left = _clock_text((self._steps - step) / record["steps_per_second"])
        if self._bar:
            self._bar.update(self._bar.task_ids[0], completed=step, description="  ".join(parts))
        else:
            tail = f"  {left} left" if left else ""
            say(self._console, f"step {step}/{self._steps}  {'  '.join(parts)}{tail}")


def _clock_text(seconds: float) -> str:
    """Example: 3725.0 is "1:02:05"."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
