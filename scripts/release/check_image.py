"""Says whether an image in OCI layout is what it must be.

usage: check_image.py LAYOUT DISTRIB

For each architecture there is one image: it holds the binary of dist's directory and nothing else,
is labelled, and starts the binary.
"""

import gzip
import io
import json
import pathlib
import sys
import tarfile

NAME = "lmcache-plugin-launcher"
ARCHITECTURES = {"amd64": "x86_64-unknown-linux-musl", "arm64": "aarch64-unknown-linux-musl"}
LABELS = {"title", "description", "source", "licenses", "version", "revision"}


def blob(layout, descriptor):
    return (layout / "blobs" / descriptor["digest"].replace(":", "/")).read_bytes()


def fault(layout, descriptor, distrib):
    """What is wrong with one image, or nothing."""
    manifest = json.loads(blob(layout, descriptor))
    config = json.loads(blob(layout, manifest["config"]))
    architecture = descriptor["platform"]["architecture"]
    if config["architecture"] != architecture:
        return f"made for {config['architecture']}"
    if config["config"]["Entrypoint"] != [f"/{NAME}"]:
        return f"starts {config['config']['Entrypoint']}"
    labels = {name.removeprefix("org.opencontainers.image.") for name in config["config"]["Labels"]}
    if not LABELS <= labels:
        return f"lacks labels: {LABELS - labels}"
    files = {}
    for layer in manifest["layers"]:
        data = blob(layout, layer)
        data = gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            files |= {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}
    built = distrib / f"{NAME}-{ARCHITECTURES[architecture]}" / NAME
    if files != {NAME: built.read_bytes()}:
        return f"holds {sorted(files)}, or another binary than was built"
    return None


def main():
    layout, distrib = map(pathlib.Path, sys.argv[1:])
    index = json.loads((layout / "index.json").read_text())["manifests"][0]
    images = json.loads(blob(layout, index))["manifests"]
    found = sorted(image["platform"]["architecture"] for image in images)
    if found != sorted(ARCHITECTURES):
        print(f"the index has {found}", file=sys.stderr)
        return 1
    faults = [f"{image['platform']['architecture']}: {wrong}" for image in images if (wrong := fault(layout, image, distrib))]
    for line in faults:
        print(line, file=sys.stderr)
    return 1 if faults else 0


sys.exit(main())
