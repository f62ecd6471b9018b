#!/usr/bin/env bash
# How the shipped dancer 'kai' was made: from ava's first weights, which recipes/ava.sh leaves.
#
#   recipes/kai.sh VIDEOS
#
# VIDEOS  as for recipes/ava.sh, but 125 of the shorter clips and none of mixed motions
#
# Resumable. Cost: 10 minutes to prepare, 335 to train, on one CPU core. The shipped weights had
# their first 25 minutes on a smaller network, and more; see recipes/ava.sh. Pixels outside the
# matte still had a sixth of the weight of those inside, next to outlines too.
set -euo pipefail
videos=$1
work=${WORK:-work}
mkdir -p "$work"

[ -e "$work/kai.h5" ] || dancing prepare "$videos" --labels "$videos" -o "$work/kai.h5"
train() { # RUN OPTIONS...
  local resume=()
  [ -e "$1/last.safetensors" ] && resume=(--resume)
  dancing train image "$work/kai.h5" -o "$1" --epochs 100000 "${@:2}" "${resume[@]}"
}
about=(--licence CC0-1.0 --data "34 rendered clips of one character (MakeHuman assets, CC0), with
the renderer's exact landmarks and mattes, and 125 shorter ones of every fourth frame: the same
motion capture mirrored and from other sides, and further choreographies; started from ava")

train "$work/kai-1" --from "$work/first/ava" --set learning_rate=5e-3 --set adversarial_from=2 \
  --set hand_weight=6 --minutes 292
dancing export "$work/kai-1" -o "$work/first/kai" "${about[@]}"
train "$work/kai-2" --from "$work/first/kai" --set learning_rate=3e-3 \
  --set adversarial_from=0 --set texture_weight=0.8 --minutes 41
dancing export "$work/kai-2" -o "$work/kai" "${about[@]}"
