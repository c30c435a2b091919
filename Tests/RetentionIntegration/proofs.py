#!/usr/bin/env python3
"""Proves the retention commands of the built program; `proofs.py --help` says how to run it."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.dont_write_bytecode = True

import runner  # noqa: E402

MODULES = ("disk_space", "ledger_room", "first_minutes", "in_use", "exactness", "afterwards", "hostile", "intents", "owners", "races")

if __name__ == "__main__":
    sys.exit(runner.main(MODULES))
