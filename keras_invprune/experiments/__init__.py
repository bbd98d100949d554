"""Data, models and runs of the experiments. Imports the package, never the reverse."""
