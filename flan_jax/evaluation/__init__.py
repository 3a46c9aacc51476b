"""Option scoring, generation, metrics and held-out cluster scores."""
