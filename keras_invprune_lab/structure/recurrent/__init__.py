"""Many recurrent networks of random structure, trained in one program."""
