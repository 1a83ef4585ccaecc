#!/bin/sh
# The Debian packages that hold the libraries PROGRAM is linked with, one a line, and those that install_packages.sh names
# for running it: what a machine needs that does not build. To be asked where the program was built.
set -eu

[ $# = 1 ] || { echo "usage: $0 PROGRAM" >&2; exit 2; }
needed=$(objdump -p "$1" | awk '$1 == "NEEDED" { print $2 }')
{
    # By the last two parts of their paths: /lib is a link to /usr/lib, and packages know one of the two.
    ldd "$1" | awk -v needed="$needed" 'BEGIN { split(needed, names, "\n"); for (i in names) is_needed[names[i]] = 1 }
        is_needed[$1] && $3 != "" { count = split($3, parts, "/"); print "*/" parts[count - 1] "/" parts[count] }' |
        xargs dpkg-query -S | cut -d: -f1
    sed -n 's/^runtime="\(.*\)"$/\1/p' "$(dirname "$0")/install_packages.sh" | tr ' ' '\n'
} | sort -u
