"""Instruction tuning at scale in JAX: tasks, training and held-out evaluation."""

__version__ = "0.1.0"
