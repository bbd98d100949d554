"""Genetic search for the graph of a small convolutional network."""
