"""Tables of keys and variables: those that override the file, and those that have no effect."""
