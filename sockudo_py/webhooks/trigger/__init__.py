"""Events that applications ask for: names, data and ids are their own."""
