"""Commands about servers on this machine: start one, ask it, tell it something."""
