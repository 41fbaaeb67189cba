"""What follows the rounds of a study: evaluation, distillation, audit, export."""
