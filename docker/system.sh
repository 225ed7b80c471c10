#!/bin/sh
# What the image needs of Debian's or Ubuntu's packages, and the user that it runs as.
set -eu

apt-get update
apt-get install --yes --no-install-recommends python3 python3-venv
rm -rf /var/lib/apt/lists/*
useradd --create-home --uid 10001 optimizer
install -d -o optimizer -g optimizer /work /cache
