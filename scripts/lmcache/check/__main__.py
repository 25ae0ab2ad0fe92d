"""See scripts/check-lmcache."""

from pathlib import Path
import argparse
import fcntl
import logging
import os
import signal
import socket
import struct
import sys
import time

# LMCache says at import that it has no torch, which is known here.
os.environ.setdefault("LMCACHE_LOG_LEVEL", "ERROR")
sys.path.insert(0, str(Path(__file__).parent))

import cases  # noqa: E402
import cost  # noqa: E402
import death  # noqa: E402
import differences  # noqa: E402
import instructions  # noqa: E402
import parity  # noqa: E402
import program  # noqa: E402
import resolution  # noqa: E402
import server  # noqa: E402
import together  # noqa: E402
import upstream  # noqa: E402

TREES = 400
TREES_QUICK = 60


def main() -> int:
    """Run every part, or those named, and return the exit status."""
    readme = Path(__file__).resolve().parents[3] / "README.md"
    parser = argparse.ArgumentParser(prog="check-lmcache")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--readme", type=Path, default=readme)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("part", nargs="*")
    arguments = parser.parse_args()
    quick, seed = arguments.quick, arguments.seed
    # Ignored where a shell has started us in its background; hosts end by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Hosts log as they do in production, and the checks read it.
    os.environ["LMCACHE_LOG_LEVEL"] = "INFO"
    logging.disable(logging.CRITICAL)

    table = arguments.readme.parent / "scripts" / "lmcache" / "README.md"
    rows = differences.rows_of_readme(table)
    count = TREES_QUICK if quick else TREES
    parts = {
        "parity": lambda: parity.compare(count, seed, rows),
        "resolution": lambda: resolution.check(10 * count, seed, rows),
        "cases": cases.check,
        "instructions": lambda: instructions.check(arguments.readme, quick),
        "death": lambda: death.check(quick),
        "program": program.check,
        "together": lambda: together.check(quick),
        "cost": lambda: cost.check(quick),
    }
    if not quick:
        raise_loopback()
        parts["server"] = server.check
        parts["upstream"] = upstream.check
    good = True
    for title in arguments.part or parts:
        begin = time.monotonic()
        print(f"--- {title}", flush=True)
        if not parts[title]():
            print(f"check-lmcache: {title} FAILED")
            good = False
        print(f"--- {title}: {time.monotonic() - begin:.1f} s", flush=True)
    print("check-lmcache: " + ("all shown" if good else "FAILED"))
    return 0 if good else 1


def raise_loopback() -> None:
    """A new network's own interface is down."""
    set_flags = 0x8914
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, set_flags, struct.pack("16sh14x", b"lo", 1))


if __name__ == "__main__":
    sys.exit(main())
