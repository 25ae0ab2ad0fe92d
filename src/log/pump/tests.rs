//! The pump, step by step and on a thread of its own.

use super::*;
use crate::log::frame::Frame;
use crate::log::sink::tests::sink_that_has_lost_a_line;
use crate::log::{Source, Stream};
use crate::notice::tests::LOOK;
use std::io::{PipeWriter, Write};

/// A pump that goes one step at a time.
pub struct Bench {
    pub pump: Pump,
    look: Look,
    pub queue: Arc<Mutex<Queue>>,
    pub wake: PipeWriter,
    pub logged: PipeReader,
    errors: PipeReader,
    next_token: u64,
}

/// A pipe whose reading end does not wait.
pub fn pipe() -> (PipeReader, PipeWriter) {
    let (pipe, writer) = io::pipe().unwrap();
    sys::set_nonblocking(pipe.as_fd()).unwrap();
    (pipe, writer)
}

/// The order to read this from now on, as the output of a plugin that is called like its number.
pub fn follow(token: u64, plugin: PluginId, stream: Stream, pipe: PipeReader, look: &Look) -> Order {
    let name = format!("{plugin}").into();
    let source = Source { plugin, name, pipe: Arc::new(pipe), stream, counters: Arc::default() };
    let frame = Frame::new(&source, look);
    Order::Follow { token, source, frame }
}

impl Bench {
    pub fn new(format: Format) -> Bench {
        let look = Look { format, ..LOOK };
        let queue = Arc::new(Mutex::new(Queue::new(look)));
        let (woken, wake) = io::pipe().unwrap();
        let [(logged, output), (errors, error_output)] = [pipe(), pipe()];
        let epoll = Arc::new(Epoll::new().unwrap());
        let mut pump = Pump::new(Arc::clone(&queue), woken, epoll, output.into(), look).unwrap();
        pump.errors = Sink::new(error_output.into(), "error output", look);
        Bench { pump, look, queue, wake, logged, errors, next_token: WAKE + 1 }
    }

    /// Orders, which wake it.
    fn order(&mut self, orders: impl IntoIterator<Item = Order>) {
        let mut queue = self.queue.lock().unwrap();
        orders.into_iter().for_each(|order| queue.push(order));
        queue.is_woken = true;
        self.wake.write_all(&[0]).unwrap();
    }

    /// Has it read this from now on.
    fn follow(&mut self, plugin: PluginId, stream: Stream, pipe: PipeReader, is_polled: bool) -> u64 {
        let token = self.next_token;
        self.next_token += 1;
        if !is_polled {
            self.pump.epoll.add(pipe.as_fd(), token).unwrap();
        }
        let follow = follow(token, plugin, stream, pipe, &self.look);
        self.order([follow].into_iter().chain(is_polled.then_some(Order::Poll { token })));
        self.pump.carry_out(None);
        token
    }

    /// A plugin that it reads, and the token of its pipe.
    pub fn plugin(&mut self, plugin: PluginId, stream: Stream, is_polled: bool) -> (u64, PipeWriter) {
        let (pipe, writer) = pipe();
        (self.follow(plugin, stream, pipe, is_polled), writer)
    }

    fn followed(&mut self, token: u64) -> &mut Followed {
        self.pump.sources.get_mut(&token).unwrap()
    }

    /// What it has found ready.
    fn ready(&mut self) -> Vec<u64> {
        let mut ready = Vec::new();
        self.pump.wait(&mut ready, Some(Duration::ZERO));
        ready.sort_unstable();
        ready.dedup();
        ready
    }

    fn turn(&mut self) {
        assert!(!self.ready().is_empty() || !self.pump.bars.is_empty(), "it would wait for ever");
        self.pump.turn(&mut Vec::new());
    }

    /// What was written to the log and to standard error since it was last asked.
    fn written(&mut self) -> (String, String) {
        self.pump.flush();
        let all = |reader: &mut PipeReader| {
            let mut all = Vec::new();
            let _ = reader.read_to_end(&mut all);
            String::from_utf8(all).unwrap()
        };
        (all(&mut self.logged), all(&mut self.errors))
    }

    fn logged(&mut self) -> String {
        self.written().0
    }
}

fn settled(plugin: PluginId, record: &str) -> Order {
    Order::Settle { plugin, time: Timestamp::default(), record: record.into() }
}

#[test]
fn what_was_read_stands_where_it_belongs_among_the_orders() {
    for (orders, expected) in [
        (vec![], "[1] read\n"),
        (vec![Order::Write(b"said\n".to_vec())], "said\n[1] read\n"),
        (vec![settled(1, "ended\n"), Order::Write(b"said\n".to_vec())], "[1] read\n[1] left\nended\nsaid\n"),
        (vec![settled(2, "ended\n"), Order::Write(b"said\n".to_vec())], "[2] other\nended\nsaid\n[1] read\n"),
    ] {
        let mut bench = Bench::new(Format::Text);
        let [(one, mut writer), (_, mut other)] = [1, 2].map(|plugin| bench.plugin(plugin, Stream::Merged, false));
        other.write_all(b"other\n").unwrap();
        writer.write_all(b"left").unwrap();
        bench.order(orders);
        bench.pump.carry_out(Some(Pending { token: one, bytes: b"read\n" }));
        assert_eq!(bench.logged(), expected);
    }
}

#[test]
fn nothing_is_read_after_the_order_to_end_that_was_not_there_before() {
    let mut bench = Bench::new(Format::Text);
    let [(one, mut writer), (two, mut other)] = [1, 2].map(|plugin| bench.plugin(plugin, Stream::Merged, false));
    bench.order([]);
    assert_eq!(bench.ready(), [WAKE]);
    bench.turn();
    assert!(bench.ready().is_empty(), "what woke it was taken");
    writer.write_all(b"one\n").unwrap();
    other.write_all(b"two").unwrap();
    assert_eq!(bench.ready(), [one, two]);
    bench.order([Order::Finish { time: Timestamp::default() }]);
    assert!(!bench.pump.is_over());
    bench.turn();
    assert!(bench.pump.is_over());
    assert_eq!(bench.logged(), "[1] one\n[2] two\n");
}

#[test]
fn a_pipe_is_read_whatever_watches_it() {
    for (has_epoll, is_polled) in [(true, false), (true, true), (false, false)] {
        let mut bench = Bench::new(Format::Text);
        let [(_, mut one), (_, mut two)] = [1, 2].map(|plugin| bench.plugin(plugin, Stream::Merged, is_polled));
        if !has_epoll {
            bench.pump.has_epoll = false;
            bench.pump.epoll = Arc::new(Epoll::new().unwrap());
        }
        assert!(bench.ready().is_empty());
        one.write_all(b"one\n").unwrap();
        bench.turn();
        assert_eq!(bench.logged(), "[1] one\n", "{has_epoll} {is_polled}");
        two.write_all(b"two\n").unwrap();
        bench.turn();
        assert_eq!(bench.logged(), "[2] two\n", "{has_epoll} {is_polled}");
        drop((one, two));
        while !bench.pump.sources.is_empty() {
            bench.turn();
        }
        assert!(bench.ready().is_empty(), "nobody looks at what has ended");
        bench.order([]);
        assert_eq!(bench.ready(), [WAKE]);
    }
}

#[test]
fn news_of_watched_and_of_polled_pipes_is_found_together() {
    let mut bench = Bench::new(Format::Text);
    let [(one, mut first), (two, mut second)] =
        [false, true].map(|is_polled| bench.plugin(1, Stream::Merged, is_polled));
    second.write_all(b"second\n").unwrap();
    assert_eq!(bench.ready(), [two]);
    first.write_all(b"first\n").unwrap();
    assert_eq!(bench.ready(), [WAKE, one, two]);
}

#[test]
fn what_was_said_before_a_line_was_looked_at_stands_before_it() {
    let mut bench = Bench::new(Format::Text);
    let (token, mut writer) = bench.plugin(1, Stream::Merged, false);
    writer.write_all(b"line\n").unwrap();
    bench.order([Order::Write(b"said\n".to_vec())]);
    bench.pump.read(token);
    assert_eq!(bench.logged(), "said\n[1] line\n");

    // Where nothing was said no lock is taken to see that.
    writer.write_all(b"next\n").unwrap();
    let Bench { mut pump, queue, logged, .. } = bench;
    let held = queue.lock().unwrap();
    let reading = thread::spawn(move || {
        pump.read(token);
        pump.flush();
    });
    let is_there = sys::wait_readable([Some(logged.as_fd())], Some(Duration::from_secs(20))).unwrap();
    assert_eq!(is_there, [true]);
    drop(held);
    reading.join().unwrap();
}

#[test]
fn lines_of_standard_error_are_apart_in_text_alone() {
    for (format, stream, is_apart) in [
        (Format::Text, Stream::Merged, false),
        (Format::Text, Stream::Stdout, false),
        (Format::Text, Stream::Stderr, true),
        (Format::Json, Stream::Stdout, false),
        (Format::Json, Stream::Stderr, false),
    ] {
        let mut bench = Bench::new(format);
        let (_, mut writer) = bench.plugin(1, stream, false);
        writer.write_all(b"line\n").unwrap();
        bench.turn();
        let (logged, errors) = bench.written();
        assert_eq!((logged.is_empty(), errors.is_empty()), (is_apart, !is_apart), "{format:?} {stream:?}");
    }
}

#[test]
fn lines_are_lost_where_either_stream_has_lost_some() {
    for (output, errors) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut pump = Bench::new(Format::Text).pump;
        if output {
            pump.output = sink_that_has_lost_a_line();
        }
        if errors {
            pump.errors = sink_that_has_lost_a_line();
        }
        assert_eq!(pump.end(), output || errors);
    }
}

#[test]
fn what_is_settled_is_what_the_pipe_held() {
    let mut bench = Bench::new(Format::Text);
    let (token, mut writer) = bench.plugin(1, Stream::Merged, false);
    let long = "x".repeat(SMALL_BUFFER);
    writer.write_all(format!("{long}\nunfinished").as_bytes()).unwrap();
    drop(writer);
    bench.order([settled(1, "ended\n")]);
    bench.pump.carry_out(None);
    assert_eq!(bench.logged(), format!("[1] {long}\n[1] unfinished\nended\n"));
    assert!(bench.pump.sources.get(&token).is_some(), "not read on: what it left behind may write for ever");
    bench.turn();
    assert!(bench.pump.sources.get(&token).is_none());
}

#[test]
fn a_pipe_that_cannot_be_read_is_given_up_when_that_does_not_pass() {
    let mut bench = Bench::new(Format::Text);
    let directory = OwnedFd::from(std::fs::File::open("/").unwrap());
    let token = bench.follow(1, Stream::Merged, directory.into(), true);
    for _ in 0..100 {
        assert!(bench.pump.read_into_input(token, &Timestamp::default()) == Got::Failed);
    }
    assert_eq!(bench.logged(), "");
    assert!(bench.pump.read_into_input(token, &Timestamp::default()) == Got::End);
    let expected = "[launcher] warning: 1: its output cannot be read: Is a directory; what follows is lost\n";
    assert_eq!(bench.logged(), expected);

    let (token, mut writer) = bench.plugin(2, Stream::Merged, false);
    bench.followed(token).failures = 99;
    for _ in 0..200 {
        assert!(bench.pump.read_into_input(token, &Timestamp::default()) == Got::NothingNow);
    }
    writer.write_all(b"x").unwrap();
    assert!(bench.pump.read_into_input(token, &Timestamp::default()) == Got::Bytes(1));
    assert_eq!(bench.followed(token).failures, 0, "they were not in a row");
}

#[test]
fn the_room_to_read_into_grows_with_what_comes_and_is_kept_while_more_does() {
    for (room, bytes, expected) in [
        (4096, 4095, 4096),
        (4096, 4096, 16_384),
        (16_384, 4096, 16_384),
        (65_536, 65_536, 262_144),
        (262_144, 262_144, 262_144),
    ] {
        let mut bench = Bench::new(Format::Text);
        let (_, mut writer) = bench.plugin(1, Stream::Merged, false);
        bench.pump.input = vec![0; room];
        sys::grow_pipe(writer.as_fd(), 1 << 20);
        writer.write_all(&vec![b'x'; bytes]).unwrap();
        let nowhere = std::fs::File::options().write(true).open("/dev/null").unwrap();
        bench.pump.output = Sink::new(nowhere.into(), "output", LOOK);
        bench.turn();
        assert_eq!(bench.pump.input.len(), expected, "{bytes} into {room}");
    }
}

#[test]
fn a_pump_is_large_where_any_of_its_buffers_is() {
    let grown: [fn(&mut Pump); 3] = [
        |pump| pump.input = vec![0; SMALL_BUFFER + 1],
        |pump| pump.output.push(&[&[b'x'; SMALL_BUFFER], b"\n"]),
        |pump| pump.errors.push(&[&[b'x'; SMALL_BUFFER], b"\n"]),
    ];
    for grow in grown {
        let mut bench = Bench::new(Format::Text);
        assert!(!bench.pump.is_large());
        grow(&mut bench.pump);
        bench.written();
        assert!(bench.pump.is_large());
        bench.pump.calm_down();
        assert!(!bench.pump.is_large());
    }
}

#[test]
fn a_pipe_gets_more_room_when_it_was_seen_full() {
    for (bytes, expected) in [(32_767, false), (32_768, true)] {
        let mut bench = Bench::new(Format::Text);
        let (token, mut writer) = bench.plugin(1, Stream::Merged, false);
        bench.pump.input = vec![0; LARGE_BUFFER];
        writer.write_all(&vec![b'x'; bytes]).unwrap();
        assert!(bench.pump.read_into_input(token, &Timestamp::default()) == Got::Bytes(bytes));
        assert_eq!(bench.followed(token).has_large_pipe, expected, "{bytes}");
    }
}

#[test]
fn a_line_that_is_overwritten_is_logged_when_it_is_due() {
    let mut bench = Bench::new(Format::Text);
    let [(one, _first), (two, _second)] = [1, 2].map(|plugin| bench.plugin(plugin, Stream::Merged, false));
    let log = |pump: &mut Pump, token, bytes: &[u8]| pump.log(&Pending { token, bytes }, &Timestamp::default());
    log(&mut bench.pump, one, b"1%\r");
    log(&mut bench.pump, two, b"10%\r");
    log(&mut bench.pump, one, b"2%\r");
    let tokens = |bench: &Bench| bench.pump.bars.iter().map(|(token, _)| *token).collect::<Vec<_>>();
    assert_eq!(tokens(&bench), [two, one], "each waits once, from its last bytes on");
    let later = Instant::now() + Duration::from_secs(1000);
    bench.pump.bars[0].1 = later;
    bench.pump.bars[1].1 = Instant::now();
    bench.turn();
    assert_eq!(bench.logged(), "[1] 1%\r2%\r\n");
    assert_eq!(tokens(&bench), [two]);

    // What was shown is shown again more rarely, until a line has ended.
    let now = Instant::now();
    (0..8).for_each(|_| bench.followed(one).bar.note_shown(now));
    let rarely = now + Duration::from_secs(128);
    for (bytes, is_rare) in [(&b"3%\r"[..], true), (b"100%\nnext\r", false)] {
        log(&mut bench.pump, one, bytes);
        assert_eq!(bench.pump.bars[1].1 >= rarely, is_rare);
    }

    // Nor does one wait any more whose pipe has ended.
    log(&mut bench.pump, one, b"");
    assert_eq!(bench.pump.bars, [(two, later)]);
}

#[test]
fn what_takes_no_waiting_is_done_without_a_turn() {
    let mut bench = Bench::new(Format::Text);
    bench.order([Order::Write(b"little\n".to_vec())]);
    assert!(bench.pump.work_at_once());
    assert!(!bench.pump.is_over());
    assert_eq!(bench.logged(), "little\n");
    let much = ["x".repeat(99_999), "\n".into()].concat();
    bench.order([Order::Write(much.clone().into()), Order::Finish { time: Timestamp::default() }]);
    assert!(!bench.pump.work_at_once(), "there is no room for so much");
    assert!(bench.pump.is_over());

    // The thread goes on where that has left off.
    sys::grow_pipe(bench.logged.as_fd(), 1 << 20);
    let mut logged = bench.logged;
    assert!(!bench.pump.run());
    let mut text = String::new();
    logged.read_to_string(&mut text).unwrap();
    assert_eq!(text.len(), much.len());
}

#[test]
fn how_many_notices_found_no_room_is_said_behind_those_that_did() {
    let mut bench = Bench::new(Format::Text);
    let (mut logged, output) = io::pipe().unwrap();
    bench.pump.output = Sink::new(output.into(), "output", LOOK);
    let said = [&[b'x'; 99_999][..], b"\n"].concat();
    let all = (0..100).map(|_| Order::Write(said.clone()));
    bench.order(all.chain([Order::Finish { time: Timestamp::default() }]));
    let thread = thread::spawn(move || bench.pump.run());
    let mut text = String::new();
    logged.read_to_string(&mut text).unwrap();
    assert!(!thread.join().unwrap());
    let kept = text.lines().filter(|line| line.starts_with('x')).count();
    let told = format!("[launcher] warning: {} notices lost: nobody read the log", 100 - kept);
    assert!(kept < 100 && text.lines().last() == Some(&told), "{kept}: {:?}", text.lines().last());
}
