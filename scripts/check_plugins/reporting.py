"""Metrics reporters in a hurry, what they scrape, and what the Pushgateway has of it."""

from bench import ask
from fake import Fake, answer

PLUGIN = "all_metrics_reporter.py"
PAGE = b"# HELP lmcache:g What it is.\n# TYPE lmcache:g gauge\nlmcache:g %d\n"
SECRET = "s3cret-of-this-check"


class Source(Fake):
    """An endpoint whose page is what it is set to, in bytes or as a function."""

    def __init__(self, page=PAGE % 1):
        super().__init__(lambda request: self.page(request) if callable(self.page) else answer("200 OK", self.page, "Content-Type: text/plain"))
        self.page = page


def reporter(bench, name, source, env=None, **settings):
    """Starts one that is in a hurry."""
    return bench.plugin(PLUGIN, {"url": source.url + "/metrics", "interval": 0.2, "timeout": 1, **settings}, name, env)


def group(servers, source):
    """What the Pushgateway has of a source."""
    return [line for line in ask(servers.url["pushgateway"] + "/metrics").split("\n") if f'endpoint="{source.address}"' in line and line.startswith("lmcache")]


def value(servers, source):
    return [line.split()[-1] for line in group(servers, source)]


def check_no_secret(bench, name):
    if SECRET in bench.tail(name):
        raise AssertionError(f"a secret is in {name}.log")
