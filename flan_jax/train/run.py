"""The configuration of a training run."""

import dataclasses

from flan_jax.data.feed import FeedConfig
from flan_jax.model.config import ModelConfig
from flan_jax.parallel.mesh import MeshConfig
from flan_jax.train.checkpoint import CheckpointConfig
from flan_jax.train.losses import LossConfig
from flan_jax.train.metrics_log import LoggingConfig
from flan_jax.train.optimizer import OptimizerConfig
from flan_jax.train.trainable import Adaptation


@dataclasses.dataclass(frozen=True)
class TrainRun:
    """One training run, the root of its configuration.

    Attributes:
      output_dir: the run's folder, local or remote; resumed if it holds a checkpoint.
      mixture: path of the mixture file that the caches were built for.
      model: the transformer.
      feed: lengths, batch size and packing.
      optimizer: optimiser and learning rate.
      loss: what is added to cross-entropy.
      trainable: what is trained beside frozen weights: low-rank adapters (`LoraConfig`) or a soft
        prompt (`PromptTuningConfig`); None for all parameters.
      mesh: devices along each mesh axis.
      checkpoint: when to save and what to keep.
      logging: what to report.
      steps: updates of the whole run, resumed parts included.
      seed: of initialisation, data order and dropout.
      gradient_accumulation: microbatches a step; divides the batch.
      init_from: a run's folder or a checkpoint whose weights this run starts from, with a fresh
        optimiser, at step 0; None for random weights. A resume does not read it again, unless
        these weights are frozen (`trainable`): then checkpoints do not hold them.
      evaluate_every: steps between two evaluations, the last step included; 0 for none.
      max_skipped_steps: a step whose loss or gradient is not finite is skipped; with this many of
        them in a row the run ends.
      compilation_cache_dir: folder that keeps compiled programs between runs; None for none.
    """

    output_dir: str
    mixture: str
    model: ModelConfig
    feed: FeedConfig
    optimizer: OptimizerConfig
    loss: LossConfig = LossConfig()
    trainable: Adaptation | None = None
    mesh: MeshConfig = MeshConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    logging: LoggingConfig = LoggingConfig()
    steps: int = 1000
    seed: int = 0
    gradient_accumulation: int = 1
    init_from: str | None = None
    evaluate_every: int = 0
    max_skipped_steps: int = 10
    compilation_cache_dir: str | None = None

    def __post_init__(self):
        for name in ("steps", "gradient_accumulation", "max_skipped_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"TrainRun.{name}: expected at least 1, got {getattr(self, name)}")
        if self.feed.batch_size % self.gradient_accumulation:
            raise ValueError(
                f"TrainRun.gradient_accumulation={self.gradient_accumulation} does not divide "
                f"FeedConfig.batch_size={self.feed.batch_size}"
            )
        if self.feed.architecture != self.model.architecture:
            raise ValueError(
                f"the feed makes {self.feed.architecture} batches but the model is "
                f"{self.model.architecture}: set FeedConfig.architecture to the model's"
            )
