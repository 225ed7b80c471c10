#!/bin/sh
# Makes a virtual environment and installs the package into it: the steps of `make setup`, for
# images. Usage: docker/install.sh VENV [EXTRAS]     e.g. docker/install.sh /opt/venv gpu,postgres
set -eu

if [ "$#" -lt 1 ]; then
    echo "usage: docker/install.sh VENV [EXTRAS]" >&2
    exit 2
fi
venv=$1
extras=${2:-}
cd "$(dirname "$0")/.."

python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --upgrade pip
if [ -n "$extras" ]; then
    "$venv/bin/pip" install --quiet -c constraints.txt ".[$extras]"
else
    "$venv/bin/pip" install --quiet -c constraints.txt .
fi
