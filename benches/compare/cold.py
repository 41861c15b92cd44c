"""Tokens that are seen for the first time, against remembered ones and against verification alone."""

import subprocess

import machine
from contenders import Contender
from load import saturate
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
            warm.append(saturate(ground, contender, options.seconds, 64)["cpu"])
            before = machine.metrics(contender.admin)["tollgate_token_cache_misses_total"]
            # Cold tokens are slower than warm ones: none comes twice.
            run = saturate(ground, contender, max(1, int(count / speed)), 64, tokens)
            after = machine.metrics(contender.admin)["tollgate_token_cache_misses_total"]
            contender.stop()
            first.append(run["cpu"])
            news.append(100 * (after - before) / run["requests"])
            tell(f"{name}, round {number + 1}: warm {warm[-1]:.1f}, cold {first[-1]:.1f}, verify {verify[-1]:.2f} µs")
        more = [new - old for new, old in zip(first, warm)]
        above = [new - alone for new, alone in zip(more, verify)]
        rows.append([algorithm, *map(spread, (warm, first, more)), spread(verify, 2), spread(above), spread(news)])
    head = ["token", "remembered: CPU µs per request", "seen first: CPU µs", "more", "verification alone, µs"]
    print(f"{options.rounds} rounds, 64 connections, {ground.where()}:\n")
    print_table([*head, "above verification, µs", "tokens not remembered, %"], rows)
