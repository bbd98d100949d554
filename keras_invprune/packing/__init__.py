"""The smallest files: entropy-coded weights, back to the same bits."""
