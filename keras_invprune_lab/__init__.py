"""Experiments on keras_invprune: data, networks, runs, benchmarks, commands."""
