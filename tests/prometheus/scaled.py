"""Makes a copy of alert rules in which time runs faster, so that a run of minutes reaches what takes hours.

    python3 scaled.py RULES FACTOR

Prints it. Changed are windows, offsets, `for`, and thresholds, which are written as `15 * 60` or `20 * 3600`: each is
divided by the factor. Nothing else of an expression is. Its alerts carry the label `rules="scaled"`, and its recorded
series another name, so that both copies can be evaluated side by side.
"""

import re
import sys

MILLIS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
SPAN = re.compile(r"(\[|offset |for: )(\d+)([smhd])\b")
THRESHOLD = re.compile(r"(\d+) \* (60|3600|86400)\b")


def scaled(rules, factor):
    def span(found):
        before, number, unit = found.groups()
        return f"{before}{max(1, int(number) * MILLIS[unit] // factor)}ms"

    def threshold(found):
        number, seconds = found.groups()
        return f"{number} * {seconds} / {factor}"

    lines = []
    for line in rules.splitlines():
        if not line.lstrip().startswith("#"):
            line = THRESHOLD.sub(threshold, SPAN.sub(span, line))
            line = line.replace("labels: { severity:", "labels: { rules: scaled, severity:")
            line = line.replace("job:tollgate_", "scaled:tollgate_").replace("- name: tollgate-", "- name: scaled-")
        lines.append(line)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    path, by = sys.argv[1:]
    with open(path, encoding="utf-8") as shipped:
        sys.stdout.write(scaled(shipped.read(), int(by)))
