"""Checks dashboards as Grafana reads them, and prints their queries as rules, so that promtool parses them.

    python3 dashboards.py DASHBOARD... > rules.yml

Exits 1 with every mistake: a panel without an id of its own, panels that lie over one another or outside the 24 columns,
an unknown kind of panel, a query without its letter, a data source that is not the variable's, a variable that nobody
declares.
"""

import itertools
import json
import re
import sys

KINDS = {"row", "timeseries", "stat", "table"}
# What Grafana puts in the place of its own variables, and what a test puts there.
OWN = {"__rate_interval": "5m", "__interval": "1m", "__range": "6h"}
VARIABLE = re.compile(r"\$\{?(\w+)\}?")


def placed(panel):
    at = panel["gridPos"]
    return {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}


def queries(panel):
    return [target["expr"] for target in panel.get("targets", [])]


def of_panel(panel, variables):
    where = f"panel {panel.get('id')} ({panel.get('title')})"
    if panel["type"] not in KINDS:
        yield f"{where}: {panel['type']} is no kind that this dashboard should have"
    at = panel["gridPos"]
    if not (0 <= at["x"] and at["x"] + at["w"] <= 24 and at["w"] > 0 and at["h"] > 0):
        yield f"{where}: lies outside the 24 columns"
    if panel["type"] == "row":
        return
    targets = panel.get("targets") or []
    if not targets:
        yield f"{where}: asks for nothing"
    if not panel.get("description"):
        yield f"{where}: does not say what it shows"
    letters = [target.get("refId") for target in targets]
    if None in letters or len(set(letters)) != len(letters):
        yield f"{where}: queries need a letter each, and have {letters}"
    for each in [panel, *targets]:
        if each.get("datasource") != {"type": "prometheus", "uid": "${datasource}"}:
            yield f"{where}: the data source is not the variable's"
    for name in itertools.chain.from_iterable(VARIABLE.findall(query) for query in queries(panel)):
        if name not in variables and name not in OWN:
            yield f"{where}: nobody declares ${name}"


def mistakes(dashboard):
    for key in ("uid", "title", "schemaVersion", "panels", "templating", "time", "refresh"):
        if key not in dashboard:
            yield f"{key} is missing"
    if "id" in dashboard:
        yield "id is the database's: a file must not have one"
    panels = dashboard["panels"]
    ids = [panel.get("id") for panel in panels]
    if None in ids or len(set(ids)) != len(ids):
        yield "panels need an id each"
    titles = [panel["title"] for panel in panels if panel["type"] == "row"]
    if len(set(titles)) != len(titles):
        yield f"rows of one title: {titles}"
    taken = {}
    for panel in panels:
        for cell in placed(panel):
            if cell in taken:
                yield f"panel {panel['id']} lies over panel {taken[cell]}"
                break
            taken[cell] = panel["id"]
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    for panel in panels:
        yield from of_panel(panel, variables)


def as_promql(query, values):
    return VARIABLE.sub(lambda found: (OWN | values)[found.group(1)], query)


def expressions(dashboard, values):
    """Every query of every panel, and of the annotations, with values in the place of variables."""
    asked = [query for panel in dashboard["panels"] for query in queries(panel)]
    asked += [each["target"]["expr"] for each in dashboard["annotations"]["list"] if "target" in each]
    return [as_promql(query, values) for query in asked]


def main(paths):
    found, rules = [], []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            dashboard = json.load(file)
        found += [f"{path}: {mistake}" for mistake in mistakes(dashboard)]
        for query in expressions(dashboard, {"job": "tollgate", "instance": ".+"}) if not found else []:
            rules.append({"record": f"dashboard:query:{len(rules)}", "expr": query})
    if found:
        sys.exit("\n".join(found))
    # JSON is YAML.
    print(json.dumps({"groups": [{"name": "dashboards", "rules": rules}]}, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
