"""What no schema says: names that have to agree between files, Groovy's syntax, scripts inside of YAML.

contents.py DEPLOY WORK looks through the folder DEPLOY; scripts and GitLab's two documents go to WORK as files, for other tools.
"""

import pathlib
import re
import sys
import textwrap

import tree_sitter_groovy
import yaml
from tree_sitter import Language, Parser

HOOKS = {
    "confirm-rollout", "pre-rollout", "rollout", "confirm-traffic-increase", "confirm-promotion", "rollback", "post-rollout", "event",
}
wrong = []


def expect(holds, text):
    if not holds:
        wrong.append(text)


def load(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def argo(folder):
    template = load(folder / "analysis-template.yaml")["spec"]
    expect(template == load(folder / "cluster-analysis-template.yaml")["spec"], "argo: the two templates differ")
    for name in ("analysis-template.yaml", "kayenta-analysis-template.yaml"):
        spec = load(folder / name)["spec"]
        used = set(re.findall(r"\{\{\s*args\.([\w-]+)\s*\}\}", yaml.safe_dump(spec["metrics"])))
        declared = {arg["name"] for arg in spec["args"]}
        expect(used == declared, f"argo/{name}: args {declared}, of which {used} are used")
        for metric in spec["metrics"]:
            expect(metric["count"] == metric["inconclusiveLimit"], f"argo/{name}: count is not inconclusiveLimit")
    asked = {arg["name"] for arg in template["args"] if "value" not in arg}
    canary = load(folder / "rollout-example.yaml")["spec"]["strategy"]["canary"]
    for analysis in [canary["analysis"], *(step["analysis"] for step in canary["steps"] if "analysis" in step)]:
        given = {arg["name"] for arg in analysis["args"]}
        expect(given == asked, f"argo/rollout-example.yaml: gives {given} where {asked} are asked for")


def flagger(folder):
    template = load(folder / "metric-template.yaml")
    analysis = load(folder / "canary-example.yaml")["spec"]["analysis"]
    asked = set(re.findall(r"\{\{\s*variables\.(\w+)\s*\}\}", template["spec"]["query"]))
    for metric in analysis["metrics"]:
        named = {key: template["metadata"][key] for key in ("name", "namespace")}
        expect(metric["templateRef"] == named, "flagger: the canary asks for another metric template")
        given = set(metric["templateVariables"])
        expect(given == asked, f"flagger: gives {given} where {asked} are asked for")
    hooks = analysis["webhooks"]
    expect({hook["type"] for hook in hooks} == HOOKS, "flagger: not all types of webhooks")
    for hook in hooks:
        expect(hook["url"].endswith("/integrations/flagger/" + hook["type"]), f"flagger: {hook['url']} is not of {hook['type']}")
        expect(set(hook["metadata"]) == {"service", "environment", "baseline", "canary"}, f"flagger: metadata of {hook['type']}")


def action(folder):
    document = load(folder / "action.yml")
    step = document["runs"]["steps"][0]
    expect("${{" not in step["run"], "github-action: an input is written into the script")
    used = set(re.findall(r"inputs\.([\w-]+)", yaml.safe_dump(step["env"])))
    expect(used == set(document["inputs"]), "github-action: inputs and env differ")
    script = (folder / "gate.sh").read_text(encoding="utf-8")
    for name in step["env"]:
        # GH_TOKEN is for gh.
        expect(name in script or name == "GH_TOKEN", f"github-action: gate.sh does not read {name}")
    written = set(re.findall(r"\boutput ([\w-]+)", script))
    expect(written == set(document["outputs"]), f"github-action: outputs {written} are written")


def scripts(deploy, work):
    header, jobs = (deploy / "gitlab/haldane-gate.yml").read_text(encoding="utf-8").split("\n---\n")
    (work / "gitlab-spec.yml").write_text(header, encoding="utf-8")
    (work / "gitlab-jobs.yml").write_text(jobs, encoding="utf-8")
    used = set(re.findall(r"\$\[\[ inputs\.([\w-]+) \]\]", jobs))
    expect(used == set(yaml.safe_load(header)["spec"]["inputs"]), "gitlab: inputs and their use differ")
    (job,) = yaml.safe_load(jobs).values()
    found = {"gitlab": "\n".join(job["script"])}
    expect("$[[" not in found["gitlab"], "gitlab: an input is written into the script")

    orb = load(deploy / "circleci/orb.yml")
    run = orb["commands"]["gate"]["steps"][0]["run"]
    expect("<<" not in run["command"], "circleci: a parameter is written into the script")
    found["circleci"] = run["command"]

    groovy = (deploy / "jenkins/vars/haldaneGate.groovy").read_text(encoding="utf-8")
    tree = Parser(Language(tree_sitter_groovy.language())).parse(groovy.encode())
    expect(not tree.root_node.has_error, "jenkins: haldaneGate.groovy is no Groovy")
    (inner,) = re.findall(r"'''(.*?)'''", groovy, re.DOTALL)
    found["jenkins"] = textwrap.dedent(inner).replace("\\\\", "\\")
    for name, text in found.items():
        (work / f"{name}.sh").write_text("#!/bin/sh\n" + text.lstrip("\n"), encoding="utf-8")


def compose(deploy):
    project = load(deploy / "compose.yaml")
    services, volumes, made = project["services"], set(project["volumes"]), set()
    for name, service in services.items():
        confined = service.get("read_only") and service.get("cap_drop") == ["ALL"] and "no-new-privileges:true" in service.get("security_opt", [])
        expect(confined and service["user"].split(":")[0].strip("0"), f"compose.yaml: {name} is not confined")
        expect(re.search(r":[\w.-]+\}?$", service["image"]) and "latest" not in service["image"], f"compose.yaml: the image of {name} has no version")
        for port in service.get("ports", []):
            expect(port.startswith("127.0.0.1:"), f"compose.yaml: {name} listens for other machines at {port}")
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                expect((deploy / source).exists(), f"compose.yaml: {name} mounts {source}, which is not there")
                expect(":ro" in volume, f"compose.yaml: {name} may write to {source}")
            else:
                made.add(source)
    expect(made == volumes, f"compose.yaml: the volumes {made} are used")

    exposed = re.search(r"^EXPOSE (.*)$", (deploy / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)[1].split()
    published = [port.split(":")[2] for port in services["haldane"]["ports"]]
    expect(published == exposed, f"compose.yaml: publishes {published} of {exposed}")

    setup = (deploy / "compose/setup.sh").read_text(encoding="utf-8")
    kept = {"haldane.toml", "grafana-password", *(name + "-token" for name in re.findall(r"^ +token (\w+) \w+$", setup, re.MULTILINE))}
    for file in ("compose.yaml", "compose/prometheus.yml", "compose/datasources.yaml"):
        asked = set(re.findall(r"/secrets/([\w.-]+)", (deploy / file).read_text(encoding="utf-8")))
        expect(asked and asked <= kept, f"{file}: asks for {asked}, of which setup.sh makes {asked & kept}")

    ours, theirs = (load(path)["datasources"] for path in (deploy / "compose/datasources.yaml", deploy.parent / "dashboards/provisioning/datasources/haldane.yaml"))
    for source in (*ours, *theirs):
        source.pop("url")
        source.pop("secureJsonData", None)
    expect(ours == theirs, "compose/datasources.yaml: differs from dashboards/provisioning in more than addresses and the password")


def main(deploy, work):
    argo(deploy / "argo")
    flagger(deploy / "flagger")
    action(deploy / "github-action")
    scripts(deploy, work)
    compose(deploy)
    for text in wrong:
        print(text, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])))
