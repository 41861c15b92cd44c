"""Tokens that are seen for the first time, against remembered ones at the same rate and verification alone.

At the same rate, since a request costs the proxy more when its neighbours have time to sleep between two: each has to be
woken then.
"""

import subprocess
import time

import machine
from contenders import Contender
from load import REST_SECONDS, paced, saturate
from machine import print_table, spread, tell


def run(ground, options):
    rows = []
    for name in filter(lambda name: name.startswith("tollgate-"), options.contenders):
        algorithm = name.rpartition("-")[2].upper()
        count = options.tokens if algorithm == "HS256" else options.tokens // 4
        tell(f"signing {count} tokens")
        tokens = ground.tokens(algorithm, count)
        command = [ground.binary("examples/tokens"), "verify", algorithm, ground.path(f"{algorithm}.public")]
        verify, warm, first, news = [], [], [], []
        for number in range(options.rounds):
            verify.append(float(subprocess.check_output([*command, tokens])))
            # A new process remembers nothing.
            contender = Contender(ground, name)
            speed = saturate(ground, contender, options.warm, 64)["rate"]
            before = machine.metrics(contender.admin)["tollgate_token_cache_misses_total"]
            # Cold tokens are slower than warm ones: none comes twice.
            run = saturate(ground, contender, max(1, int(count / speed)), 64, tokens)
            after = machine.metrics(contender.admin)["tollgate_token_cache_misses_total"]
            first.append(run["cpu"])
            warm.append(at_rate(ground, contender, int(run["rate"]), options.seconds))
            contender.stop()
            news.append(100 * (after - before) / run["requests"])
            tell(f"{name}, round {number + 1}: warm {warm[-1]:.1f}, cold {first[-1]:.1f}, verify {verify[-1]:.2f} µs")
        more = [new - old for new, old in zip(first, warm)]
        above = [new - alone for new, alone in zip(more, verify)]
        rows.append([algorithm, *map(spread, (warm, first, more)), spread(verify, 2), spread(above), spread(news)])
    head = ["token", "remembered: CPU µs per request", "seen first: CPU µs", "more", "verification alone, µs"]
    print(f"{options.rounds} rounds, 64 connections, {ground.where()}:\n")
    print_table([*head, "above verification, µs", "tokens not remembered, %"], rows)


def at_rate(ground, contender, rate, seconds):
    """The proxy's microseconds for a request whose token it remembers, at so many a second."""
    cpu = machine.cpu_seconds(contender.pids())
    requests = sum(came["requests"] for came in paced(ground, contender, rate, seconds, seconds))
    time.sleep(REST_SECONDS)
    return (machine.cpu_seconds(contender.pids()) - cpu) * 1e6 / max(requests, 1)
