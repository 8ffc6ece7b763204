"""The watermarks of a configuration."""

from sockudo_py.config import Config
from sockudo_py.metrics import Metrics
from sockudo_py.process.memory import memory_share
from sockudo_py.process.watermarks import Watermark, Watermarks


def make_watermarks(config: Config, metrics: Metrics) -> Watermarks | None:
    """Return the watermarks of the configuration, None when there are none."""
    marks = config.watermarks
    connections = None if marks.connections_high is None else Watermark(marks.connections_high, marks.connections_low)
    memory = None if marks.memory_high is None else Watermark(marks.memory_high, marks.memory_low)
    if connections is None and memory is None:
        return None
    return Watermarks(connections=connections, memory=memory, share=memory_share, metrics=metrics)
