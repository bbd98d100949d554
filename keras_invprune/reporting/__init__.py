"""What a model is, costs and ignores."""
