#!/bin/sh
# Trainings that train as one, on a GPU: updates a second in windows of five seconds, of one training alone, of K
# processes that share the GPU, and of K together, for mlp, cnn and gpt. One JSON line; "no GPU" and exit code 0 without one.
# It needs no network: packages that lack are installed from the folder of wheels that WHEELS names. At most six minutes.
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
[ -x .venv/bin/python ] && PYTHON=.venv/bin/python
NEEDED='torch numpy pydantic pydantic_settings safetensors psutil'
lacking() {
    "$PYTHON" - $NEEDED <<'EOF'
import importlib.util, sys
print(*(name.replace("_", "-") for name in sys.argv[1:] if importlib.util.find_spec(name) is None))
EOF
}
missing=$(lacking)
if [ -n "$missing" ]; then
    [ -n "${WHEELS:-}" ] || { echo "these packages lack: $missing; name a folder of wheels: WHEELS=/path" >&2; exit 1; }
    "$PYTHON" -m pip install --quiet --disable-pip-version-check --no-index --find-links "$WHEELS" $missing
fi
"$PYTHON" -c 'import sys, torch; v = tuple(map(int, torch.__version__.split(".")[:2])); sys.exit(v < (2, 11) and f"torch {torch.__version__} is too old: 2.11 or newer")'
PYTHONPATH=service:workers:. timeout 360 "$PYTHON" -m benchmarks.fused --gpu "$@"
