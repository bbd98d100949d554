"""From scores to masks."""
