#!/usr/bin/env python3
"""Proves the daemon of the built program beside real clients; `proofs.py --help` says how to run it."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "RetentionIntegration")]
sys.dont_write_bytecode = True

import runner  # noqa: E402

MODULES = ("soaking", "clients", "floors", "watching", "steering")

if __name__ == "__main__":
    sys.exit(runner.main(MODULES))
