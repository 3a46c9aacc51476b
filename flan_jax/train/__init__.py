"""Losses, optimisers, the train step, the loop and checkpoints."""
