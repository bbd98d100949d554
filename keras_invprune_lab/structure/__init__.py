"""What the structure of a network tells about its accuracy, before any training."""
