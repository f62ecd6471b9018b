#!/usr/bin/env bash
# How the image model of the shipped dancer 'ava' was made.
#
#   recipes/ava.sh VIDEOS
#
# VIDEOS  a folder with videos NAME.mp4 of the dancer and, as they were rendered, their exact
#         landmarks NAME.npz and mattes NAME_alpha.mp4
#
# Resumable: run it again after a stop. Cost: see each step; on one CPU core, while another training
# ran on the other.
set -euo pipefail
videos=$1
work=${WORK:-work}
mkdir -p "$work"

# About 5 minutes.
[ -e "$work/ava.h5" ] || dancing prepare "$videos" --labels "$videos" -o "$work/ava.h5"

train() { # RUN OPTIONS...
  local resume=()
  [ -e "$1/last.safetensors" ] && resume=(--resume)
  dancing train image "$work/ava.h5" -o "$1" --epochs 100000 "${@:2}" "${resume[@]}"
}
about=(--licence CC0-1.0 --data "34 rendered clips of one character (MakeHuman assets, CC0), with
the renderer's exact landmarks and mattes")

# Against the footage alone. The shipped weights came about in more steps: a smaller network had the
# first 80 minutes, layers that changed nothing at first then joined, three times. The last were the
# fingers, 35 minutes before the end, where a fit to the joints of the renderer's own hand put them
# (0.9 pixels off; what `Fingers.begin` knows without a rig, 1.8); hand_weight was 6 for 14 minutes,
# then 2. The discriminators had been in between, for 48 minutes. These cost the same.
train "$work/ava-1" --set adversarial_from=2 --set hand_weight=6 --minutes 310
dancing export "$work/ava-1" -o "$work/first/ava" "${about[@]}"
# With the discriminators.
train "$work/ava-2" --from "$work/first/ava" --set learning_rate=3e-3 \
  --set adversarial_from=0 --minutes 31
# The motion model: recipes/motion.sh.
dancing export "$work/ava-2" "$work/flow" -o "$work/ava" "${about[@]}"
