//! What is written when, and what becomes of the rest.

use super::*;
use crate::notice::tests::LOOK;
use crate::settings::Format;
use std::io::Read;
use std::os::fd::OwnedFd;

fn sink(fd: impl Into<OwnedFd>) -> Sink {
    Sink::new(fd.into(), "output", LOOK)
}

/// A sink, and what was written to it so far.
fn sink_and_reader() -> (Sink, impl FnMut() -> Vec<u8>) {
    let (reader, writer) = io::pipe().unwrap();
    sys::grow_pipe(reader.as_fd(), 1 << 20);
    sys::set_nonblocking(reader.as_fd()).unwrap();
    let written = move || {
        let mut all = Vec::new();
        let error = (&reader).read_to_end(&mut all).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        all
    };
    (sink(writer), written)
}

#[test]
fn records_wait_for_each_other_until_they_would_outgrow_the_cache() {
    let (mut sink, mut written) = sink_and_reader();
    let record = [b'x'; 999];
    let count = LARGE_BUFFER / 1000;
    for index in 1..=count {
        sink.push(&[&record, b"\n"]);
        assert_eq!(sink.length, 1000 * index);
        assert_eq!(sink.batch.len(), sink.length.next_power_of_two().max(4096));
        assert_eq!(sink.is_large(), sink.length > 4096);
    }
    assert!(written().is_empty());
    sink.push(&[&record, b"\n"]);
    assert_eq!(written().len(), 1000 * count, "the batch was written before the record that is too much");
    sink.flush();
    assert_eq!(written(), [&record[..], b"\n"].concat());
    sink.flush();
    assert!(written().is_empty(), "written once");
    sink.calm_down();
    assert!(!sink.is_large());
    sink.push(&[b"a\n"]);
    assert_eq!(sink.batch.len(), 4096);
}

#[test]
fn a_batch_of_just_the_largest_size_is_not_written_early() {
    let (mut sink, mut written) = sink_and_reader();
    sink.push(&[b"a"]);
    sink.push(&[&vec![b'b'; LARGE_BUFFER - 1]]);
    assert!(written().is_empty());
    sink.push(&[b"c"]);
    assert_eq!(written().len(), LARGE_BUFFER);
}

#[test]
fn the_rest_of_a_record_goes_to_its_newline() {
    for (rest, expected) in [("", 0), ("\n", 1), ("e\ntwo\n", 2), ("e", 0)] {
        assert_eq!(length_of_begun(rest.as_bytes()), expected, "{rest:?}");
    }
    for (written, was_amid, expected) in
        [("", false, false), ("", true, true), ("a\nb", false, true), ("a\n", true, false)]
    {
        assert_eq!(is_amid(written.as_bytes(), was_amid), expected, "{written:?} {was_amid}");
    }
}

#[test]
fn a_record_that_was_begun_is_found_wherever_the_batch_was_cut() {
    for (begin, torn, lost) in [(0, "", 3), (2, "e\n", 2), (4, "", 2), (5, "wo\n", 1)] {
        let mut sink = full_sink();
        sink.push(&[b"one\ntwo\nthree\n"]);
        sink.flush_rest(begin);
        assert_eq!((&sink.torn[..], sink.lost.untold), (torn.as_bytes(), lost), "{begin}");
    }
}

#[test]
fn what_is_missing_is_said_when_lines_are_taken_again() {
    let (mut sink, mut written) = sink_and_reader();
    for (records, expected) in [
        ("", "[launcher] warning: 1 line lost: no room\nnext\n"),
        ("b\nc\n", "[launcher] warning: 3 lines lost: no room\nnext\n"),
    ] {
        sink.lost.count(b"a\n");
        sink.lost.count(records.as_bytes());
        sink.lost.reason = "no room".into();
        sink.push(&[b"next\n"]);
        sink.flush();
        assert_eq!(String::from_utf8_lossy(&written()), expected);
    }
    sink.push(&[b"more\n"]);
    sink.torn = b"of a record\n".to_vec();
    sink.flush();
    assert_eq!(String::from_utf8_lossy(&written()), "of a record\nmore\n", "and said once");
    assert_eq!(sink.lost.total, 4);
}

/// A sink whose disk is full, and has said so.
fn full_sink() -> Sink {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut sink = sink(full);
    sink.has_complained = true;
    sink
}

/// A sink that finds room again.
pub fn sink_that_has_lost_a_line() -> Sink {
    let mut sink = full_sink();
    sink.push(&[b"lost\n"]);
    sink.flush();
    sink.file = std::fs::File::options().write(true).open("/dev/null").unwrap().into();
    sink
}

#[test]
fn lines_that_found_no_room_again_and_again_are_told_in_one() {
    let (good, mut written) = sink_and_reader();
    let mut sink = full_sink();
    for record in [b"one\n", b"two\n"] {
        sink.push(&[record]);
        sink.flush();
    }
    assert_eq!((sink.lost.untold, sink.lost.total), (2, 2));
    sink.file = good.file;
    sink.flush();
    assert!(written().is_empty(), "it waits for something to say");
    sink.push(&[b"three\n"]);
    sink.flush();
    let told = "[launcher] warning: 2 lines lost: No space left on device\nthree\n";
    assert_eq!(String::from_utf8_lossy(&written()), told);
    assert!(sink.finish(), "lost is lost");
    assert!(written().is_empty());
}

#[test]
fn the_end_looks_once_more_for_room() {
    let (good, mut written) = sink_and_reader();
    let mut sink = full_sink();
    sink.torn = b"of a record\n".to_vec();
    sink.push(&[b"one\n"]);
    sink.flush();
    sink.file = good.file;
    assert!(sink.finish());
    let told = "of a record\n[launcher] warning: 1 line lost: No space left on device\n";
    assert_eq!(String::from_utf8_lossy(&written()), told);
}

#[test]
fn a_line_that_was_begun_is_missing_as_well() {
    let (mut sink, _written) = sink_and_reader();
    assert_eq!(sink.missing(), 0);
    sink.lost.count(b"one\ntwo\n");
    assert_eq!(sink.missing(), 2);
    sink.torn = b"of a record\n".to_vec();
    assert_eq!(sink.missing(), 3);
}

#[test]
fn who_was_to_be_told_by_a_notice_that_was_begun_is_told_at_the_end() {
    let (mut sink, mut written) = sink_and_reader();
    sink.torn = b" lines lost: no room\n".to_vec();
    sink.lost.half_told = 5;
    assert_eq!(sink.missing(), 5, "the notice itself is no line that is missing");
    sink.lost.count(b"a\n");
    assert_eq!(sink.missing(), 6);
    sink.push(&[b"next\n"]);
    sink.flush();
    let told = " lines lost: no room\n[launcher] warning: 1 line lost: \nnext\n";
    assert_eq!(String::from_utf8_lossy(&written()), told);
    assert_eq!(sink.missing(), 0);
}

#[test]
fn what_tells_of_lost_lines_is_no_younger_than_what_follows() {
    let (reader, writer) = io::pipe().unwrap();
    let json = Look { format: Format::Json, ..LOOK };
    let mut sink = Sink::new(writer.into(), "output", json);
    sink.lost.count(b"a\n");
    let next = "{\"time\":\"2026-11-22T07:18:30.374Z\",\"event\":\"stopped\"}\n";
    sink.push(&[next.as_bytes()]);
    sink.flush();
    // Where nothing follows it is the present.
    sink.lost.count(b"b\n");
    assert!(sink.finish());
    drop(sink);
    let written = io::read_to_string(reader).unwrap();
    let lines: Vec<&str> = written.lines().collect();
    assert!(lines[0].starts_with("{\"time\":\"2026-11-22T07:18:30.374Z\",\"event\":\"warning\""), "{written}");
    assert_eq!(lines[1], next.trim_end());
    assert!(lines[2] > "{\"time\":\"2026-11-23" && lines[2].contains("1 line lost"), "{written}");
}

#[test]
fn a_reader_that_has_gone_misses_nothing_and_is_tried_no_more() {
    let (good, mut written) = sink_and_reader();
    let mut sink = sink(io::pipe().unwrap().1);
    sink.has_complained = true;
    sink.push(&[b"one\n"]);
    sink.flush();
    sink.file = good.file;
    sink.push(&[b"two\n"]);
    sink.flush();
    assert!(!sink.finish());
    assert!(written().is_empty());
}

#[test]
fn a_reader_gets_a_megabyte_of_room() {
    let (_reader, writer) = io::pipe().unwrap();
    let mut sink = sink(writer);
    assert!(sys::write_at_once(sink.file.as_fd(), &[b'x'; 70_000]).unwrap() < 70_000);
    sink.grow_pipe();
    assert!(sys::write_at_once(sink.file.as_fd(), &vec![b'x'; 900_000]).unwrap() == 900_000);
}

#[test]
fn what_there_is_room_for_is_written_without_waiting_and_the_rest_stays() {
    let (mut sink, mut written) = sink_and_reader();
    assert!(sink.flush_at_once(), "there was nothing to write");
    sink.push(&[b"one\n"]);
    assert!(sink.flush_at_once());
    assert_eq!(written(), b"one\n");
    let record = [&[b'x'; 999][..], b"\n"].concat();
    let mut all = Vec::new();
    // A megabyte finds room.
    for _ in 0..8 {
        (0..200).for_each(|_| sink.push(&[&record]));
        all.extend(record.repeat(200));
        if !sink.flush_at_once() {
            break;
        }
    }
    assert!(sink.length > 0 && sink.length <= 200_000);
    assert!(!sink.flush_at_once(), "there is still no room");
    let mut found = written();
    sink.flush();
    found.extend(written());
    assert!(found == all, "{} of {}", found.len(), all.len());
    assert!(sink.lost.reason.is_empty());
}

#[test]
fn what_was_written_in_part_without_waiting_is_not_glued_to_what_follows() {
    for (gets_full, expected) in
        [(true, "xx\n[launcher] warning: 1 line lost: No space left on device\nlast\n"), (false, "xx\nb\nlast\n")]
    {
        let (reader, writer) = io::pipe().unwrap();
        let mut sink = sink(writer);
        sink.has_complained = true;
        // A pipe takes in part what it has no room for, in whole pages.
        let record = [&[b'x'; 64 * 1024 + 2][..], b"\n"].concat();
        sink.push(&[&record]);
        sink.push(&[b"b\n"]);
        assert!(!sink.flush_at_once());
        let (good, mut written) = sink_and_reader();
        if gets_full {
            sink.file = full_sink().file;
            sink.flush();
        }
        sink.file = good.file;
        sink.push(&[b"last\n"]);
        sink.flush();
        assert_eq!(String::from_utf8_lossy(&written()), expected);
        assert!(!sink.is_amid);
        drop(reader);
    }
}

#[test]
fn a_descriptor_that_does_not_block_is_waited_for() {
    let (mut reader, writer) = io::pipe().unwrap();
    sys::set_nonblocking(writer.as_fd()).unwrap();
    let mut sink = sink(writer);
    let record = vec![b'x'; LARGE_BUFFER];
    sink.push(&[&record]);
    let collector = std::thread::spawn(move || {
        let mut all = Vec::new();
        reader.read_to_end(&mut all).map(|_| all).unwrap()
    });
    sink.flush();
    assert!(!sink.finish(), "nothing was lost");
    drop(sink);
    assert!(collector.join().unwrap() == record);
}
