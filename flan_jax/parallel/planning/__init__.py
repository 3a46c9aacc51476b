"""Ahead-of-time planning: does a model fit, and how fast can it be, on chips that are not there.

Stands above `flan_jax.train`, whose train step it compiles; nothing in `flan_jax` imports it.
"""
