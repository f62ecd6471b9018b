#!/usr/bin/env bash
# How the image model of the shipped dancer 'ava' was made.
#
#   recipes/ava.sh VIDEOS
#
# VIDEOS  a folder with two of videos NAME.mp4 of the dancer and, as they were rendered, their exact
#         landmarks NAME.npz and mattes NAME_alpha.mp4:
#         clips  34 of motion capture and choreography
#         more   140 shorter ones of every fourth frame, of the same motion capture mirrored and from
#                other sides (each clip four times, turned by up to 25, 45, 70 and 180 degrees; none
#                of a clip kept for validation or testing) and of further choreographies, and 414 of
#                every eighth frame, 70 each: seven in ten with the legs of one of these motions and
#                trunk, head and arms of another (three in ten of them: one arm of a third), all with
#                slow noise on every joint (0.03 to 0.2 radians), mirrored or not, four in five turned
#                by 25 degrees (standard deviation), the others any way
#
# Resumable: run it again after a stop. Cost: see each step; on one CPU core, while another training
# ran on the other.
set -euo pipefail
videos=$1
work=${WORK:-work}
mkdir -p "$work"

# About 10 minutes.
for part in clips more; do
  [ -e "$work/$part.h5" ] ||
    dancing prepare "$videos/$part" --labels "$videos/$part" -o "$work/$part.h5"
done

train() { # RUN DATA... OPTIONS...
  local resume=()
  [ -e "$1/last.safetensors" ] && resume=(--resume)
  dancing train image "${@:2}" -o "$1" --epochs 100000 "${resume[@]}"
}
all=("$work/clips.h5" "$work/more.h5")
about=(--licence CC0-1.0 --data "34 rendered clips of one character (MakeHuman assets, CC0), with
the renderer's exact landmarks and mattes, 140 shorter ones of every fourth frame: the same
motion capture mirrored and from other sides, and further choreographies, and 414 of every eighth
frame: most with the legs of one of these dances and trunk, head and arms of others")

# Against the footage alone. The shipped weights came about in more steps: a smaller network had the
# first 80 minutes, layers that changed nothing at first then joined, three times. The last were the
# fingers, where a fit to the joints of the renderer's own hand put them (0.9 pixels off; what
# `Fingers.begin` knows without a rig, 1.8); hand_weight was 6 for 14 minutes, then 2. The
# discriminators had been in between, for 162 minutes, and the shorter clips joined only for the last
# 188 minutes of this step, depth and the norms in the whole pose's perceptron for the last 128 and
# 95, when units of residual blocks that had died were begun anew, and the mixed dances for the last
# 48. For the last 24, and in the next step, a second training ran beside, from the same weights with
# another seed, and the mean of both went on. Outlines were weighed as they are now in the next step
# only. These cost the same.
train "$work/ava-1" "${all[@]}" --set adversarial_from=2 --set hand_weight=6 --minutes 498
dancing export "$work/ava-1" -o "$work/first/ava" "${about[@]}"
# With the discriminators.
train "$work/ava-2" "${all[@]}" --from "$work/first/ava" --set learning_rate=3e-3 \
  --set adversarial_from=0 --set texture_weight=0.6 --minutes 34
dancing export "$work/ava-2" -o "$work/second/ava" "${about[@]}"
# Without and with them again. 225 of the mixed dances joined only here, in place of the other ones and
# of the 140, and not for the last 9 minutes, which were on the 34 clips alone. The first of these two
# began from the weights before with the dead units of residual blocks begun anew; the second from the
# mean of what it began from and what came of it. The second was trained twice at once again, and what
# went on is the mean of both and of the weights of ava-2.
train "$work/ava-3" "${all[@]}" --from "$work/second/ava" --set learning_rate=5e-3 \
  --set adversarial_from=2 --minutes 48
dancing export "$work/ava-3" -o "$work/third/ava" "${about[@]}"
train "$work/ava-4" "${all[@]}" --from "$work/third/ava" --set learning_rate=1.5e-3 \
  --set adversarial_from=0 --set texture_weight=0.8 --minutes 44
dancing export "$work/ava-4" -o "$work/fourth/ava" "${about[@]}"
# On the 34 clips alone. Beside the first of these, from its 45th minute on, another training ran for
# 44 minutes from what it was then, and the second began from the mean of both. What is shipped is the
# mean of all three, with three tenths as much of ava-4 and a fortieth as much of ava-3.
clips=("$work/clips.h5" --set adversarial_from=0)
train "$work/ava-5" "${clips[@]}" --from "$work/fourth/ava" --set learning_rate=1.5e-3 \
  --set texture_weight=1 --minutes 70
dancing export "$work/ava-5" -o "$work/fifth/ava" "${about[@]}"
train "$work/ava-6" "${clips[@]}" --from "$work/fifth/ava" --set learning_rate=1.5e-3 \
  --set texture_weight=0.6 --minutes 44
# The motion model: recipes/motion.sh.
dancing export "$work/ava-6" "$work/flow" -o "$work/ava" "${about[@]}"
