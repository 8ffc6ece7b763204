"""Property tests on a busy machine: an example that takes long is not a failure, a wrong one is."""

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
