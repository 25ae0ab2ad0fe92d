//! The handle: who writes what is said, and when. Whether a thread is to be had is seen from outside.

use super::*;
use crate::notice::tests::LOOK;
use crate::sys::{Change, Interest};
use std::io::Read;
use std::time::{Duration, Instant};

/// How long a busy machine may take.
const PATIENCE: Duration = Duration::from_secs(20);
const STOPPED: &str = "[launcher] stopped\n";

fn log(look: Look) -> (Log, PipeReader) {
    let (logged, output) = io::pipe().unwrap();
    (Log::new(output.into(), look).unwrap(), logged)
}

/// Waits for the next that was logged, which has to be this.
#[track_caller]
fn assert_next(mut logged: &PipeReader, expected: &str) {
    let mut found = vec![0; expected.len()];
    let mut length = 0;
    while length < found.len() {
        let is_there = sys::wait_readable([Some(logged.as_fd())], Some(PATIENCE)).unwrap();
        assert_eq!(is_there, [true], "{:?} and not {expected:?}", String::from_utf8_lossy(&found[..length]));
        let count = logged.read(&mut found[length..]).unwrap();
        assert!(count > 0, "the log has ended");
        length += count;
    }
    assert_eq!(String::from_utf8(found).unwrap(), expected);
}

fn assert_ends(log: &Log) {
    assert!(!log.is_over());
    log.finish();
    let deadline = Instant::now() + PATIENCE;
    while !log.is_over() {
        assert!(Instant::now() < deadline, "it does not end");
        thread::yield_now();
    }
    assert!(!log.has_lost_lines());
}

fn source(plugin: PluginId) -> (Source, PipeWriter) {
    let (pipe, writer) = io::pipe().unwrap();
    let name = format!("{plugin}").into();
    (Source { plugin, name, pipe: Arc::new(pipe), stream: Stream::Merged, counters: Arc::default() }, writer)
}

#[test]
fn only_a_terminal_gets_colours_and_only_of_text() {
    for (format, is_terminal, variable, expected) in [
        (Format::Text, true, ("TERM", "xterm"), (true, true)),
        (Format::Text, true, ("TERM", "dumb"), (true, false)),
        (Format::Text, true, ("NO_COLOR", "1"), (true, false)),
        (Format::Text, true, ("NO_COLOR", ""), (true, true)),
        (Format::Text, false, ("TERM", "xterm"), (false, false)),
        (Format::Json, true, ("TERM", "xterm"), (false, false)),
    ] {
        let value = |name: &str| if name == variable.0 { variable.1.into() } else { OsString::new() };
        let look = look(Look { format, ..LOOK }, is_terminal, value);
        assert_eq!((look.is_terminal, look.has_colour), expected, "{format:?} {is_terminal} {variable:?}");
        assert_eq!(look.format, format);
    }
}

#[test]
fn a_little_is_said_without_a_thread() {
    let (log, logged) = log(LOOK);
    log.begin();
    for _ in 0..2 {
        log.say(&Notice::Stopped);
        assert!(!sys::is_ready(logged.as_fd(), Interest::Readable), "not before it is time");
        log.begin();
        assert_next(&logged, STOPPED);
    }
    log.say(&Notice::Stopped);
    assert_ends(&log);
    assert_next(&logged, STOPPED);
    assert_eq!(log.stage.get(), Stage::Without);
}

#[test]
fn what_quiet_leaves_out_is_no_order() {
    let (log, _logged) = log(Look { is_quiet: true, ..LOOK });
    log.say(&Notice::Stopped);
    assert!(!lock(&log.queue).has_orders.load(Ordering::Acquire));
    assert_ends(&log);
    assert!(lock(&log.thread).is_some(), "there was nothing to do");
}

#[test]
fn much_and_what_finds_no_room_is_said_by_a_thread() {
    let reason = "x".repeat(5000);
    for is_full in [false, true] {
        let (mut logged, output) = io::pipe().unwrap();
        let log = Log::new(output.try_clone().unwrap().into(), LOOK).unwrap();
        let mut filling = Vec::new();
        let expected = if is_full {
            filling.resize(sys::write_at_once(output.as_fd(), &vec![b'.'; 1 << 20]).unwrap(), 0);
            log.say(&Notice::Stopped);
            STOPPED.to_owned()
        } else {
            log.say(&Notice::Warning { plugin: None, reason: &reason });
            format!("[launcher] warning: {reason}\n")
        };
        log.begin();
        assert_eq!(log.stage.get(), Stage::Begun);
        logged.read_exact(&mut filling).unwrap();
        assert_next(&logged, &expected);
        // It goes on for the thread.
        log.say(&Notice::Stopped);
        assert_next(&logged, STOPPED);
        let deadline = Instant::now() + PATIENCE;
        while sys::bytes_waiting(log.wake.as_fd()) > 0 {
            assert!(Instant::now() < deadline, "what woke it is taken");
            thread::yield_now();
        }
        log.begin();
        assert_ends(&log);
    }
}

#[test]
fn a_thread_that_was_wanted_is_tried_again() {
    let (log, _logged) = log(LOOK);
    log.stage.set(Stage::Wanted);
    log.begin();
    assert_eq!(log.stage.get(), Stage::Begun);
    assert_ends(&log);
}

#[test]
fn pipes_are_read_by_a_thread_until_their_plugins_end() {
    let (log, logged) = log(LOOK);
    let [(first, mut one), (second, mut two)] = [1, 2].map(source);
    log.follow(first);
    log.follow(second);
    log.begin();
    assert_eq!(log.stage.get(), Stage::Begun);
    one.write_all(b"one\n").unwrap();
    assert_next(&logged, "[1] one\n");
    two.write_all(b"two\n").unwrap();
    assert_next(&logged, "[2] two\n");
    one.write_all(b"last").unwrap();
    log.settle(1, &Notice::Exited { plugin: OsStr::new("1"), change: Change::Exited(0), is_wanted: false });
    assert_next(&logged, "[1] last\n[launcher] exited 1: status 0\n");
    two.write_all(b"unfinished").unwrap();
    assert_ends(&log);
    assert_next(&logged, "[2] unfinished\n");
}

#[test]
fn a_report_of_states_is_pending_until_it_is_said() {
    let (log, logged) = log(LOOK);
    assert!(!log.is_status_pending());
    log.say_status([Notice::Stopped, Notice::Stopped].into_iter());
    assert!(log.is_status_pending());
    log.begin();
    assert!(!log.is_status_pending());
    assert_next(&logged, &STOPPED.repeat(2));
}

#[test]
fn labels_are_aligned_on_a_terminal_by_the_longest_that_is_not_too_long() {
    let (fits, stands_out) = ("x".repeat(38), "x".repeat(39));
    for (is_terminal, names, expected) in [
        (true, &["a"][..], 10),
        (true, &["a_longer_name", "b"], 15),
        (true, &["\u{76e3}\u{8996}_longer", "b"], 13),
        (true, &["b", &fits, &stands_out], 40),
        (false, &["a_longer_name"], 0),
    ] {
        let (log, _logged) = log(Look { is_terminal, ..LOOK });
        log.align(names.iter().map(OsStr::new));
        assert_eq!(lock(&log.queue).look.label_width, expected, "{names:?}");
    }
}

#[test]
fn what_can_be_opened_and_not_be_written_to_is_refused() {
    let claim = |fd: BorrowedFd<'_>| claim_descriptor(std::os::fd::AsRawFd::as_raw_fd(&fd));
    let (reader, writer) = io::pipe().unwrap();
    assert!(claim(writer.as_fd()).is_ok());
    assert!(claim(reader.as_fd()).is_err());
    assert!(claim(Epoll::new().unwrap().as_fd()).is_err());
}
