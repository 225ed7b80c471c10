#!/bin/sh
# Makes a virtual environment and installs the package into it: the steps of `make setup`, for
# images. Usage: docker/install.sh VENV [EXTRAS]     e.g. docker/install.sh /opt/venv gpu,postgres
set -eu

if [ -z "${1:-}" ] || [ "$#" -gt 2 ]; then
    echo "docker/install.sh needs a folder to install into: docker/install.sh VENV [EXTRAS]" >&2
    exit 2
fi
case $1 in
    /*) venv=$1 ;;
    *) venv=$PWD/$1 ;;
esac
extras=${2:-}
cd "$(dirname "$0")/.."

sh docker/dependencies.sh "$venv" "$extras"
"$venv/bin/pip" install --quiet -c constraints.txt ".${extras:+[$extras]}"
