#!/usr/bin/env python3
"""Train a candidate model on labelled comments; see ``python train.py --help``."""

from moderation.cli import train

if __name__ == "__main__":
    train(prog_name="train.py")
