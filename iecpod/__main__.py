"""Entry point of the `iecpod` command and of `python -m iecpod`."""

from __future__ import annotations

import sys

from iecpod.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
