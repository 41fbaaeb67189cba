"""Traced graphs, kept on disk: what TensorFlow makes of this project's functions, for later processes.

Tracing a network's update, answers and gradients takes longer than many a study trains. What is kept is named by all
that it depends on, and is used where a process runs this project and nothing else, see `fedrobust.runtime`.
"""
