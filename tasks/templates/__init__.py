"""Templates of the real data sets, as data: ten a task, in our own words.

Seven or more ask for the answer; up to three turn the task around, as in the FLAN paper (Wei et
al., 2021, section 2.1): the answer is in the prompt and the model writes what it belongs to. Those
are trained on and never scored. A template must read well with and without its list of options.
"""
