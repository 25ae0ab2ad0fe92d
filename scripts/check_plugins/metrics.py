"""The metrics reporter by itself: servers, proxies and pages as people have them."""


def run(bench):
    pass
