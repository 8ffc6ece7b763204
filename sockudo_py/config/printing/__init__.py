"""Pages and files that are made of the configuration and its models."""
