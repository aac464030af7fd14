"""What a person can choose from: backends and models."""

from __future__ import annotations

import os

import click

from .printing import print_table


@click.command(short_help="List backends, and what the unusable ones need.")
@click.option("--python", metavar="[BACKEND=|LABEL=]PATH", multiple=True, help="Ask this interpreter.")
def backends(python: tuple[str, ...]) -> int:
    """List the backends, and what those need that cannot be used here, or not for every model."""
    from ..sessions import prober
    from ..sessions.interpreters import environments, listing
    from ..sessions.lines import sentence

    rows = [
        (
            name,
            found.short,
            "yes" if found.usable else "no",
            found.version or "–",
            sentence(found.reason or found.warning, found.fix),
        )
        for name, found in listing(environments(python), prober.probe)
    ]
    return print_table(("backend", "short", "usable", "version", "what is wrong, and what to do"), rows)


@click.command(short_help="List models by name, and model files here.")
def models() -> int:
    """List the models that infertop knows by name, and the model files below this directory."""
    from ..backends import models as known

    rows = [(info.name, "x".join(map(str, info.shape)), info.summary) for info in known.listing()]
    kinds = {".onnx": "ONNX file here", ".pt2": "exported program of torch's here"}
    rows += [
        (path, "", kinds[os.path.splitext(path)[1].lower()]) for path in known.files_near(os.getcwd())[:50]
    ]
    rows += [
        ("torchvision:NAME", "", "any classification model of torchvision, random weights"),
        ("FILE.onnx, DIRECTORY", "", "an ONNX file, or a directory that holds one"),
        ("FILE.pt2", "", "a program that torch.export.save wrote"),
        ("FILE.plan, FILE.engine", "", "a TensorRT engine of your own, with --trust-engine"),
        ("DIRECTORY", "", "of transformers: config.json and safetensors"),
        (
            "package.module:factory",
            "",
            "a function without arguments that returns a torch Module, or (Module, example inputs)",
        ),
    ]
    return print_table(("model", "sample", "what it is"), rows)
