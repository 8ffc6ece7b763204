"""Which drivers a configuration asks for, a module for each family."""
