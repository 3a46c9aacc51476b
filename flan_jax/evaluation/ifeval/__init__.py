"""IFEval's verdicts: does a response follow instructions that a program can check?

The 25 instruction types of Zhou et al. (2023, arXiv 2311.07911, table 4), written from their
description, with the reading that the authors' program gives them where the description leaves one
open (google-research, instruction_following_eval). `sentences`, `words` and `language` of
`texts.py` say how those are found without a network, and where that may differ.

    strict("NO COMMAS HERE", [("punctuation:no_comma", {})])    # (True,)
"""

from flan_jax.evaluation.ifeval.verdicts import INSTRUCTIONS, loose, strict

__all__ = ["INSTRUCTIONS", "loose", "strict"]
