"""Evaluation of models: metrics with confidence intervals, robustness under attack, gains of single clients."""
