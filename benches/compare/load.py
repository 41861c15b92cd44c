"""The two loads: wrk's, which asks for all that a proxy can do, and a paced one, which asks at fixed times."""

import json
import os
import subprocess
import sys
import time

import machine
from ground import HERE

REST_SECONDS = 1.5
"""What a proxy does once the answers are out (Tollgate folds its ledger every second) counts as well."""


def saturate(ground, contender, seconds, connections, tokens=None):
    """wrk's figures, with `cpu`, the proxy's microseconds for one request, and `busy`, its cores' share."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "5s"]
    command += ["-s", os.path.join(HERE, "wrk.lua"), f"http://{contender.address}"]
    environment = {**os.environ, "TOKENS": tokens or contender.tokens}
    pids = contender.pids()
    cpu, busy = machine.cpu_seconds(pids), machine.busy_seconds(ground.proxy_cores)
    ran = subprocess.run(command, env=environment, capture_output=True, text=True)
    busy = machine.busy_seconds(ground.proxy_cores) - busy
    if ran.returncode != 0:
        sys.exit(f"wrk failed on {contender.name}: {ran.stdout}{ran.stderr}")
    time.sleep(REST_SECONDS)
    found = json.loads(ran.stdout.splitlines()[-1])
    found["cpu"] = (machine.cpu_seconds(pids) - cpu) * 1e6 / max(found["requests"], 1)
    found["busy"] = busy / found["seconds"] / len(ground.proxy_cores)
    found["rate"] = found["requests"] / found["seconds"]
    return found


def paced(ground, contender, rate, seconds, every):
    """What came back in each interval, as soon as it is over."""
    command = [ground.binary("examples/load"), contender.address, "--tokens", contender.tokens]
    command += ["--rate", str(rate), "--seconds", str(seconds), "--every", str(every)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            for line in process.stdout:
                yield json.loads(line)
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        sys.exit(f"the paced load failed on {contender.name}")
