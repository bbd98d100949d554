"""The rules, one file for each family of layers. A new file is found by itself."""
