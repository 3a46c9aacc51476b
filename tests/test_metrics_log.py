"""What a run reports, and the arithmetic of its speed."""

import dataclasses
import json
import types

import jax
import numpy as np
import pytest
from rich.console import Console
from training_support import small_run

from flan_jax.data.feed import FeedConfig
from flan_jax.model import transformer
from flan_jax.model.config import ModelConfig
from flan_jax.train import flops
from flan_jax.train.metrics_log import LoggingConfig, MetricsLog, summarise

NAMES = ("loss_sum", "z_loss_sum", "weight_sum", "correct_sum", "target_tokens", "tokens")


def metrics(value=1.0, weight=1.0, skipped=0.0) -> dict[str, np.ndarray]:
    sums = {name: np.float32(value) for name in NAMES}
    norms = {name: np.float32(2.0) for name in ("grad_norm", "param_norm", "learning_rate")}
    return sums | norms | {"weight_sum": np.float32(weight), "skipped": np.float32(skipped)}


def open_log(folder, console, start=0, steps=10, **config):
    config = LoggingConfig(interval=2, **config)
    return MetricsLog(folder, config, console, start, steps, 1e9, 1e12)


def records(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture
def console():
    return Console(record=True, width=200, force_terminal=False)


def test_every_target_token_counts_alike():
    record = summarise([metrics(value=1.0, weight=1.0), metrics(value=30.0, weight=9.0)])
    assert record["loss"] == pytest.approx(31 / 10)
    assert record["accuracy"] == 1.0


def test_records_come_one_step_late_and_all_are_there_at_the_end(tmp_path, console):
    log = open_log(tmp_path, console)
    for step in range(1, 6):
        log.train(step, metrics())
        written = len(records(tmp_path)) if (tmp_path / "metrics.jsonl").exists() else 0
        assert written == (step - 1) // 2
    log.evaluation(5, {"accuracy": 0.5})
    log.close()
    assert [r["step"] for r in records(tmp_path)] == [2, 4, 5, 5]
    assert records(tmp_path)[2]["evaluation/accuracy"] == 0.5
    shown = console.export_text()
    assert "step 4/10  loss 1.0000" in shown
    assert "% of peak" in shown
    assert "left" in shown


def test_a_resumed_run_drops_what_it_will_write_again(tmp_path, console):
    for start in (0, 2):
        log = open_log(tmp_path, console, start=start)
        for step in range(start + 1, 7):
            log.train(step, metrics())
        log.close()
    assert [r["step"] for r in records(tmp_path)] == [2, 4, 6]


def test_skipped_steps_are_counted_and_nothing_else_of_them(tmp_path, console):
    log = open_log(tmp_path, console, tensorboard=False)
    log.train(1, metrics(value=float("nan"), skipped=1.0))
    log.train(2, metrics(value=3.0))
    log.close()
    assert records(tmp_path)[0]["loss"] == 3.0 and records(tmp_path)[0]["skipped_steps"] == 1
    assert "step 2: 1 of the last 2 steps had a loss or gradient" in console.export_text()


def test_a_diverged_loss_stays_json(tmp_path, console):
    log = open_log(tmp_path, console, tensorboard=False)
    log.train(1, metrics(value=float("nan"), skipped=1.0))
    log.close()
    assert records(tmp_path)[0]["loss"] is None


def test_a_record_that_cannot_be_written_does_not_end_the_run(tmp_path, console):
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(OSError):
        open_log(tmp_path, console)  # at the start it is an error: nothing is lost by stopping
    (tmp_path / "metrics.jsonl").rmdir()
    log = open_log(tmp_path, console, tensorboard=False)
    (tmp_path / "metrics.jsonl").mkdir()
    log.train(1, metrics())
    log.close()
    assert "could not be written" in console.export_text()


def test_progress_bar_on_a_terminal(tmp_path):
    console = Console(record=True, width=160, force_terminal=True)
    log = open_log(tmp_path, console, jsonl=False, tensorboard=False)
    for step in range(1, 4):
        log.train(step, metrics())
    log.close()
    shown = console.export_text()
    assert "3/10" in shown or "2/10" in shown
    assert "loss 1.0000" in shown
    assert not list(tmp_path.iterdir())


def test_peak_is_known_for_these_chips():
    def mesh(kind, size):
        return types.SimpleNamespace(
            devices=np.array([types.SimpleNamespace(device_kind=kind)]), size=size
        )

    assert flops.peak_flops(mesh("TPU v5 lite", 4)) == 4 * 197e12
    assert flops.peak_flops(mesh("TPU v5p", 1)) == 459e12
    assert flops.peak_flops(mesh("NVIDIA H200", 1)) == 989e12
    assert flops.peak_flops(mesh("cpu", 8)) is None


@pytest.mark.parametrize("architecture", ["encoder_decoder", "decoder_only"])
def test_flops_agree_with_the_compiler(architecture):
    """The forward pass, unrolled so that the compiler counts every layer."""
    base = small_run("unused", "unused").model
    config: ModelConfig = dataclasses.replace(
        base, architecture=architecture, d_model=64, d_ff=128, head_dim=32, vocab_size=256,
        scan_layers=False, dropout_rate=0.0, num_encoder_layers=None,
    )  # fmt: skip
    feed = FeedConfig(32, 16, batch_size=2, architecture=architecture)
    length = 16 if architecture == "encoder_decoder" else 48
    one = np.ones((2, length), np.int32)
    other = np.ones((2, 32), np.int32) if architecture == "encoder_decoder" else None
    batch = transformer.Batch(one, one, one, one, one.astype(np.float32), other, other, other)
    lowered = jax.jit(transformer.apply, static_argnums=0).lower(
        config, transformer.abstract(config), batch
    )
    counted = lowered.cost_analysis()["flops"]
    # The compiler counts softmax, norms and masked scores too.
    assert flops.train_step_flops(config, feed) / 3 == pytest.approx(counted, rel=0.15)


def test_bad_configuration_is_refused():
    with pytest.raises(ValueError, match="interval"):
        LoggingConfig(interval=0)
