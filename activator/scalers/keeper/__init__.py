"""The keeper: a small process between the edge and the models, so that no model outlives the edge.

The edge may be killed at any instant, and a model may fork, call setsid or daemonise. PDEATHSIG reaches
direct children only, and a process group can be left. What no descendant can leave is a child subreaper
(prctl(2)): orphans come back to it. So each model gets a warden, a fork of the keeper that is the parent,
the subreaper and the log writer of that one model; the keeper is the subreaper of all wardens. Whoever
dies, someone above is left who reaches all that is below:

    edge --socket--> keeper --socket--> warden ----> model, and whatever it forks

The edge's end of the socket closes when it dies, by SIGKILL too: the keeper kills everything and exits.
When the keeper dies each warden kills its model and exits. When a warden dies the keeper inherits its
model, and kills it. For those who kill them all at one blow (`pkill -9 -f activator`) PDEATHSIG is good
enough: the model itself ends with its warden. Forking from here is also fast, for there is no big heap to
copy.

It runs as `main.main(FD)` in an isolated interpreter: standard library only, one thread. FD is a
SOCK_SEQPACKET socket; each packet is one JSON object. In: `{"do": "start", "name", "command", "env",
"directory", "log", "log_bytes", "grace"}` (env is put over the keeper's own) and `{"do": "end", "name"}`.
Out: `{"event": "hello"}`, then by name `started` (`pid`), `failed` (`errno`, `culprit`, `text`: it could not
be executed) and `exited` (`code` as in subprocess, `tail` of its output).
"""
