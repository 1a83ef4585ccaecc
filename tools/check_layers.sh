#!/bin/sh
# A file includes its own folder and lower layers; folders of layer 3 do not see each other.
set -eu
cd "$(dirname "$0")/.."
awk '
BEGIN {
    split("base rules model messaging storage journey recommend llm allocation evaluation world engine workflows agents server cli app", names, " ")
    split("0    1     2     3         3       3       3         3   3          3          3     4      5         6      7      7   8", layers, " ")
    for (i in names) layer[names[i]] = layers[i]
}
FNR == 1 { split(FILENAME, parts, "/"); mine = parts[2] }
/^#include "[a-z_]+\// {
    split($2, q, "\""); split(q[2], p, "/"); other = p[1]
    if (!(mine in layer)) { printf "%s: folder %s has no layer\n", FILENAME, mine; bad = 1; nextfile }
    if (other != mine && (!(other in layer) || layer[other] >= layer[mine])) {
        printf "%s:%d: %s (layer %s) may not include %s (layer %s)\n", FILENAME, FNR, mine, layer[mine], other, layer[other]
        bad = 1
    }
}
END { exit bad }
' $(find src -name '*.[ch]' -o -name '*.cc')
