"""Benchmarks: from a recipe to runs, from runs to tables and plots."""
