"""The heartbeat by itself: services, proxies and tools as people have them."""


def run(bench):
    pass
