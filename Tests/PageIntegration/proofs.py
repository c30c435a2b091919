#!/usr/bin/env python3
"""Proves the page of the built program in a headless browser; `proofs.py --help` says how to run it."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "RetentionIntegration"), str(HERE.parent / "DaemonIntegration")]
sys.dont_write_bytecode = True

import runner  # noqa: E402

MODULES = ("acting", "looking", "hostile")

if __name__ == "__main__":
    sys.exit(runner.main(MODULES))
