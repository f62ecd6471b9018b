#!/usr/bin/env bash
# The shipped motion model.
#
#   recipes/motion.sh POSES SONGS
#
# POSES  a folder of pose files of dances (.npz with landmarks, world, and where known beats and
#        genre), named after their songs; dances without a song here are learned from too, without
#        music
# SONGS  a folder with these songs
#
# To learn the moves of a dancer from some minutes of their own videos instead:
#
#   dancing prepare VIDEOS -o own.h5
#   dancing train motion own.h5 -o own --from default --minutes 10 --set learning_rate=2e-3
#   dancing export own -o me
#
# Resumable: run it again after a stop. Cost: 79 minutes on two cores of a CPU; see docs/motion.md.
# Training ends by the clock, so another machine takes another number of steps. MINUTES_SCALE=0.01
# tries it out in minutes.
set -euo pipefail
poses=$1 songs=$2
work=${WORK:-work}
mkdir -p "$work"

[ -e "$work/motion.h5" ] || dancing prepare "$poses" --songs "$songs" -o "$work/motion.h5"

# train RUN MINUTES OPTIONS...
train() {
  local run=$work/$1 resume=() minutes
  minutes=$(awk -v s="${MINUTES_SCALE:-1}" -v m="$2" 'BEGIN { print m * s }')
  [ -e "$run/last.safetensors" ] && resume=(--resume)
  dancing train motion "$work/motion.h5" -o "$run" --model flow --batch-size "${BATCH_SIZE:-64}" \
    --set components=256 --minutes "$minutes" --epochs 10000 "${@:3}" "${resume[@]}"
}

# How bodies move; then, how feet stand.
train flow-1 33 --set stand_weight=0 --set final_rate_factor=0.6
[ -e "$work/first" ] || dancing export "$work/flow-1" -o "$work/first"
train flow 46 --from "$work/first"
dancing export "$work/flow" -o "$work/motion" --name ava --licence CC0-1.0 \
  --data "345 choreographies (four and a half hours) authored in beat time for this project, to songs that were \
synthesised for it, and 61 clips of motion capture (18 minutes, most of salsa)"
