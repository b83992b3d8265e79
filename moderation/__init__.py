"""Flags abusive, mocking and off-topic reader comments; run by the newsroom itself."""

__version__ = "0.1.0"
