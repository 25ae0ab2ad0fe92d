"""Stands for an LMCache worker, in a process of its own: its real configuration, metrics and
internal API server, without torch and a GPU.

usage: engine.py CONFIG_FILE WORKER_ID [ROLE...]

With both roles, worker and scheduler, it is as vLLM has them on one GPU: two managers in a process.
It writes the configuration that its plugins get to config.json. SIGUSR1 makes it take 300 MiB,
SIGUSR2 give them back.
"""

import mmap
import os
import signal
import sys
from unittest import mock


def main(config_file, worker_id, roles):
    import lmcache

    for name in ("torch", "torch.cuda", "torch.distributed", "torch.nn", "torch.version"):
        sys.modules[name] = mock.MagicMock()
    lmcache.device_ops = mock.MagicMock()
    from lmcache import observability
    from lmcache.v1.config import LMCacheEngineConfig
    from lmcache.v1.internal_api_server import api_registry
    from lmcache.v1.internal_api_server.common import metrics_api

    # The server's other routes would import the whole engine.
    api_registry.APIRegistry.register_all_apis = lambda self: self.app.include_router(metrics_api.router)
    from lmcache.v1.internal_api_server.api_server import InternalAPIServer

    config = LMCacheEngineConfig.from_file(config_file)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = os.path.abspath("multiprocess")  # else LMCache makes one in /tmp
    monitor = observability.LMCStatsMonitor.GetOrCreate()
    for requests, role in enumerate(roles, 1):
        metadata = mock.MagicMock(model_name="model", worker_id=worker_id, role=role, served_model_name=None)
        for _ in range(requests):
            monitor.on_retrieve_request(1000)
        observability.PrometheusLogger.GetOrCreate(metadata).log_prometheus(monitor.get_stats_and_clear())
        manager = mock.MagicMock(config=config)
        manager.lmcache_engine = mock.MagicMock(config=config, metadata=metadata) if role == "worker" else None
        InternalAPIServer(manager).start()
    memory = []

    def take(*_):
        memory.append(mmap.mmap(-1, 300 << 20))
        memory[0].write(b"x" * (300 << 20))

    signal.signal(signal.SIGUSR1, take)
    signal.signal(signal.SIGUSR2, lambda *_: memory.pop().close())
    with open("config.json.new", "w") as file:
        file.write(config.to_json())
    os.rename("config.json.new", "config.json")
    while True:
        signal.pause()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:] or ["worker"])
