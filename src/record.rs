//! JSON objects for machines, one a line: what the log, `list`, `check` and the control socket consist of.

use crate::escape;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

/// One JSON object under construction.
pub struct Record(Vec<u8>);

impl Record {
    /// An object without members.
    pub fn empty() -> Record {
        Record(b"{".to_vec())
    }

    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        self.0.push(b'"');
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    /// Adds a string of any bytes.
    pub fn bytes(mut self, name: &str, value: &[u8]) -> Record {
        self.name(name);
        self.quoted(value);
        self
    }

    fn quoted(&mut self, value: &[u8]) {
        self.0.push(b'"');
        escape::json(value, &mut self.0);
        self.0.push(b'"');
    }

    /// Adds a string.
    pub fn text(self, name: &str, value: &str) -> Record {
        self.bytes(name, value.as_bytes())
    }

    /// Adds a number that may be negative.
    pub fn number(self, name: &str, value: i64) -> Record {
        self.raw(name, &value.to_string())
    }

    /// Adds true or false.
    pub fn flag(self, name: &str, value: bool) -> Record {
        self.raw(name, if value { "true" } else { "false" })
    }

    /// Adds a number of things, or of a process.
    pub fn count(self, name: &str, value: u64) -> Record {
        self.raw(name, &value.to_string())
    }

    /// Adds a time in seconds.
    pub fn duration(self, name: &str, value: Duration) -> Record {
        self.raw(name, &seconds(value))
    }

    fn raw(mut self, name: &str, value: &str) -> Record {
        self.name(name);
        self.0.extend_from_slice(value.as_bytes());
        self
    }

    /// Adds an array of strings.
    pub fn list<T: AsRef<OsStr>>(mut self, name: &str, values: &[T]) -> Record {
        self.name(name);
        self.0.push(b'[');
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                self.0.push(b',');
            }
            self.quoted(value.as_ref().as_bytes());
        }
        self.0.push(b']');
        self
    }

    /// The object as one line.
    pub fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(b"}\n");
        self.0
    }
}

/// Seconds with at most three decimals, as a JSON number.
pub fn seconds(duration: Duration) -> String {
    let text = format!("{}.{:03}", duration.as_secs(), duration.subsec_millis());
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_object_on_a_line_of_its_own() {
        assert_eq!(Record::empty().end(), b"{}\n");
        let record = Record::empty()
            .text("text", "a \"b\"\n")
            .bytes("bytes", b"\xff")
            .number("number", -7)
            .flag("yes", true)
            .flag("no", false)
            .count("count", u64::MAX)
            .duration("duration", Duration::from_millis(1500))
            .list("list", &["one", "t\\wo", "three"])
            .list("nothing", &[""; 0]);
        let expected = "{\"text\":\"a \\\"b\\\"\\n\",\"bytes\":\"\u{fffd}\",\"number\":-7,\"yes\":true,\"no\":false,\
                        \"count\":18446744073709551615,\"duration\":1.5,\"list\":[\"one\",\"t\\\\wo\",\"three\"],\
                        \"nothing\":[]}\n";
        assert_eq!(String::from_utf8(record.end()).unwrap(), expected);
    }

    #[test]
    fn seconds_have_three_decimals_at_most() {
        for (microseconds, expected) in [
            (0, "0"),
            (999, "0"),
            (1_999, "0.001"),
            (100_000, "0.1"),
            (1_000_000, "1"),
            (1_500_000, "1.5"),
            (10_000_000, "10"),
            (100_020_000, "100.02"),
        ] {
            assert_eq!(seconds(Duration::from_micros(microseconds)), expected);
        }
    }
}
