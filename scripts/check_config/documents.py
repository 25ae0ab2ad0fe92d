"""The documents that are compared: the same ones for the same seed."""

import json
import random

REALISTIC = {
    "cpu": """\
# Offloading to CPU memory
chunk_size: 256
local_cpu: True
max_local_cpu_size: 5.0
""",
    "disk": """\
chunk_size: 256
local_cpu: true
max_local_cpu_size: 5
local_disk: "file:///var/lib/lmcache/disk/"
max_local_disk_size: 100.0   # GiB
extra_config: {'use_odirect': True}
""",
    "remote": """\
chunk_size: 512
local_device: "cpu"
remote_url: "redis://cache.example.com:6379"
remote_serde: "naive"
pipelined_backend: False
save_decode_cache: no
enable_blending: off
blend_recompute_ratio: 0.15
blend_min_tokens: 2_56
blend_special_str: " # # "
error_handling: ~
""",
    "controller": """\
enable_controller: True
lmcache_instance_id: "lmcache_default_instance"
controller_url: "localhost:9001"
lmcache_worker_port: 8001
distributed_url: "localhost:8002"
enable_p2p: null
retry_locations:
    - "LocalDiskBackend"
    - "RemoteBackend"
timeouts: [1, 1.5, .5, 1.5e+3, 0x10, 010, 1:30]
""",
    "plugins": """\
chunk_size: 256
local_cpu: False
runtime_plugin_locations: ["scripts/", "/opt/lmcache/plugins/"]
extra_config:
  plugin.frontend.port: 8080
  heartbeat:
    url: http://monitor.example.com/api/v1/heartbeat?cluster=a&node=1
    interval: 30
    labels: {rack: r1, zone: "eu-1", slots: [0, 1, 2]}
  alert: >-
    Cache usage is above 90%:
    see the dashboard.

    Then call: +49 30 1234
  script: |
    #!/bin/sh
    echo "usage: $1"

    exit 0
""",
    "indentless": """\
plugin_locations:
- /opt/lmcache/plugins
- "./more plugins"
-   'it''s here'
remote_storage_plugins:
- name: s3
  bucket: lmcache
  options:
  - a: 1
  - b
- name: mock
""",
    "anchors": """\
%YAML 1.1
---
defaults: &defaults
  retries: 3
  timeout: 2.5
  labels: &labels [a, b]
primary:
  <<: *defaults
  timeout: 10
secondary:
  <<: [*defaults, {host: backup, labels: *labels}]
...
""",
    "mp": """\
# the multiprocess server
mp_config:
  host: 0.0.0.0
  port: 5555
  max_workers: 4
  runtime_plugin_config:
    locations:
      - /opt/lmcache/plugins
runtime_plugin_extra_config:
  "quoted key": "line one\\nline two \\u00e9 \\x41"
  ? complex question
  : - answer one
    - answer two
  umlauts: äöü 日本語 😀
""",
}

HARD = [
    # Scalars: what is a number, what a word, what a string.
    *(
        f"a: {scalar}"
        for scalar in """
        yes Yes YES yEs y Y n N no NO on On ON oN off OFF true True TRUE tRue false null Null NULL nUll ~ ~~
        0 -0 +0 00 -00 01 07 08 010 -010 0o17 0x1F 0X1F 0x_1 0x 0x_ -0x1f +0xF 0xG 0b1 0b11 0b12 0b_ 0b_1 -0b101 1_000 1__0 _1 1_ 0_7
        1e3 1e+3 1.e3 1.e+3 1.5e3 1.5e+3 1.5E-3 1.5e+ .5 -.5 +.5 .5e+3 .5e3 5. -5. 5._ 5_0.0_1 0.0 -0.0 00.5 1.10 1..2 1.2.3 .. ... .
        .inf -.inf +.inf .Inf .INF .iNF .nan .NaN .NAN -.nan inf nan 1.0e+400 -1.0e+400 1.0e-400 0.0e+999
        1.7976931348623157e+308 1.7976931348623159e+308 123456789.123456789123456789 0.1000000000000000055511151231257827
        12:30 12:30:45 1:60 1:59 0:30 -1:30 +1:30 1:2:3:4:5 12:30.5 12:30.25 1:30.1 1_0:30 12:3a 12: 190:20:30.15
        9223372036854775807 9223372036854775808 -9223372036854775809 123456789012345678901234567890 0xffffffffffffffffffffff
        2001-01-01 2001-1-1 2001-13-01 2001-12-14t21:59:43.10-05:00 2001-12-14T21:59:43Z 2001-12-14T21:59 20010101
        = << <<x =x - -- --- -a ?a :a a:b a:b:c http://x a#b #a a\\b @a `a %a !a &a *a |a >a 'a "a a' a" [a a] {a a} ,a a, a,b
        !!str !!str\\ 1 !!int\\ "1" !!int\\ 0o17 !!float\\ 1 !!float\\ 1e3 !!float\\ .5 !!bool\\ yEs !!null\\ x !!bool\\ x !!int\\ x
        !!binary\\ aGk= !!timestamp\\ 2001-01-01 !!set\\ {a,b} !!omap\\ [a:\\ 1] !!pairs\\ [a:\\ 1,a:\\ 2] !!seq\\ [] !!map\\ {} !!str\\ {}
        !\\ 1 !\\ "1" !\\ [1] !local\\ 1 !<tag:yaml.org,2002:str>\\ 1 !<!>\\ 1 !!python/none\\ x !!%73tr\\ 1 !!value\\ x !!merge\\ x
        """.replace("\\ ", "\x00").split()
        for scalar in [scalar.replace("\x00", " ")]
    ),
    # Keys.
    "1: a\n'1': b\ntrue: c\n1.0: d", "null: a\n~: b\n'null': c", "1.5: a\n-0.0: b\n0: c\nfalse: d", ".inf: a\n-.inf: b\n.nan: c\n.NaN: d",
    "1.50: a\n0.0001: b\n0.00001: c\n123456789012345.6: d", "[a]: b", "{a: b}: c", "? [a]\n: b", "? a\n? b\n: c", "? |\n  a\n: b",
    "2001-01-01: a", "a: 1\na: 2\nb: 3\na: 4", "{a, b: , c: 1}", "[a: 1, b, ? c, ? d : e]", "{? a : b, ? c, ?}", "{: a}", "[: a]", ": a",
    "0x10: a\n16: b", "1:30: a", "'a': 1\n\"a\": 2", "? a : b\n: c", "a : b", "a :b", "a:  b", "\"a\":b", "{\"a\":b}", "{a:b}", "{a:}", "[a:b]",
    "k" * 1023 + ": a", "k" * 1024 + ": a", "k" * 1025 + ": a", "{" + "k" * 1100 + ": a}", "é" * 1000 + ": a", "'a\n b': c", "a\n b: c",
    # Merge keys and aliases.
    "a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  x: 3", "a: &a {x: 1}\nb: &b {x: 2, y: 3}\nc: {z: 0, <<: [*a, *b]}", "<<: {a: 1}", "<<: [{a: 1}, b]",
    "<<: a", "<<: []", "<<: {a: 1}\n<<: {a: 2, b: 3}", "'<<': {a: 1}", "!!merge x: {a: 1}", "- <<", "a: &a [*a]", "&a {b: *a}", "a: *a",
    "a: &a 1\nb: &a 2", "&a a: *a", "&a : *a", "? &a a\n: *a", "[&a a, *a]", "{&a a: *a , b: *a}", "a: &a\nb: *a", "a: &a !!str\nb: *a",
    "a: !!str &a 1\nb: *a", "a: &a &b 1", "a: *a *b", "&a [&b b, *b, {c: *b}]", "a: &a b\n*a : c", "- &a a\n- *a\n- *b", "- &é a",
    "<<: &m {<<: {a: 1}, b: 2}\nc: *m", "x: &x {=: 1}\ny: {<<: *x}", "=: 1", "!!set {a}", "a: !!omap\n- x: 1\n- y: 2", "!!pairs\n- {a: 1, b: 2}",
    # Quotes.
    *(f"a: {text}" for text in [
        "'it''s'", "'a\\b'", '"a\\tb\\x41\\u00e9\\U0001F600\\N\\_\\L\\P\\e\\0\\a\\v"', '"\\ud83d\\ude00"', '"\\ud83d"', '"\\ude00"', '"\\U00110000"',
        '"\\q"', '"\\x4"', '"a\n  b\n\n  c"', "'a\n  b\n\n  c'", '"a\\\n   b"', '"a  \n  b"', '"a\t\n\tb"', '"a\\ \n b"', '"a\n--- b"', '"a\n---b"',
        '"a', "'a", '"a" b', '"a" # b', '"a"# b', "'a'b", '""', "''", "''''", '"\\""', '"a\\/b"', '"a\n\n\n"', '" a "', "' a '", '"\t"',
    ]),
    # Blocks.
    *(f"a: {header}\n{body}" for header in ["|", ">", "|-", ">-", "|+", ">+", "|2", ">1-", "|+1", "| # c", "|a", "|0", "|22"] for body in [
        "  x\n  y\n", "  x\n\n\n  y\n\n\n", "   x\n  y\n", "  x\n   y\n  z", " \n   \n  x\n", "    \n  x\n", "", "\n\n", "  x\n# c\n", "  x\n # c\n", "x\n",
        "  x\n\tz\n", "  \tx\n", "  x\nb: 1", "  x\n...\n", "  x\n---\n", "  x\\n'\"\n  - y: #z\n", "  x\r\n  y\r\n", " x\n  y\n z\n",
    ]),
    "|\n a", ">\n a\n b", "--- |\n a", "--- |\na\nb", "--- >-\na\n\n b\nc", "- |\n a\n- >\n b", "- - |\n   a\n  - b", "? |\n a\n: |\n b", "[|\n a]",
    # Indentation, comments, tabs, line breaks.
    "a:\n b:\n  c: 1\n d: 2\ne: 3", "a:\n  b: 1\n c: 2", "a: 1\n b: 2", " a: 1\n b: 2", " a: 1\nb: 2", "a:\n- b\n- c\nd: e", "a:\n  - b\n - c", "- a\n- b\nc",
    "a: b: c", "a: - b", "- - - a\n    - b\n  - c", "- a: 1\n  b: 2\n- c: 3", "-\n  - a\n-\n- b", "- ? a\n  : b", "-a\n-b", "- -", "-", "?", ":", "- \n- ",
    "a:\tb", "a: \tb", "\ta: b", "a:\n\tb: c", "a: b\tc", "a: b\t", "a: b \t# c", "-\ta", "[\ta]", "{a:\tb}", "a: 'b'\t", "a: b#c", "a: b #c", "a: b # c: d",
    "#", "# a", "", " ", "\n\n", "\t", "---", "--- ", "---\n...", "...", "---\n---", "--- a\n--- b", "--- a", "a\n...", "a\n...\n...", "a\n---\n", "a\n...\nb",
    "---a", "--- # c\na", "---\ta", "a\n... # c", "%YAML 1.1\n---\na", "%YAML 1.2\n--- a", "%YAML 2.0\n--- a", "%YAML 1.1\n%YAML 1.1\n---", "%YAML 1.1",
    "%FOO bar\n--- a", "%TAG !e! tag:yaml.org,2002:\n--- !e!int 1", "%TAG ! tag:yaml.org,2002:\n--- !int 1", "%TAG !! !\n--- !!x 1", "!e!int 1",
    "a\r\nb", "a: 1\rb: 2", "a: 1\r\n\r\nb: 2", "a: 1\x85b: 2", "a: 'x\x85y'", "a: x\u2028 y", "a: |\n x\u2029 y\n", "a:\u00a0b", "\ufeffa: 1", "a: \ufeff1", "a: 1\n\ufeffb: 2",
    # Flow collections.
    "[]", "{}", "[a, b]", "[a, b,]", "[a,, b]", "[,]", "[a b]", "[a\n b,\n c]", "[a, [b, {c: [d]}]]", "{a: [b, c], d: {e: f}}", "{a: b, }", "{,}", "{a b: c d}",
    "[a]: b", "[a, b]: c", "{a: b}: c", "[a", "{a", "a]", "}", "[a}", "{a]", "[a] b", "[a]\nb", "[ - a ]", "[-1, - 1, -]", "[a?b, c]", "[?]", "[? a: b]",
    "a: [\nb,\nc\n]", "a:\n  [\n  b\n  ]", "a: [ # c\n b # d\n , c ]", "[a, #c\n b]", "{a: |\n b}", "['a':b, \"c\":d]", "[a:, b]", "[::]", "{a::b}", "{a: :b}", "[---]", "[\n--- a\n]",
    "{a: 1, a: 2}", "{'a': 1, \"b\": 2}", "{a, 'b', \"c\"}", "[a: b, c: d]", "{? [a] : b}", "[[a]: b]", "{1: 2, 1.5: 3, null: 4, yes: 5}", "[a\n: b]", "{a\n: b}", "{\"a\"\n: b}",
    # Plain scalars on several lines.
    "a: b\n c\n  d", "a: b\n\n c", "a: b\n\n\n c", "a: b\nc", "a: b\n # c\n d", "a: b # c\n d", "a\nb", "a\n\nb\n", "- a\n b\n- c", "a: b\n - c", "a: b\n c: d", "a:\n b\n c",
]


class Values:
    """Random values as a configuration could have them, and some as it should not."""

    PIECES = ["a", "key", "Value", " ", "  ", "\n", "\n\n", "\t", ":", ": ", "- ", "#", " #", "'", '"', "\\", "é", "日", "😀", "\x85", "\u2028", "\xa0",
              "{", "}", "[", "]", ",", "&", "*", "!", "|", ">", "%", "@", "`", "1", "0x", ".", "e+3", "_", "yes", "null", "<<", "=", "~", "---", "...", "?", "\r", "\x07", "\ufeff"]
    WORDS = ["yes", "no", "null", "~", "true", "1", "010", "1.5", ".5", "1e3", "1.5e+3", "0x1F", "12:30", "2001-01-01", "<<", "=", "", " ", "-", "?", ".inf", ".nan", "+1", "1_0"]

    def __init__(self, rng):
        self.rng = rng

    def text(self):
        kind = self.rng.random()
        if kind < 0.3:
            return self.rng.choice(self.WORDS)
        if kind < 0.6:
            return "".join(self.rng.choice("abcdefghijklmnopqrstuvwxyz_.-/") for _ in range(self.rng.randint(1, 12)))
        if kind < 0.65:
            return " ".join("word" for _ in range(self.rng.randint(20, 80)))
        return "".join(self.rng.choice(self.PIECES) for _ in range(self.rng.randint(0, 12)))

    def scalar(self):
        rng = self.rng
        return rng.choice([
            self.text, self.text, self.text, lambda: None, lambda: rng.random() < 0.5, lambda: rng.randint(-1000, 1000),
            lambda: rng.randint(-(10**30), 10**30), lambda: rng.uniform(-1, 1) * 10 ** rng.randint(-20, 20), lambda: float(rng.randint(-9, 9)),
        ])()

    def key(self):
        return self.text() if self.rng.random() < 0.9 else self.scalar()

    def value(self, depth=0, shared=None):
        rng = self.rng
        shared = [] if shared is None else shared
        kind = rng.random()
        if shared and kind < 0.08:
            return rng.choice(shared)
        if depth > 4 or kind < 0.35:
            return self.scalar()
        if kind < 0.6:
            value = [self.value(depth + 1, shared) for _ in range(rng.randint(0, 5))]
        else:
            value = {self.key(): self.value(depth + 1, shared) for _ in range(rng.randint(0, 5))}
        shared.append(value)
        return value


def styles(rng):
    return {
        "default_flow_style": rng.choice([None, True, False]),
        "default_style": rng.choice([None, None, "'", '"', "|", ">"]),
        "indent": rng.choice([None, 1, 2, 3, 4, 7, 9]),
        "width": rng.choice([None, 10, 30, 80, 1000]),
        "allow_unicode": rng.choice([None, True]),
        "canonical": rng.choice([None, None, None, True]),
        "line_break": rng.choice([None, "\n", "\r\n", "\r"]),
        "explicit_start": rng.choice([None, True]),
        "explicit_end": rng.choice([None, True]),
        "version": rng.choice([None, None, (1, 1)]),
        "tags": rng.choice([None, None, {"!e!": "tag:yaml.org,2002:"}]),
        "sort_keys": False,
    }


class Merges:
    """Mappings that merge others: often with the same keys, of all lengths and types, and with the same values."""

    KEYS = ["a", "b", "é", "\"\"", "''", "\"\\L\"", "\"\\n\"", "\"\\u2028\"", "\"\\x61\"", "retries", "timeout", "\"retries\"", "日", "日本", "ab", "1", "'1'", "1.0", "01", "0x1",
            "on", "true", "'true'", "~", "'~'", "null", "''", "0", "-0", "0.0", "no", "=", "'='", "!!str 1", "!!str a", "? |\n  a\n", "? >-\n  a\n", "? |+\n\n"]
    VALUES = ["1", "2", "'1'", "1.0", "1.50", "1.5", "true", "on", "~", "", "x", "[1]", "[1, 2]", "{a: 1}", "{a: 1, b: 2}", "{b: 2, a: 1}", "{<<: [{a: 1}, {b: 2}]}"]

    def __init__(self, rng):
        self.rng = rng
        # A document has few keys, so that they meet.
        self.keys = [self.key() for _ in range(rng.randint(1, 4))]
        self.values = rng.sample(self.VALUES, rng.randint(1, 4))
        self.anchors = []
        self.key_anchors = []

    def key(self):
        key = self.rng.choice(self.KEYS)
        return key if "\n" not in key else self.rng.choice("ab")

    def pair(self):
        rng = self.rng
        key = rng.choice(self.keys)
        kind = rng.random()
        if kind < 0.04:
            name = f"k{len(self.key_anchors)}"
            self.key_anchors.append(name)
            key = f"&{name} {key}"
        elif kind < 0.10 and self.key_anchors:
            key = f"*{rng.choice(self.key_anchors)} "
        return f"{key}: {rng.choice(self.values)}"

    def source(self, depth):
        if self.anchors and self.rng.random() < 0.4:
            return f"*{self.rng.choice(self.anchors)}"
        return self.mapping(depth + 1)

    def merge(self, depth):
        rng = self.rng
        if rng.random() < 0.5:
            return f"<<: {self.source(depth)}"
        return f"<<: [{', '.join(self.source(depth) for _ in range(rng.choice([0, 1, 2, 2, 2, 3])))}]"

    def members(self, depth):
        rng = self.rng
        merges = 0 if depth > 3 else rng.choice([0, 0, 1] if depth else [1, 1, 2])
        members = [self.merge(depth) for _ in range(merges)] + [self.pair() for _ in range(rng.choice([0, 1, 1, 2, 3]))]
        rng.shuffle(members)
        return members

    def mapping(self, depth):
        text = "{" + ", ".join(self.members(depth)) + "}"
        if self.rng.random() < 0.2:
            name = f"m{len(self.anchors)}"
            self.anchors.append(name)
            text = f"&{name} {text}"
        return text

    def text(self):
        rng = self.rng
        lines = []
        for number in range(rng.randint(1, 4)):
            text = self.mapping(rng.choice([0, 0, 1]))
            if not text.startswith("&") and rng.random() < 0.7:
                self.anchors.append(f"n{number}")
                text = f"&n{number} {text}"
            lines.append(f"s{number}: {text}")
        kind = rng.random()
        if kind < 0.3:
            # In block style, where keys can be blocks, and the last one ends the document.
            for number in range(rng.randint(1, 2)):
                keys = [rng.choice(self.KEYS) for _ in range(rng.randint(1, 3))] + self.keys[:2]
                rng.shuffle(keys)
                lines.append(f"t{number}:\n  <<:" + "".join("\n  - " + self.block(key) for key in keys))
        if kind < 0.6:
            lines += self.members(0)
        text = "\n".join(lines)
        return text + rng.choice(["", "\n", "\n"])

    def block(self, key):
        if "\n" not in key:
            return f"{key}: {self.rng.choice(self.values)}"
        key = key.rstrip("\n") if self.rng.random() < 0.1 else key
        return key.replace("\n  ", "\n     ") + (f"    : {self.rng.choice(self.values)}" if key.endswith("\n") else "")


TOKENS = ["a", "1", "- ", "? ", ": ", ":", "\n", "\n  ", "\n\n", " ", "\t", "[", "]", "{", "}", ", ", "# ", "&a ", "*a", "!!str ", "!!int ", "!!float ", "! ", "| ", "|\n ", ">-\n ", "'", '"',
          "\\", "<<: ", "<<: *a", "=", "~", "yes", "0x1F", "1:30", "1.5", "---\n", "\n---\n", "...\n", "%", "\r", "\x85", "\u2028", "\ufeff", "é", "2001-01-01", ".inf", "!!omap ", "\x00", "\x7f"]


def mutation(rng, text, others):
    """A few bytes or pieces of `text` deleted, doubled, swapped, replaced."""
    for _ in range(rng.randint(1, 3)):
        start = rng.randrange(len(text) + 1)
        end = min(len(text), start + rng.choice([1, 1, 1, 2, 5, 20]))
        kind = rng.randrange(7)
        if kind == 0:
            text = text[:start] + text[end:]
        elif kind == 1:
            text = text[:end] + text[start:]
        elif kind == 2:
            other = rng.randrange(len(text) + 1)
            low, high = min(start, other), max(start, other)
            if high < len(text):
                text = text[:low] + text[high : high + 1] + text[low + 1 : high] + text[low : low + 1] + text[high + 1 :]
        elif kind == 3:
            text = text[:start] + rng.choice(TOKENS).encode() + text[start:]
        elif kind == 4:
            text = text[:start] + rng.choice(TOKENS).encode() + text[end:]
        elif kind == 5:
            text = text[:start] + bytes([rng.randrange(256)]) + text[end:]
        else:
            other = rng.choice(others)
            at = rng.randrange(len(other) + 1)
            text = text[:start] + other[at : at + rng.randint(1, 40)] + text[end:]
    return text


def documents(seed, count):
    """(kind, suffix, bytes), always the same for the same seed."""
    import yaml

    rng = random.Random(seed)
    realistic = [text.encode() for text in REALISTIC.values()]
    hard = [text.encode() for text in HARD]
    for text in realistic:
        yield "realistic", ".yaml", text
    for text in hard:
        yield "hard", ".yaml", text
    values = Values(rng)
    recent = realistic + hard
    for number in range(max(0, count - len(realistic) - len(hard))):
        kind = number % 10
        if kind >= 8:
            text = Merges(rng).text().encode()
            recent.append(text)
            yield "merges", ".yaml", text
        elif kind < 3:
            value = values.value()
            if rng.random() < 0.5:
                value = {"chunk_size": 256, "extra_config": value}
            text = yaml.dump(value, Dumper=yaml.SafeDumper, **styles(rng)).encode()
            recent.append(text)
            yield "generated", ".yaml", text
        elif kind < 6:
            yield "mutated realistic", ".yaml", mutation(rng, rng.choice(realistic), realistic)
        elif kind == 6:
            yield "mutated", ".yaml", mutation(rng, rng.choice(recent), recent)
        else:
            value = values.value()
            text = json.dumps(value, indent=rng.choice([None, 1, 4]), ensure_ascii=rng.random() < 0.5).encode()
            if rng.random() < 0.6:
                yield "mutated JSON", ".json", mutation(rng, text, [text, b'{"a": [1.5e3, -0, true, null, "\\u00e9\\n"]}'])
            else:
                yield "JSON", ".json", text
