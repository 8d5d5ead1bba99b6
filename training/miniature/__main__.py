"""``python -m training.miniature HOME``: build the miniature, printing JSON lines per step and the folder at the end.

The web process starts it in a separate process, so that training packages are never loaded into the web process.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from training.miniature.build import build


def _say(**facts: object) -> None:
    print(json.dumps(facts), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the miniature world, its data and its base model.")
    parser.add_argument("home", type=Path, help="the data folder")
    parser.add_argument("--seed", type=int, default=0, help="seed of the noise, the weights and the rows")
    options = parser.parse_args()
    made = build(options.home, options.seed, lambda step, done, total: _say(step=step, done=done, total=total))
    _say(directory=str(made.directory))


if __name__ == "__main__":
    main()
