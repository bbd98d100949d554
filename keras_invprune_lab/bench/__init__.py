"""Benchmarks: recipes, results, statistics, pages, plots."""
