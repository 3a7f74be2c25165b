#!/usr/bin/env bash
# Builds the kernel tests: build.sh OUTPUT. Needs a C++17 compiler only; the program opens the driver when it runs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
exec "${CXX:-g++}" -std=c++17 -O2 -Wall -Wextra -static-libstdc++ -static-libgcc -o "$1" ./*.cpp -ldl
