"""Accuracy from structure: tables, predictors, and how good they are."""
