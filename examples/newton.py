"""The program of commands.toml: standard library only."""

import argparse
import json
import os
import sys

parser = argparse.ArgumentParser()
parser.add_argument("--damping", type=float, required=True)
damping = parser.parse_args().damping

x = 10.0
for step in range(1, int(os.environ["STEPSIZE_PARAM_ITERATIONS"]) + 1):
    x -= damping * (x * x - 2) / (2 * x)
    sys.stdout.write(json.dumps({"step": step, "values": {"error": abs(x - 2**0.5)}}) + "\n")
