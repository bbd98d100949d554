"""Networks under the masks of relational graphs, and the order of these graphs."""
