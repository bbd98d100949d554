"""Trainings that resume."""
