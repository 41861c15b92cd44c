"""Whoever stops a gateway gives it the time that it may take to end: what is killed instead gives nothing back to its
fleet, and leaves what it has not sent to the next start."""

import pathlib
import re
import sys

# What comes behind drain_delay and drain_timeout, in src/server/ending.rs: requests that are cut off, the fleet, the last
# fold, five seconds for Stripe, the background work.
BEHIND = 15
REFERENCE = "config/tollgate.toml"
STOPPED = {
    "deploy/compose/compose.yml": (r"stop_grace_period: (\d+)s", "deploy/compose/tollgate.toml"),
    "deploy/fleet/compose.yml": (r"stop_grace_period: (\d+)s", "deploy/fleet/tollgate.toml"),
    "deploy/kubernetes/statefulset.yaml": (r"terminationGracePeriodSeconds: (\d+)", "deploy/kubernetes/tollgate.toml"),
    # Whose configuration is the reader's own: at least what the reference says.
    "deploy/systemd/tollgate.service": (r"TimeoutStopSec=(\d+)", REFERENCE),
    "deploy/systemd/tollgate@.service": (r"TimeoutStopSec=(\d+)", REFERENCE),
}


def written(pattern: str, *files: str) -> int:
    """The seconds in the first of the files that says them."""
    lines = (re.search(f"^ *{pattern}", pathlib.Path(file).read_text(), re.MULTILINE) for file in files)
    return int(next(line for line in lines if line)[1])


def main() -> None:
    for file, (grace, configuration) in STOPPED.items():
        waits = (written(f'{key} = "(.*?)s?"', configuration, REFERENCE) for key in ("drain_delay", "drain_timeout"))
        given, takes = written(grace, file), sum(waits) + BEHIND
        if given < takes:
            sys.exit(f"{file} gives a gateway {given} s to end, which may take {takes} s with {configuration}")


main()
