#!/usr/bin/env bash
# The image model of the shipped dancer 'kai', from ava's first weights, which recipes/ava.sh leaves.
#
#   recipes/kai.sh VIDEOS
#
# VIDEOS  as for recipes/ava.sh, of kai: 34 clips, and 125 of the shorter ones, in one folder
#
# The shipped weights were not made by exactly these commands; docs/models/kai.md says why.
# Resumable. Cost: 10 minutes to prepare, 333 to train, on one CPU core. MINUTES_SCALE=0.01 tries
# it out in minutes.
set -euo pipefail
videos=$1
work=${WORK:-work}
mkdir -p "$work"

[ -e "$work/kai.h5" ] ||
  dancing prepare "$videos" --labels "$videos" -o "$work/kai.h5" --size "${SIZE:-640}"
train() { # RUN MINUTES OPTIONS...
  local minutes resume=()
  minutes=$(awk -v m="$2" -v s="${MINUTES_SCALE:-1}" 'BEGIN { print m * s }')
  [ -e "$work/$1/last.safetensors" ] && resume=(--resume)
  dancing train image "$work/kai.h5" -o "$work/$1" --epochs 100000 --minutes "$minutes" "${@:3}" \
    "${resume[@]}"
}
about=(--name kai --licence CC0-1.0 --data "34 rendered clips of one character (MakeHuman assets, CC0),
with the renderer's exact landmarks and mattes, and 125 shorter ones of every fourth frame: the same
motion capture mirrored and from other sides, and further choreographies; started from ava")

train kai-1 292 --from "$work/first" --set learning_rate=5e-3 --set adversarial_from=2 \
  --set hand_weight=6
dancing export "$work/kai-1" -o "$work/kai-first" "${about[@]}"
train kai-2 41 --from "$work/kai-first" --set learning_rate=3e-3 --set hand_weight=2 \
  --set adversarial_from=0 --set texture_weight=0.8
dancing export "$work/kai-2" -o "$work/kai" "${about[@]}"
