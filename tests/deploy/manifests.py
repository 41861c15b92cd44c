"""Every manifest of a folder against the schema of its kind, and what the files must agree on among themselves.

    python manifests.py FOLDER [BUILT]

BUILT is what `kubectl kustomize FOLDER` has made of it.
"""

import pathlib
import sys

import kubernetes_validate
import yaml

VERSION = kubernetes_validate.latest_version()
# Kinds that Kubernetes itself does not know.
OTHERS = {"Kustomization", "ServiceMonitor"}


def main(folder: pathlib.Path, built: pathlib.Path | None = None) -> None:
    manifests = read(sorted(folder.glob("*.yaml")))
    by_kind = {manifest["kind"]: manifest for manifest in manifests}
    check_kustomization(folder, by_kind["Kustomization"])
    check_pods(by_kind["StatefulSet"], manifests)
    check_restore(by_kind["StatefulSet"]["spec"], by_kind["PersistentVolumeClaim"], by_kind["Pod"]["spec"])
    for service in (manifest for manifest in manifests if manifest["kind"] == "Service"):
        check_names(service["metadata"]["name"], service["spec"], (folder / "tollgate.toml").read_text())
    if built:
        check_built(folder, by_kind["Kustomization"], read([built]))
    print(f"{len(manifests)} manifests, Kubernetes {VERSION}")


def read(files: list[pathlib.Path]) -> list[dict]:
    manifests = [manifest for file in files for manifest in yaml.safe_load_all(file.read_text())]
    for manifest in manifests:
        if manifest["kind"] not in OTHERS:
            kubernetes_validate.validate(manifest, VERSION, strict=True)
    return manifests


def check_kustomization(folder: pathlib.Path, kustomization: dict) -> None:
    for added in kustomization["labels"]:
        assert not added.get("includeSelectors"), "it would narrow whom networkpolicy.yaml lets in"
    listed = set(kustomization["resources"])
    beside = {file.name for file in folder.glob("*.yaml")}
    assert listed <= beside, f"no such files: {listed - beside}"
    left_out = {"kustomization.yaml", "servicemonitor.yaml", "secret-example.yaml", "restore.yaml"}
    assert beside - listed == left_out, f"not applied: {beside - listed - left_out}"
    for generated in kustomization["configMapGenerator"]:
        assert all((folder / name).exists() for name in generated["files"])


def check_pods(stateful_set: dict, manifests: list[dict]) -> None:
    pod = stateful_set["spec"]["template"]["spec"]
    container = pod["containers"][0]
    ports = {port["name"] for port in container["ports"]}
    probes = [container[f"{probe}Probe"]["httpGet"] for probe in ("startup", "liveness", "readiness")]
    assert {probe["port"] for probe in probes} <= ports, "a probe of a port that is not there"
    assert [probe["path"] for probe in probes] == ["/healthz", "/healthz", "/readyz"]
    services = [manifest for manifest in manifests if manifest["kind"] == "Service"]
    for service in services:
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    headless = {service["metadata"]["name"] for service in services if service["spec"].get("clusterIP") == "None"}
    assert stateful_set["spec"]["serviceName"] in headless, "its pods would have no names"
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    claims = {claim["metadata"]["name"] for claim in stateful_set["spec"]["volumeClaimTemplates"]}
    assert mounted == claims | {volume["name"] for volume in pod["volumes"]}
    # The profile `restricted`, which the namespace enforces.
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["seccompProfile"]
    limits = container["securityContext"]
    assert limits["allowPrivilegeEscalation"] is False and limits["capabilities"] == {"drop": ["ALL"]}
    assert limits["readOnlyRootFilesystem"] is True


def check_restore(stateful_set: dict, claim: dict, restore: dict) -> None:
    """It sees what the gateway's pod sees, and as the same user, but for what only a gateway needs."""
    pod = stateful_set["template"]["spec"]
    (gateway,), (restoring,) = pod["containers"], restore["containers"]
    for key in ("image", "volumeMounts", "securityContext", "resources"):
        assert restoring[key] == gateway[key], f"restore.yaml has another {key}"
    assert restore["securityContext"] == pod["securityContext"]
    claims = {template["metadata"]["name"]: template for template in stateful_set["volumeClaimTemplates"]}
    assert claim["metadata"]["name"] == "data-tollgate-0" and claim["spec"] == claims["data"]["spec"]
    bound = [
        {"name": name, "persistentVolumeClaim": {"claimName": f"{name}-tollgate-0"}} for name in ("data", "backup")
    ]
    assert restore["volumes"] == bound + pod["volumes"]
    assert restoring["env"] == [{"name": "TOLLGATE_NODE", "value": "tollgate-0"}]


def check_names(name: str, service: dict, configuration: str) -> None:
    """The admin port answers to the names that a service gives to it, and whoever has signed in stays with one pod."""
    if "admin" not in {port["targetPort"] for port in service["ports"]}:
        return
    one_pod = service.get("clusterIP") == "None"
    first = f"${{TOLLGATE_NODE}}.{name}" if one_pod else name
    for known in (first + rest for rest in ("", ".tollgate", ".tollgate.svc", ".tollgate.svc.cluster.local")):
        assert f'"{known}"' in configuration, f"server.admin_hosts of tollgate.toml lacks {known}"
    assert one_pod or service.get("sessionAffinity") == "ClientIP", f"{name} spreads the dashboard's sessions over pods"


def check_built(folder: pathlib.Path, kustomization: dict, built: list[dict]) -> None:
    """What is applied is what is written, in its namespace and with its labels."""
    made = {(manifest["kind"], manifest["metadata"]["name"]): manifest for manifest in built}
    for written in read([folder / name for name in kustomization["resources"]]):
        kind, name = written["kind"], written["metadata"]["name"]
        applied = made.pop((kind, name))
        assert applied.get("spec") == written.get("spec"), f"kustomize changes {kind} {name}"
        assert kind == "Namespace" or applied["metadata"]["namespace"] == kustomization["namespace"]
        assert applied["metadata"]["labels"]["app.kubernetes.io/name"] == "tollgate"
    assert list(made) == [("ConfigMap", "tollgate")], f"applied and not written: {list(made)}"
    files = {name: (folder / name).read_text() for name in kustomization["configMapGenerator"][0]["files"]}
    assert made["ConfigMap", "tollgate"]["data"] == files


main(*map(pathlib.Path, sys.argv[1:]))
