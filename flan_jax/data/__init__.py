"""From task declarations to batches."""
