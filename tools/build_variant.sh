#!/bin/sh
# Configure (once) and build one variant: FOLDER COMPILER OPTIONS [TARGET...], all targets by default.
set -eu
folder=$1 compiler=$2 options=$3
shift 3
case "$compiler" in
clang) export CC=clang CXX=clang++ ;;
*) export CC=gcc CXX=g++ ;;
esac
if [ ! -f "$folder/build.ninja" ]; then
    # shellcheck disable=SC2086 # options are words
    meson setup "$folder" $options > "$folder.log" 2>&1 || { cat "$folder.log"; exit 1; }
    rm -f "$folder.log"
fi
ninja -C "$folder" --quiet "$@"
