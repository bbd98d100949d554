"""What is left of recurrent networks after pruning, and how fast they recover."""
