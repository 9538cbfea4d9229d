"""`make bench`: measure this machine. Nothing here passes or fails."""

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
COMMANDS = (["engine_bench.py"], ["pool_bench.py"], ["registry_bench.py"], ["boxes_bench.py"])


def main() -> None:
    argparse.ArgumentParser("python -m bench", description=__doc__).parse_args()
    for program, *arguments in COMMANDS:
        print(f"\n== {program}", flush=True)
        subprocess.run([sys.executable, HERE / program, *arguments], check=False, cwd=HERE.parent)


if __name__ == "__main__":
    main()
