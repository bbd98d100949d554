"""Writes files that were run and compared with the Keras model."""
