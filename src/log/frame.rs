//! What stands around a line: the label of its plugin in text, an object in JSON.

use super::sink::{Sink, put};
use super::{PluginId, Source, Stream};
use crate::columns::columns;
use crate::escape;
use crate::lines::copy::{self, Newline, Special};
use crate::lines::{self, Lines, Piece};
use crate::notice::{Look, TIME, TIME_BEGINS};
use crate::settings::Format;
use crate::sys::slice::{head, tail, tail_mut};
use crate::timestamp::Timestamp;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// The bytes around each line of one source.
#[derive(Clone, Debug)]
pub struct Frame {
    pub format: Format,
    /// Where a line could leave a terminal in its colour.
    has_resets: bool,
    before: Label,
    before_continuation: Label,
}

impl Frame {
    pub fn new(source: &Source, look: &Look) -> Frame {
        match look.format {
            Format::Text => Frame::text(&source.name, source.plugin, look),
            Format::Json => Frame::json(&source.name, source.stream),
        }
    }

    /// `[NAME] line`, `[NAME]+ continuation`.
    fn text(name: &OsStr, number: PluginId, look: &Look) -> Frame {
        let mut label = b"[".to_vec();
        escape::name(name.as_bytes(), look.is_terminal, &mut label);
        label.push(b']');
        let padding = vec![b' '; look.label_width.saturating_sub(columns(&label))];
        let (on, off): (&[u8], &[u8]) =
            if look.has_colour { (COLOURS[number % COLOURS.len()], RESET) } else { (b"", b"") };
        let before = |mark: &[u8]| Label::new([on, &label, off, mark, &padding].concat());
        Frame {
            format: Format::Text,
            has_resets: look.is_terminal,
            before: before(b" "),
            before_continuation: before(b"+ "),
        }
    }

    /// One object a line.
    fn json(name: &OsStr, stream: Stream) -> Frame {
        let mut before = TIME_BEGINS.to_vec();
        before.extend_from_slice(&Timestamp::default());
        before.extend_from_slice(b"\",\"event\":\"output\",\"plugin\":\"");
        escape::json(name.as_bytes(), &mut before);
        before.extend_from_slice(match stream {
            Stream::Merged => b"\",\"message\":\"",
            Stream::Stdout => b"\",\"stream\":\"stdout\",\"message\":\"",
            Stream::Stderr => b"\",\"stream\":\"stderr\",\"message\":\"",
        });
        let before = Label::new(before);
        Frame { format: Format::Json, has_resets: false, before_continuation: before.clone(), before }
    }

    /// Sets the time of the lines that follow.
    pub fn set_time(&mut self, time: &Timestamp) {
        if self.format == Format::Json {
            for label in [&mut self.before, &mut self.before_continuation] {
                label.padded[TIME].copy_from_slice(time);
            }
        }
    }
}

/// The colours of labels, one after another. Red and yellow are those of problems.
const COLOURS: [&[u8]; 6] = [b"\x1b[36m", b"\x1b[32m", b"\x1b[35m", b"\x1b[34m", b"\x1b[96m", b"\x1b[92m"];
/// With what a change of colours begins: ESC, or CSI in one byte, which in UTF-8 is the second of U+009B.
const ESCAPES: [u8; 2] = [0x1b, 0x9b];
/// How a terminal gets its own colours back.
const RESET: &[u8] = b"\x1b[0m";
/// How a record ends.
const TEXT_ENDS: &[u8; 1] = b"\n";
const JSON_ENDS: &[u8; 3] = b"\"}\n";
const JSON_ENDS_PARTIAL: &[u8] = b"\",\"partial\":true}\n";

/// What stands before a line. It holds no newline.
#[derive(Clone, Debug)]
struct Label {
    /// With newlines behind it, one at least, up to a whole number of sixteen bytes: [`copy::until`] is quick with that.
    padded: Vec<u8>,
    length: usize,
}

impl Label {
    fn new(mut bytes: Vec<u8>) -> Label {
        let length = bytes.len();
        bytes.resize((length / 16 + 1) * 16, b'\n');
        Label { padded: bytes, length }
    }

    fn bytes(&self) -> &[u8] {
        &self.padded[..self.length]
    }
}

/// Lines on their way from one source into a batch.
pub struct Framed<'a> {
    pub frame: &'a Frame,
    pub sink: &'a mut Sink,
    /// How many lines have ended.
    pub count: u64,
}

impl Lines for Framed<'_> {
    fn take(&mut self, line: &[u8], piece: Piece) {
        let Framed { frame, sink, .. } = self;
        let before = if piece.is_continuation { &frame.before_continuation } else { &frame.before };
        match frame.format {
            Format::Text if frame.has_resets && line.iter().any(|byte| ESCAPES.contains(byte)) => {
                sink.push(&[before.bytes(), line, RESET, TEXT_ENDS]);
            }
            Format::Text => sink.push(&[before.bytes(), line, TEXT_ENDS]),
            Format::Json => {
                let most = before.length + escape::JSON_GROWTH * line.len() + JSON_ENDS_PARTIAL.len();
                let room = sink.room(most);
                let mut total = put(before.bytes(), room);
                total += escape::json_into(line, &mut room[total..]);
                total += put(if piece.is_partial { JSON_ENDS_PARTIAL } else { JSON_ENDS }, &mut room[total..]);
                sink.take(total);
            }
        }
        self.count += u64::from(!piece.is_partial);
    }

    /// All there is to do for most lines: one pass, and no call.
    #[inline(always)]
    fn copy(&mut self, bytes: &[u8]) -> Option<usize> {
        let Frame { format, has_resets, before, .. } = self.frame;
        if *has_resets {
            return None;
        }
        let room = self.sink.room(before.padded.len() + bytes.len() + JSON_ENDS.len());
        let mut total = copy::until::<Newline>(&before.padded, room);
        let end = match format {
            Format::Text => {
                let end = copy::until::<Newline>(bytes, tail_mut(room, total));
                total += lines::without_carriage_return(head(bytes, end)).len();
                total += put_end(TEXT_ENDS, tail_mut(room, total));
                end
            }
            Format::Json => {
                let length = copy::until::<Special>(bytes, tail_mut(room, total));
                total += length;
                total += put_end(JSON_ENDS, tail_mut(room, total));
                length + usize::from(matches!(tail(bytes, length), [b'\r', b'\n', ..]))
            }
        };
        // Else there is no end, or more to escape: what was copied does not count.
        if bytes.get(end) != Some(&b'\n') {
            return None;
        }
        self.sink.take(total);
        self.count += 1;
        Some(end)
    }
}

/// As [`put`], for the end of each line: of a length that is known it is one move or two.
#[inline(always)]
fn put_end<const LENGTH: usize>(end: &[u8; LENGTH], to: &mut [u8]) -> usize {
    if let Some(to) = to.first_chunk_mut() {
        *to = *end;
    }
    LENGTH
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::Splitter;
    use crate::log::sink::LARGE_BUFFER;
    use crate::notice::tests::LOOK;
    use std::io::{self, Read};
    use std::thread;

    /// What comes out for a stream that comes in chunks of this size, and how many lines that were.
    fn framed(frame: &mut Frame, stream: &[u8], chunk: usize) -> (Vec<u8>, u64) {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut sink = Sink::new(writer.into(), "output", LOOK);
        let collector = thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).unwrap();
            all
        });
        frame.set_time(b"2026-11-22T07:18:30.374Z");
        let mut splitter = Splitter::default();
        let mut lines = Framed { frame, sink: &mut sink, count: 0 };
        for chunk in stream.chunks(chunk) {
            splitter.feed(chunk, &mut lines);
        }
        splitter.finish(&mut lines);
        let count = lines.count;
        sink.flush();
        drop(sink);
        (collector.join().unwrap(), count)
    }

    /// The same by the plainest means.
    fn naive(format: Format, stream: &[u8]) -> (Vec<u8>, u64) {
        let (mut all, mut count) = (Vec::new(), 0);
        let mut lines = |line: &[u8], piece: Piece| {
            count += u64::from(!piece.is_partial);
            match format {
                Format::Text => {
                    all.extend_from_slice(if piece.is_continuation { b"[all_x.sh]+ " } else { b"[all_x.sh] " });
                    all.extend_from_slice(line);
                    all.push(b'\n');
                }
                Format::Json => {
                    all.extend_from_slice(b"{\"time\":\"2026-11-22T07:18:30.374Z\",\"event\":\"output\",");
                    all.extend_from_slice(b"\"plugin\":\"all_x.sh\",\"message\":\"");
                    escape::json(line, &mut all);
                    all.extend_from_slice(if piece.is_partial { b"\",\"partial\":true}\n" } else { b"\"}\n" });
                }
            }
        };
        let mut splitter = Splitter::default();
        splitter.feed(stream, &mut lines);
        splitter.finish(&mut lines);
        (all, count)
    }

    #[test]
    fn on_a_terminal_labels_are_aligned_and_coloured_and_no_line_colours_the_next() {
        let [coloured, plain] =
            [true, false].map(|has_colour| Look { is_terminal: true, has_colour, label_width: 13, ..LOOK });
        let stream = [b"one\n\x1b[31mtwo\n".to_vec(), vec![b'x'; lines::PIECE_LIMIT + 1], b"\n".to_vec()].concat();
        let (first, rest) = stream[13..].split_at(lines::PIECE_LIMIT);
        let long = |on: &str, off: &str| {
            let label = format!("{on}[all_x.sh]{off}");
            let before = format!("{label}    one\n{label}    \x1b[31mtwo\x1b[0m\n{label}    ");
            [before.as_bytes(), first, format!("\n{label}+    ").as_bytes(), rest].concat()
        };
        for (number, look, expected) in [
            (0, plain, long("", "")),
            (0, coloured, long("\x1b[36m", "\x1b[0m")),
            (8, coloured, long("\x1b[35m", "\x1b[0m")),
        ] {
            let (found, count) = framed(&mut Frame::text(OsStr::new("all_x.sh"), number, &look), &stream, 4096);
            assert!(found == expected, "{number} {look:?}");
            assert_eq!(count, 3);
        }
    }

    #[test]
    fn a_record_has_room_wherever_a_batch_ends() {
        for label in 1..=16 {
            let name = "x".repeat(label);
            let mut frame = Frame::json(OsStr::new(&name), Stream::Merged);
            let before = frame.before.length;
            let mut check = |stream: &[u8], chunk, message: &str, times| {
                let (found, count) = framed(&mut frame, stream, chunk);
                let bytes = times * (before + message.len() + JSON_ENDS.len());
                assert!(found.len() == bytes && found.ends_with(&[message.as_bytes(), JSON_ENDS].concat()), "{label}");
                assert_eq!(count, times as u64);
            };
            // All that grows, up to the first size of a batch and beyond.
            for length in (640 - before / 6..720 - before / 6).step_by(if label == 1 { 1 } else { 7 }) {
                check(&[&vec![1; length][..], b"\n"].concat(), 4096, &"\\u0001".repeat(length), 1);
            }
            // Copied ones, and empty ones that are taken, whose end comes alone.
            for length in 4096 - before - 24..4096 - before + 8 {
                check(&[&vec![b'x'; length][..], b"\n"].concat(), 8192, &"x".repeat(length), 1);
            }
            check(&b"\r\n".repeat(1000), 1, "", 1000);
        }
    }

    #[test]
    fn a_short_line_takes_little_memory() {
        for line in [vec![1; 100], vec![b'x'; 1500]] {
            let nowhere = std::fs::File::options().write(true).open("/dev/null").unwrap();
            let mut sink = Sink::new(nowhere.into(), "output", LOOK);
            let frame = Frame::json(OsStr::new("all_x.sh"), Stream::Merged);
            let mut lines = Framed { frame: &frame, sink: &mut sink, count: 0 };
            Splitter::default().feed(&[&line[..], b"\n"].concat(), &mut lines);
            assert_eq!(lines.count, 1);
            assert!(!sink.is_large());
        }
    }

    #[test]
    fn a_record_names_its_stream_where_streams_are_kept_apart() {
        for (stream, member) in
            [(Stream::Merged, ""), (Stream::Stdout, r#""stream":"stdout","#), (Stream::Stderr, r#""stream":"stderr","#)]
        {
            let (found, _) = framed(&mut Frame::json(OsStr::new("a\"b"), stream), b"hi\n", 4096);
            let expected = format!(
                r#"{{"time":"2026-11-22T07:18:30.374Z","event":"output","plugin":"a\"b",{member}"message":"hi"}}"#
            );
            assert_eq!(String::from_utf8_lossy(&found), expected + "\n");
        }
    }

    #[test]
    fn copied_lines_are_framed_as_taken_ones() {
        let lines: [&[u8]; 10] = [
            b"",
            b"\r",
            b"a",
            b"a plain line",
            b"\r\rtwo\r",
            b"\0\xff",
            b"\"quoted\"",
            b"\\",
            "\u{20ac}".as_bytes(),
            b"\t",
        ];
        for end in [&b"\n"[..], b"\r\n"] {
            let mut stream = Vec::new();
            for length in
                (0..200).chain([LARGE_BUFFER / 8, lines::PIECE_LIMIT - 1, lines::PIECE_LIMIT, 70_000, 200_000])
            {
                stream.extend(std::iter::repeat_n(b'x', length));
                for line in lines {
                    stream.extend_from_slice(line);
                    stream.extend_from_slice(end);
                }
            }
            stream.extend_from_slice(b"no end");
            let name = OsStr::new("all_x.sh");
            for mut frame in [Frame::text(name, 0, &LOOK), Frame::json(name, Stream::Merged)] {
                let expected = naive(frame.format, &stream);
                for chunk in [1, 17, 4096, 65_536, stream.len()] {
                    let found = framed(&mut frame, &stream, chunk);
                    assert!(found == expected, "{:?} in chunks of {chunk}", frame.format);
                }
            }
        }
    }
}
