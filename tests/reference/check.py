#!/usr/bin/env python3
"""Replays the reference cases against Kybern, on the embedded store or on etcd, and compares what passes with
passing.txt: a case that is listed there and fails is a failure; one that passes without being listed is reported.
Then the field rules (rules.py), all of which must hold.

    check.py [--store embedded|etcd] [--bin target/debug] [--only GLOB] [--jobs N] [--update]

run.py is the reference's own and stays as it is; this starts the server and keeps the list.
"""
import argparse
import concurrent.futures
import json
import pathlib
import sys

import rules
import run

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "python"))
import stack  # noqa: E402  (it stands beside the Python suites)


def difference(server, name, case):
    """None where the case passes; otherwise the first thing that differs."""
    want = json.loads((HERE / "expected" / (name + ".json")).read_text())
    try:
        got = run.run_case(server, name, case)
    except Exception as error:  # a broken connection or a malformed answer fails the case, not the run
        return f"{type(error).__name__}: {error}"
    for number, (expected, answer) in enumerate(zip(want, got, strict=True)):
        if found := run.diff(expected, answer):
            return f"step {number}: {found[0]}"
    return None


def replay(server, cases, jobs):
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        return dict(zip(sorted(cases), pool.map(lambda name: difference(server, name, cases[name]), sorted(cases))))


def report(results):
    groups = {}
    for name, failure in results.items():
        group = groups.setdefault(name.split("/")[0], [0, 0])
        group[0] += failure is None
        group[1] += 1
    for name, (passed, total) in sorted(groups.items()):
        print(f"{name}: {passed} of {total}")
    print(f"all: {sum(p for p, _ in groups.values())} of {len(results)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", choices=["embedded", "etcd"], default="embedded")
    parser.add_argument("--bin", type=pathlib.Path, default=stack.BINARIES)
    parser.add_argument("--only", default="*", help="glob over case names")
    parser.add_argument("--jobs", type=int, default=48, help="cases at once; most of them wait")
    parser.add_argument("--update", action="store_true", help="write what passes to passing.txt")
    parser.add_argument("--failures", action="store_true", help="also print the failures that passing.txt does not rule out")
    options = parser.parse_args()

    cases = run.load(str(HERE), options.only)
    listing = HERE / "passing.txt"
    listed = set(listing.read_text().split()) if listing.exists() else set()
    with stack.Stack(options.store, options.bin) as kybern:
        server = run.Server(kybern.url, stack.TOKEN)
        results = replay(server, cases, options.jobs)
        # What depends on time gets a second chance, alone.
        again = {name: cases[name] for name, failure in results.items() if failure and name in listed}
        results.update(replay(server, again, 1))
        held, fallen = rules.replay(rules.Rules(kybern.url, stack.TOKEN), options.only)
        ended = kybern.server.poll()
        log = kybern.log.read_text()

    broken = {name: failure for name, failure in results.items() if failure and name in listed}
    fresh = sorted(name for name, failure in results.items() if not failure and name not in listed)
    if options.failures:
        for name, failure in results.items():
            if failure and name not in listed:
                print(f"not passing: {name}: {failure}")
    for name in fresh:
        print(f"now passes: add it to passing.txt: {name}")
    for name, failure in broken.items():
        print(f"FAIL {name}: {failure}")
    if ended is not None or "panicked at" in log:
        print(f"FAIL the server: ended with {ended}\n{log[-4000:]}")
    for line in fallen:
        print(f"FAIL {line}")
    report(results)
    print(f"field rules: {held} of {held + len(fallen)}")
    if options.update:
        passing = (listed - set(cases)) | {name for name, failure in results.items() if not failure}
        listing.write_text("".join(f"{name}\n" for name in sorted(passing)))
    failed = len(broken) + len(fallen) + (ended is not None or "panicked at" in log)
    print(f"reference on {options.store}: {len(listed & set(cases)) - len(broken) + held} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
