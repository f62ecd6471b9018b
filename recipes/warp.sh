#!/usr/bin/env bash
# The network of `warp`, which mends people painted from references.
#
#   recipes/warp.sh VIDEOS
#
# VIDEOS  a folder of videos NAME.mp4 and, as they were rendered, their exact landmarks NAME.npz and
#         mattes NAME_alpha.mp4: 184 of 24 frames, 5 frames a second, of 46 clothed avatars of the
#         VALID library dancing; each avatar four times, with other clothes, light, room and view.
#         The names of videos decide which are held out, so that no figure is of a video seen.
#
# The shipped weights were not made by exactly these commands (docs/models/warp.md says why). What
# comes out is another set of weights made in the same way. $WORK/warp/image.onnx is then
# src/dancing/image/warp/network.onnx.
#
# Resumable: run it again after a stop. Cost: in the first epoch of each training all pairs are painted,
# 0.7 s each on one CPU core, about 100 minutes; a step of 8 pairs then takes 1.1 s on two cores, one
# of 32 pairs 0.04 s on an H100. EPOCHS=1 tries it out.
set -euo pipefail
videos=$1
work=${WORK:-work}
mkdir -p "$work"

[ -e "$work/people.h5" ] ||
  dancing prepare "$videos" --labels "$videos" -o "$work/people.h5" --size "${SIZE:-640}"
train() { # RUN EPOCHS OPTIONS...
  local resume=()
  [ -e "$work/$1/last.safetensors" ] && resume=(--resume)
  dancing train image "$work/people.h5" -o "$work/$1" --model warp --epochs "${EPOCHS:-$2}" \
    "${@:3}" "${resume[@]}"
}
bundle() { # NAME RUN
  dancing export "$work/$2" -o "$work/$1" --name warp --licence MIT --data "184 rendered clips of 46 \
clothed avatars (VALID, MIT, Copyright (c) 2022 Tiffany Do) with the renderer's exact landmarks and \
mattes; choreography of our own, and motion capture of the CMU database"
}

# With exact lines, then with lines that are off: the network is not to trust them.
train warp-1 26 --batch-size "${BATCH_SIZE:-32}" --set line_noise=0 --set lineless=0
bundle first warp-1
train warp-2 2 --batch-size "${BATCH_SIZE:-8}" --from "$work/first" --set learning_rate=5e-4 \
  --set line_noise=0.03 --set lineless=0.15 --set adversarial_from=0 --set warm_up_steps=50 \
  --set falling_part=0.7 --set ema_decay=0.995
bundle warp warp-2
