"""Makes JSON schemas for kubeconform out of custom resource definitions: crd_schemas.py FOLDER CRD.yaml..."""

import json
import pathlib
import sys

import yaml


def strict(schema):
    """The schema, refusing properties that it does not name, as the API server's strict field validation does."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    made = {key: strict(value) for key, value in schema.items() if key != "description"}
    open_ended = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if isinstance(schema.get("properties"), dict) and not open_ended:
        made["additionalProperties"] = False
    return made


def main(folder, crds):
    for crd in crds:
        for document in yaml.safe_load_all(pathlib.Path(crd).read_text(encoding="utf-8")):
            if not document or document.get("kind") != "CustomResourceDefinition":
                continue
            spec = document["spec"]
            for version in spec["versions"]:
                schema = strict(version["schema"]["openAPIV3Schema"])
                # The definitions leave these open; they are those of any object.
                schema["properties"]["metadata"] = {"type": "object", "required": ["name"]}
                name = "_".join([spec["names"]["kind"], spec["group"], version["name"]]).lower()
                (folder / f"{name}.json").write_text(json.dumps(schema), encoding="utf-8")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), sys.argv[2:])
