#!/bin/sh
# Swings a pendulum one metre long from an angle: sh pendulum.sh DEGREES.
# Writes its motion to ./distribute_save/motion.csv and prints its period. Any program of yours can be a job.
set -eu
export LC_ALL=C

awk -v degrees="$1" -v step_s="${STEP_S:-0.001}" '
BEGIN {
    gravity = 9.81; length_m = 1; pi = atan2(0, -1)
    angle = degrees * pi / 180
    print "time_s,degrees" > "distribute_save/motion.csv"
    while (!(turned && speed <= 0)) {
        period_s = time_s
        printf "%.3f,%.4f\n", time_s, angle * 180 / pi > "distribute_save/motion.csv"
        speed -= gravity / length_m * sin(angle) * step_s
        angle += speed * step_s
        time_s += step_s
        if (speed > 0) turned = 1
    }
    printf "released at %g degrees, it is back after %.3f s;\n", degrees, period_s
    printf "small swings take %.3f s\n", 2 * pi * sqrt(length_m / gravity)
}'
