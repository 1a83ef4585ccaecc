#!/bin/sh
# Write a manual page per command into a folder: make_man.sh PROGRAM FOLDER
set -eu
program=$1
folder=$2
rm -rf "$folder"
mkdir -p "$folder"
"$program" help --man > "$folder/cvm.1"
"$program" help --names | while read -r name; do
    # The name is several words on purpose: "plan show".
    # shellcheck disable=SC2086
    "$program" help --man $name > "$folder/cvm-$(echo "$name" | tr ' ' '-').1"
done
