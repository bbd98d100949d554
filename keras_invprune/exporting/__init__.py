"""Files that were run and compared."""
