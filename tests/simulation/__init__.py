"""The real services in a simulated world, where one seed decides everything.

`world` is the place, `truth` what must hold after every step, `scenario` what a seed makes happen;
`trouble` what goes wrong; `scheduling`, `archiving`, `node` and `people` are the processes, `host` is the
computer below a node-runner.

    python -m tests.simulation SEED     replays a seed, and tells what happened
"""
