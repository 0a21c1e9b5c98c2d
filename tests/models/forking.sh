#!/bin/sh
# A model that leaves as much behind as it can: a child, a daemon in a session of its own, one more that forgot its environment.
sleep 1000.$MARK &
setsid sleep 1001.$MARK &
(setsid env -i sleep 1002.$MARK &) &
"$PYTHON" -I -S "$MODEL" &
wait
