"""The log reporter by itself: servers, proxies, files and rotations as people have them."""


def run(bench):
    pass
