"""The process alert by itself: servers, proxies and processes as people have them."""


def run(bench):
    pass
