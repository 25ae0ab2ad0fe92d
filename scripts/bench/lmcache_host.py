"""Runs LMCache's own launcher on these locations until every plugin has ended and its output was logged."""
import sys
import threading

from lmcache.v1.config import LMCacheEngineConfig
from lmcache.v1.plugin.runtime_plugin_launcher import RuntimePluginLauncher

config = LMCacheEngineConfig.from_defaults(runtime_plugin_locations=sys.argv[1:])
RuntimePluginLauncher(config, "WORKER", 1, 0).launch_plugins()
for thread in threading.enumerate():
    if thread is not threading.main_thread():
        thread.join()
