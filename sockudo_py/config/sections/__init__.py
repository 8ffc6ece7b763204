"""The sections of a configuration as models, and the types of their keys."""
