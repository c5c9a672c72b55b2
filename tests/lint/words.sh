#!/bin/bash
# words.sh - no paths of somebody's machine and no hosts of package registries in what people wrote: sources, scripts,
# recipes, docs. Data (models, texts, tokenizers, corpora) is not looked at.
. "$(dirname "$0")/common.sh"
# Written with brackets so that this file does not find itself.
paths='(^|[^A-Za-z0-9_.$}/])/(hom[e]|roo[t]|User[s]|wor[k]|mn[t]|scratc[h])/|/tmp/[q]/|/opt/wheel[s]'
hosts='(pyp[i]\.org|pythonhoste[d]|(deb|security|ftp|snapshot)\.debia[n]\.org|archive\.ubunt[u]|(registry\.)?npmj[s]|ghc[r]\.io|docke[r]\.io|crate[s]\.io|conda\.anacond[a]|prox[y]\.golang)'
mapfile -t files < <(all_files | grep -E '(\.(c|h|sh|py|cmake|md|yaml|yml)|CMakeLists\.txt|CMakePresets\.json|Makefile|requirements\.txt|packages\.txt|\.ci/run)$')
[ ${#files[@]} -gt 0 ] || finish "words: no files"
while IFS= read -r hit; do found "${hit%%:*}:$(echo "$hit" | cut -d: -f2): an absolute path of one machine"; done < <(grep -nE "$paths" "${files[@]}" /dev/null)
while IFS= read -r hit; do found "${hit%%:*}:$(echo "$hit" | cut -d: -f2): the host of a package registry"; done < <(grep -nE "$hosts" "${files[@]}" /dev/null)
finish "words: ${#files[@]} files"
