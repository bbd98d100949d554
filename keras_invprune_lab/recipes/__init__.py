"""Recipes: which data, networks, methods and budgets are compared."""
