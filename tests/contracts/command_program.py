"""The program of commands.toml: reports a noisy countdown."""

import json
import os
import random
import sys
import time

rng = random.Random(os.environ["STEPSIZE_SEED"])
for step in range(1, int(os.environ["STEPSIZE_PARAM_STEPS"]) + 1):
    loss = float(os.environ["STEPSIZE_PARAM_START"]) / step + rng.random()
    sys.stdout.write(json.dumps({"step": step, "values": {"loss": loss}}) + "\n")
    time.sleep(0.02)
