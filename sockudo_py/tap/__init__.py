"""What happens on this node, for its followers: live consoles and the flight recorder."""

from sockudo_py.tap.recorder import Recorder, Refusal
from sockudo_py.tap.row import KINDS, Details, Row
from sockudo_py.tap.tap import Follower, Tap

__all__ = ["KINDS", "Details", "Follower", "Recorder", "Refusal", "Row", "Tap"]
