#!/usr/bin/env python3
"""Serve the model over HTTP; see ``python serve.py --help``."""

from moderation.cli import serve

if __name__ == "__main__":
    serve(prog_name="serve.py")
