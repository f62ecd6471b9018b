#!/usr/bin/env bash
# How the image model of the shipped dancer 'ava' was made.
#
#   recipes/ava.sh VIDEOS
#
# VIDEOS  a folder with videos NAME.mp4 of the dancer and, as they were rendered, their exact
#         landmarks NAME.npz and mattes NAME_alpha.mp4: 34 clips of motion capture and choreography,
#         and 140 shorter ones of every fourth frame, of the same motion capture mirrored and from
#         other sides (each clip four times, turned by up to 25, 45, 70 and 180 degrees; none of a
#         clip kept for validation or testing) and of further choreographies
#
# Resumable: run it again after a stop. Cost: see each step; on one CPU core, while another training
# ran on the other.
set -euo pipefail
videos=$1
work=${WORK:-work}
mkdir -p "$work"

# About 10 minutes.
[ -e "$work/ava.h5" ] || dancing prepare "$videos" --labels "$videos" -o "$work/ava.h5"

train() { # RUN OPTIONS...
  local resume=()
  [ -e "$1/last.safetensors" ] && resume=(--resume)
  dancing train image "$work/ava.h5" -o "$1" --epochs 100000 "${@:2}" "${resume[@]}"
}
about=(--licence CC0-1.0 --data "34 rendered clips of one character (MakeHuman assets, CC0), with
the renderer's exact landmarks and mattes, and 140 shorter ones of every fourth frame: the same
motion capture mirrored and from other sides, and further choreographies")

# Against the footage alone. The shipped weights came about in more steps: a smaller network had the
# first 80 minutes, layers that changed nothing at first then joined, three times. The last were the
# fingers, where a fit to the joints of the renderer's own hand put them (0.9 pixels off; what
# `Fingers.begin` knows without a rig, 1.8); hand_weight was 6 for 14 minutes, then 2. The
# discriminators had been in between, for 121 minutes, and the shorter clips joined only for the last
# 110 minutes of this step, depth and the norms in the whole pose's perceptron for the last 50 and 17,
# when units of residual blocks that had died were begun anew. These cost the same.
train "$work/ava-1" --set adversarial_from=2 --set hand_weight=6 --minutes 420
dancing export "$work/ava-1" -o "$work/first/ava" "${about[@]}"
# With the discriminators.
train "$work/ava-2" --from "$work/first/ava" --set learning_rate=3e-3 \
  --set adversarial_from=0 --set texture_weight=0.6 --minutes 41
# The motion model: recipes/motion.sh.
dancing export "$work/ava-2" "$work/flow" -o "$work/ava" "${about[@]}"
