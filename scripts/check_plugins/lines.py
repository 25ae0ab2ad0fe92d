"""A log that is written and rotated, and how much of it has arrived."""

import os
import re
import time


class Lines:
    """The log of the engine, and how much of it rsyslog has."""

    def __init__(self, path, received):
        self.path, self.received = path, received
        self.file = open(self.path, "ab")
        self.written = 0

    def write(self, count, rate=None):
        for _ in range(count):
            self.file.write(b"LMCache INFO: line %d, and as much text after it as a line of a log usually has\n" % self.written)
            self.written += 1
            if rate and self.written % 200 == 0:
                self.file.flush()
                time.sleep(200 / rate)  # the pace of the writer, nothing waits for it
        self.file.flush()

    def rotate(self):
        os.rename(self.path, self.path + ".1")
        self.write(10)  # a writer has the old file open for a while
        self.file.close()
        self.file = open(self.path, "ab")

    def numbers(self):
        with open(self.received, "rb") as file:
            return [int(number) for number in re.findall(rb"INFO: line (\d+),", file.read())]

    def all_there(self):
        return len(set(self.numbers())) == self.written

    def is_confirmed(self):
        """Whether the reporter's saved position is the end of the log."""
        with open(os.path.join(os.path.dirname(self.path), f".{os.path.basename(self.path)}.shipped")) as file:
            inode, offset, *_ = map(int, file.read().split())
        return (inode, offset) == (os.stat(self.path).st_ino, os.path.getsize(self.path))
