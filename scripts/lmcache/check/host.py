"""An LMCache host: configuration and launcher, started and stopped as its manager does.

    host.py original|drop-in [--handle-term] [--fork | --spawn]

Writes `ready` to standard output once the plugins are launched, then takes one command
a line on standard input: stop, stop-late-exit, exit, raise, fork-exit, count.
"""

from concurrent.futures import ThreadPoolExecutor
import importlib
import multiprocessing
import os
import signal
import sys
import threading
import time

from lmcache.v1.config import load_engine_config_with_overrides

MANAGER_TIMEOUT_SECONDS = 10.0


def linger() -> None:
    """A worker that outlives its host: it ends when it is killed."""
    # The pipe from the test must not keep it company.
    os.close(0)
    while True:
        signal.pause()


def raise_system_exit(signum, frame) -> None:
    """What vLLM's engine core does on SIGTERM."""
    raise SystemExit(0)


def main(arguments: list[str]) -> None:
    """Launch, say so, and do as told."""
    if arguments[0] == "drop-in":
        module = importlib.import_module("classes").drop_in
    else:
        # As installed: LMCache's own, or what has taken its place.
        name = "lmcache.v1.plugin.runtime_plugin_launcher"
        module = importlib.import_module(name)

    if "--handle-term" in arguments:
        signal.signal(signal.SIGTERM, raise_system_exit)
    config = load_engine_config_with_overrides()
    launcher = module.RuntimePluginLauncher(config, "WORKER", 2, 0)
    # From a thread that ends: a launcher bound to the thread would end with it.
    thread = threading.Thread(target=launcher.launch_plugins)
    thread.start()
    thread.join()

    workers = []
    for method in ("fork", "spawn"):
        if f"--{method}" in arguments:
            context = multiprocessing.get_context(method)
            workers = [context.Process(target=linger) for _ in range(2)]
            for worker in workers:
                worker.start()
    print("ready", *(worker.pid for worker in workers), flush=True)

    for line in sys.stdin:
        match line.strip():
            case "stop":
                stop_services(launcher)
                return
            case "stop-late-exit":
                launcher.stop_plugins()
                time.sleep(1)
                return
            case "exit":
                return
            case "raise":
                raise RuntimeError("the host fails")
            case "count":
                print(len(launcher.plugin_processes), flush=True)
            case "fork-exit":
                child = os.fork()
                if child == 0:
                    # Runs the atexit handlers that it inherited.
                    sys.exit(0)
                os.waitpid(child, 0)
                print("forked", flush=True)


def stop_services(launcher) -> None:
    """LMCacheManager.stop_services, as far as it concerns the launcher."""
    with ThreadPoolExecutor(max_workers=1) as executor:
        executor.submit(launcher.stop_plugins).result(MANAGER_TIMEOUT_SECONDS)
    # The manager closes its servers and its engine next; meanwhile output is read.
    for process in launcher.plugin_processes:
        process.wait(MANAGER_TIMEOUT_SECONDS)
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            thread.join(MANAGER_TIMEOUT_SECONDS)


if __name__ == "__main__":
    main(sys.argv[1:])
