"""How long webhooks wait before they ask a queue again that has failed or is full: twice as long each time."""

from typing import Final

FIRST_WAIT: Final = 0.05  # seconds
LONGEST_WAIT: Final = 5.0
