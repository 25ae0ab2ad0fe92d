"""The examples: what they say, and what they make of wrong settings."""


def run(bench):
    pass
