#!/usr/bin/env python3
"""Field rules: what Kubernetes 1.36 answered to an accepted object with one thing changed, replayed against Kybern.

A file under rules/ holds objects that are accepted, and changes to each; the answers stand in the .json file beside it,
one for a change. Every request is a dry run, so that thousands of rules take seconds.

    rules.py record --url ... --token T [--only GLOB]     writes the answers of a reference server
    rules.py replay --url ... --token T [--only GLOB]     compares those of another server

Format, a list of:

    about: one line
    path: /api/v1/namespaces/$NS/pods          # the collection; $NS is the file's namespace
    needs:                                     # optional: objects made first, for real
    - {path: /api/v1/..., body: {...}}
    base: {...}                                # accepted as it is; names of cluster-scoped objects contain $NS
    create:                                    # changes to the base, each sent as a POST
    - {spec.replicas: -1}                      # path: value; `<absent>` takes a field away; list elements as [0]
    - {}                                       # the base itself: what was defaulted
    until: {status.phase: Bound}               # optional: what a controller makes of the stored base before it is updated
    then:                                      # optional: changes made to it for real before that, by view
    - {status: {status.replicas: 3}}
    update:                                    # changes to the stored base, each sent as a PUT
    - {spec.selector: {...}}
    status:                                    # the same to its status subresource
    - {status.replicas: -1}
    subresource: {resize: [...]}               # the same to any other subresource

A dot within a key is written ~1; <300*a> within a value or key stands for 300 times "a". An answer is the code with either what differs in the object from the answer to the
base (create) or from the stored base (update), or reason, details and causes; and the number of warnings.
"""
import argparse
import concurrent.futures
import copy
import fnmatch
import json
import pathlib
import re
import sys
import time

import run

HERE = pathlib.Path(__file__).resolve().parent
JSON = {"Content-Type": "application/json", "Accept": "application/json"}
VOLATILE = {"uid", "creationTimestamp", "resourceVersion", "managedFields"}


class Rules(run.Server):
    """A server that also says how many warnings an answer had."""

    def ask(self, method, path, body=None):
        c = self._connect(30)
        try:
            c.request(method, path, body=None if body is None else json.dumps(body), headers=JSON | {"Authorization": f"Bearer {self.token}"})
            r = c.getresponse()
            raw = r.read()
            try:
                document = json.loads(raw)
            except ValueError:
                document = {"kind": "Status", "reason": raw.decode("utf-8", "replace")[:80]}
            return r.status, document, len(r.headers.get_all("Warning") or [])
        finally:
            c.close()


def parts(path):
    return [int(p[1:-1]) if p.startswith("[") else p.replace("~1", ".") for p in re.findall(r"[^.\[\]]+|\[\d+\]", path)]


def changed(base, change):
    """The base with a change made to it."""
    document = copy.deepcopy(base)
    for path, value in change.items():
        *above, last = parts(path)
        at = document
        for step, following in zip(above, above[1:] + [last]):
            empty = [] if isinstance(following, int) else {}
            if isinstance(at, list):
                while len(at) <= step:
                    at.append(copy.deepcopy(empty))
                at = at[step]
            else:
                if at.get(step) is None:
                    at[step] = empty
                at = at[step]
        value = repeated(value)
        if value == "<absent>":
            if isinstance(at, list):
                del at[last]
            else:
                at.pop(last, None)
        elif isinstance(at, list) and last == len(at):
            at.append(value)
        else:
            at[last] = value
    return document


def repeated(value):
    """The value, with what is to stand there many times written out."""
    if isinstance(value, dict):
        return {repeated(key): repeated(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [repeated(inner) for inner in value]
    return re.sub(r"<(\d+)\*([^>]*)>", lambda m: m[2] * int(m[1]), value) if isinstance(value, str) else value


def flat(value, path=""):
    """Leaves of an object by path, volatile metadata left out."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            if not (path == "metadata" and key in VOLATILE):
                yield from flat(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value:
        for i, inner in enumerate(value):
            yield from flat(inner, f"{path}[{i}]")
    else:
        yield path, value


def answer(status, document, warnings, base, ns):
    """What of an answer is compared."""
    document = run.normal(document, ns)
    out = {"code": status}
    if warnings:
        out["warnings"] = warnings
    if isinstance(document, dict) and document.get("kind") == "Status" and status >= 400:
        details = dict(document.get("details") or {})
        causes = details.pop("causes", None)
        out["reason"] = document.get("reason")
        if details:
            out["details"] = details
        if causes:
            out["causes"] = [" ".join(filter(None, (c.get("reason"), c.get("field")))) for c in causes]
    else:
        now, before = dict(flat(document)), dict(flat(run.normal(base, ns)) if base else ())
        out["object"] = {p: v for p, v in sorted(now.items()) if p not in before or before[p] != v}
        if gone := sorted(p for p in before if p not in now):
            out["gone"] = gone
    return out


def answers(server, entries):
    """All answers of one file, entry by entry."""
    ns = "rule-" + "".join(run.random.choice("bcdfghjklmnpqrstvwxz") for _ in range(9))
    server.ask("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ns}})
    server.ask("POST", f"/api/v1/namespaces/{ns}/serviceaccounts", {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}})
    out, made = [], []
    try:
        for entry in run.fill(entries, {"NS": ns}):
            out.append(entry_answers(server, entry, ns, made))
    finally:
        for path in reversed(made):
            server.ask("DELETE", path)
        server.ask("DELETE", f"/api/v1/namespaces/{ns}")
    return out


def entry_answers(server, entry, ns, made):
    path, base, out = entry["path"], entry["base"], {}
    for need in entry.get("needs", []):
        code, document, _ = server.ask("POST", need["path"], need["body"])
        if code >= 300:
            raise RuntimeError(f"{need['path']}: {code} {document.get('message')}")
        made.append(f"{need['path']}/{document['metadata']['name']}")
    deadline = time.time() + 15
    while True:  # a definition that is needed takes a moment until it is served
        code, accepted, _ = server.ask("POST", f"{path}?dryRun=All", base)
        if code != 404 or time.time() > deadline:
            break
        time.sleep(0.1)
    if code != 201:
        raise RuntimeError(f"{path}: the base is refused: {code} {accepted.get('message')}")
    out["create"] = [
        answer(*server.ask("POST", f"{path}?dryRun=All", changed(base, change)), accepted if change else None, ns)
        for change in entry.get("create", [])
    ]
    updates = {"update": entry.get("update", []), "status": entry.get("status", []), **entry.get("subresource", {})}
    if any(updates.values()):
        code, stored, _ = server.ask("POST", path, base)
        if code != 201:
            raise RuntimeError(f"{path}: the base cannot be stored: {code} {stored.get('message')}")
        place = f"{path}/{stored['metadata']['name']}"
        made.append(place)
        settle(server, place, entry)
        for view, changes in updates.items():
            out[view] = []
            for change in changes:
                stored, answered = put(server, place, view, change)
                out[view].append(answer(*answered, stored, ns))
    return out


def settle(server, place, entry):
    """Waits until the stored base is what it is to be, and makes it that."""
    for _ in range(300):
        found = dict(flat(server.ask("GET", place)[1]))
        if all(found.get(path) == value for path, value in entry.get("until", {}).items()):
            break
        time.sleep(0.1)
    for step in entry.get("then", []):
        for view, change in step.items():
            _, (code, document, _) = put(server, place, view, change, query="")
            if code >= 300:
                raise RuntimeError(f"{place}: {view} is refused: {code} {document.get('message')}")


def put(server, place, view, change, query="?dryRun=All"):
    """What is stored, and the answer to an update of it; a controller may write in between."""
    at = place if view == "update" else f"{place}/{view}"
    for _ in range(10):
        _, stored, _ = server.ask("GET", place)
        answered = server.ask("PUT", f"{at}{query}", changed(stored, change))
        if answered[0] != 409 or "metadata.resourceVersion" in change:
            break
    return stored, answered


def differences(entries, want, got):
    """One line for each change that was answered otherwise."""
    for entry, expected, found in zip(entries, want, got, strict=True):
        for view in expected:
            changes = entry.get(view) or entry.get("subresource", {}).get(view) or []
            for change, a, b in zip(changes, expected[view], found[view], strict=True):
                if lines := run.diff(a, b):
                    yield f"{entry['about']}: {view} {json.dumps(change)[:300]}: " + "; ".join(lines)


def load(only):
    import yaml

    for file in sorted((HERE / "rules").rglob("*.yaml")):
        name = str(file.relative_to(HERE / "rules"))[:-5]
        if fnmatch.fnmatch(name, only):
            yield name, yaml.safe_load(file.read_text())


def count(entries):
    return sum(len(c) for e in entries for c in [e.get("create", []), e.get("update", []), e.get("status", []), *e.get("subresource", {}).values()])


def replay(server, only="*", jobs=8):
    """Replays all files; returns the number of rules that hold, and a line for each that does not."""
    files = dict(load(only))

    def one(item):
        name, entries = item
        want = json.loads((HERE / "rules" / f"{name}.json").read_text())
        try:
            return name, list(differences(entries, want, answers(server, entries)))
        except Exception as error:  # a broken connection fails the file, not the run
            return name, [f"{type(error).__name__}: {error}"]

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        failures = [f"{name}: {line}" for name, lines in pool.map(one, files.items()) for line in lines]
    return sum(map(count, files.values())) - len(failures), failures


def record(server, only):
    for name, entries in load(only):
        text = json.dumps(answers(server, entries), indent=1, sort_keys=True)
        (HERE / "rules" / f"{name}.json").write_text(text + "\n")
        print(f"{name}: {count(entries)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=["record", "replay"])
    parser.add_argument("--url", required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--only", default="*", help="glob over file names")
    options = parser.parse_args()
    server = Rules(options.url, options.token)
    if options.mode == "record":
        return record(server, options.only)
    held, failures = replay(server, options.only)
    print("\n".join(failures))
    print(f"{held} passed, {len(failures)} failed")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
