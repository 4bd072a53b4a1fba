"""Which TensorRT names our code uses, and whether bindings have them.

Imported by the test, it reads the code. Run as a script by ``api_surface.sh`` it gets those uses as
JSON and prints, as JSON, what the real bindings lack.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path

#: Variables of our modules and the classes of what they hold.
HOLDERS = {
    "builder": "Builder",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "config": "IBuilderConfig",
    "shapes": "IOptimizationProfile",
    "runtime": "Runtime",
    "engine": "ICudaEngine",
    "_engine": "ICudaEngine",
    "context": "IExecutionContext",
    "inspector": "EngineInspector",
    "cache": "ITimingCache",
}
#: In these files ``cache`` is our own folder of engines.
_OWN_CACHE = ("backend.py",)


def uses(path: Path) -> list[dict]:
    """Uses of the bindings in a file: names, calls with their arguments, overridden methods."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    inner = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            chain = _chain(node)
            call = calls.get(id(node))
            if chain and chain[0] == "trt" and id(node) not in inner:
                found.append(_use(chain[1:], call))
            elif chain and len(chain) > 1 and chain[-2] in HOLDERS and id(node) not in inner:
                if chain[-2] == "cache" and path.name in _OWN_CACHE:
                    continue
                found.append(_use([HOLDERS[chain[-2]], chain[-1]], call))
        if isinstance(node, ast.ClassDef):
            for base in node.bases:
                chain = _chain(base)
                if chain and chain[0] == "trt":
                    found += [
                        {"name": [chain[1], f.name], "overrides": [a.arg for a in f.args.args[1:]]}
                        for f in node.body
                        if isinstance(f, ast.FunctionDef) and not f.name.startswith("_")
                    ]
    return [use for use in found if not use["name"][-1].startswith("__")]


def _use(name: list[str], call: ast.Call | None) -> dict:
    use: dict = {"name": name}
    if call is not None and not any(isinstance(a, ast.Starred) for a in call.args):
        use["positional"] = len(call.args)
        use["keywords"] = [k.arg for k in call.keywords if k.arg]
    return use


def _chain(node: ast.expr) -> list[str]:
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    return [node.id, *names] if isinstance(node, ast.Name) else []


def problem(module, use: dict) -> str | None:
    """What is wrong with a use, by the bindings; None if nothing is."""
    target, name = module, ".".join(use["name"])
    for part in use["name"]:
        if not hasattr(target, part):
            return f"{name}: no such name"
        target = getattr(target, part)
    described = target.__init__.__doc__ if isinstance(target, type) else target.__doc__
    signatures = _signatures(described or "", use["name"][-1])
    if "overrides" in use:
        if signatures and use["overrides"] not in [list(s) for s in signatures]:
            return f"{name}: overridden with {use['overrides']}, expected {signatures}"
        return None
    if "positional" not in use or not signatures:
        return None
    if not any(_fits(signature, use) for signature in signatures):
        return f"{name}: called with {use['positional']} + {use['keywords']}, has {signatures}"
    return None


def _fits(signature: dict[str, bool], use: dict) -> bool:
    names = list(signature)
    given = {*names[: use["positional"]], *use["keywords"]}
    required = {name for name, optional in signature.items() if not optional}
    return use["positional"] <= len(names) and required <= given <= set(names)


def _signatures(text: str, name: str) -> list[dict[str, bool]]:
    """Parameters of each overload in a pybind11 docstring: name -> has a default."""
    found = []
    for line in text.splitlines():
        match = re.match(rf"(?:\d+\. )?(?:{re.escape(name)}|__init__)\((.*)\) -> ", line.strip())
        if match is None or "*args" in match[1]:
            continue
        parameters = re.split(r", (?=\w+:)", match[1])
        if parameters and parameters[0].startswith("self"):
            parameters = parameters[1:]
        found.append({p.split(":")[0]: " = " in p for p in parameters if p})
    return found


def main() -> None:
    """Check the uses on standard input."""
    import tensorrt_bindings as trt

    given = json.load(sys.stdin)
    problems = [text for use in given if (text := problem(trt, use))]
    checked = sum("positional" in use for use in given)
    json.dump({"version": trt.__version__, "problems": problems, "calls": checked}, sys.stdout)


if __name__ == "__main__":
    main()
