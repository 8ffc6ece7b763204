"""This process in the cluster: it connects the sessions of its clients with the adapter, the cache and each other."""

from sockudo_py.node.node import Node

__all__ = ["Node"]
