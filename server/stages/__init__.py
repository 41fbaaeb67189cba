"""Stages after the rounds of a study: evaluation, distillation, audit, export."""
