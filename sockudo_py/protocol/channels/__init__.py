"""What the name of a channel means, and who may be on it."""

from sockudo_py.protocol.channels.table import (
    CLASSES,
    PUBLIC,
    ChannelClass,
    classify,
    user_of,
    valid_channel_name,
)

__all__ = ["CLASSES", "PUBLIC", "ChannelClass", "classify", "user_of", "valid_channel_name"]
