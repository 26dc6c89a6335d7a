"""Scheduled evaluations: from `evaluation.toml` to a published folder, by the same stages that `analysis` calls."""
