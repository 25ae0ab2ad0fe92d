//! The pump, on a thread of its own.

use super::*;
use crate::log::Counters;
use std::io::Write;

/// What is logged of a pipe by a pump that was changed so.
fn pumped(change: impl FnOnce(&mut Pump), is_polled: bool) -> String {
    let look = Look { format: Format::Text, is_quiet: false, is_terminal: false, has_colour: false, label_width: 0 };
    let queue = Arc::new(Mutex::new(Queue::new(look)));
    let (woken, mut wake) = io::pipe().unwrap();
    let (mut logged, output) = io::pipe().unwrap();
    let epoll = Arc::new(Epoll::new().unwrap());
    let mut pump = Pump::new(Arc::clone(&queue), woken, Arc::clone(&epoll), output.into(), look).unwrap();
    change(&mut pump);
    let (pipe, mut plugin) = io::pipe().unwrap();
    if !is_polled {
        epoll.add(pipe.as_fd(), 1).unwrap();
    }
    let source = Source {
        plugin: 0,
        name: "x".into(),
        pipe: Arc::new(pipe),
        stream: Stream::Merged,
        counters: Arc::new(Counters::default()),
    };
    let frame = Frame::new(&source, &look);
    queue.lock().unwrap().push(Order::Follow { token: 1, source, frame });
    if is_polled {
        queue.lock().unwrap().push(Order::Poll { token: 1 });
    }
    wake.write_all(&[0]).unwrap();
    let thread = thread::spawn(move || pump.run());
    let mut first = [0; 8];
    plugin.write_all(b"one\n").unwrap();
    logged.read_exact(&mut first).unwrap();
    plugin.write_all(b"two").unwrap();
    {
        let mut queue = queue.lock().unwrap();
        queue.push(Order::Finish { time: Timestamp::default() });
        queue.is_woken = true;
        wake.write_all(&[0]).unwrap();
    }
    assert!(!thread.join().unwrap());
    let mut rest = String::new();
    logged.read_to_string(&mut rest).unwrap();
    String::from_utf8_lossy(&first).into_owned() + &rest
}

#[test]
fn a_pipe_is_read_whatever_watches_it() {
    assert_eq!(pumped(|_| (), false), "[x] one\n[x] two\n");
    assert_eq!(pumped(|_| (), true), "[x] one\n[x] two\n", "epoll_ctl was refused");
    assert_eq!(pumped(|pump| pump.has_epoll = false, false), "[x] one\n[x] two\n", "epoll_wait was refused");
}

#[test]
fn how_many_notices_found_no_room_is_said_behind_those_that_did() {
    let look = Look { format: Format::Text, is_quiet: false, is_terminal: false, has_colour: false, label_width: 0 };
    let queue = Arc::new(Mutex::new(Queue::new(look)));
    let (woken, mut wake) = io::pipe().unwrap();
    let (mut logged, output) = io::pipe().unwrap();
    let pump = Pump::new(Arc::clone(&queue), woken, Arc::new(Epoll::new().unwrap()), output.into(), look).unwrap();
    let said = [&[b'x'; 99_999][..], b"\n"].concat();
    {
        let mut queue = queue.lock().unwrap();
        (0..100).for_each(|_| queue.push(Order::Write(said.clone())));
        queue.push(Order::Finish { time: Timestamp::default() });
        queue.is_woken = true;
        wake.write_all(&[0]).unwrap();
    }
    let thread = thread::spawn(move || pump.run());
    let mut text = String::new();
    logged.read_to_string(&mut text).unwrap();
    assert!(!thread.join().unwrap());
    let kept = text.lines().filter(|line| line.starts_with('x')).count();
    let told = format!("[launcher] warning: {} notices lost: nobody read the log", 100 - kept);
    assert!(kept < 100 && text.lines().last() == Some(&told), "{kept}: {:?}", text.lines().last());
}
