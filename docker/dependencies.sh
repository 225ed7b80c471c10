#!/bin/sh
# Makes a virtual environment with all that the package needs, but not the package: an image layer
# of its own, so that a change of the sources installs no torch again.
# Usage: docker/dependencies.sh VENV [EXTRAS]
set -eu

if [ -z "${1:-}" ] || [ "$#" -gt 2 ]; then
    echo "docker/dependencies.sh needs a folder to install into: docker/dependencies.sh VENV [EXTRAS]" >&2
    exit 2
fi
case $1 in
    /*) venv=$1 ;;
    *) venv=$PWD/$1 ;;
esac
extras=${2:-}
cd "$(dirname "$0")/.."

python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --upgrade pip
"$venv/bin/python" - "$extras" >"$venv/requirements.txt" <<'END'
import sys
import tomllib

with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)["project"]
extras = [name.strip() for name in sys.argv[1].split(",") if name.strip()]
for name in extras:
    if name not in project["optional-dependencies"]:
        print(f"pyproject.toml has no extra {name!r}", file=sys.stderr)
        sys.exit(2)
lists = [project["dependencies"], *(project["optional-dependencies"][name] for name in extras)]
print(*(line for lines in lists for line in lines), sep="\n")
END
"$venv/bin/pip" install --quiet -c constraints.txt -r "$venv/requirements.txt"
