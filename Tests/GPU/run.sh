#!/usr/bin/env bash
# Checks and times SprintPack on this machine's GPU, from the folder that bundle.sh makes: run.sh [--bundle FOLDER] [--out FOLDER] [--seconds N] [--rehearse LIBRARY]
# Exit codes: 0 all that was measured holds, 1 something does not, 2 there is no card or no folder.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bundle=$here
arguments=("$@")
rehearsed=
while [ $# -gt 0 ]; do
    case $1 in
    --bundle) bundle=$2 ;;
    --rehearse) rehearsed=$2 ;;
    esac
    shift $(($# > 1 ? 2 : 1))
done
if ! command -v python3 > /dev/null; then echo "expected python3 on this machine, found none; install it to run the checks" >&2; exit 2; fi
if [ -z "$rehearsed" ] && ! reason=$(python3 -c '
import ctypes, sys
try:
    driver, count = ctypes.CDLL("libcuda.so.1"), ctypes.c_int()
except OSError as error:
    sys.exit(f"no driver ({error})")
code = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
sys.exit(f"a driver that gave error {code}" if code else None if count.value else "a driver without cards")' 2>&1); then
    echo "expected an NVIDIA GPU on this machine, found $reason; run it where there is one, or rehearse: make gpu-rehearsal" >&2
    exit 2
fi
if [ ! -x "$bundle/sprintpack" ]; then echo "expected the bundle in $bundle, found no sprintpack there; make it with: make gpu-bundle" >&2; exit 2; fi
exec python3 "$bundle/run.py" "${arguments[@]}"
