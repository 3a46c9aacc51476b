"""Encoder-decoder and decoder-only transformers."""
