//! Clients that mean no good, too many of them, and launchers that do not answer.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::{RUNS, asked, connect, exchange, of, run, wait_for_state};
use crate::json::Json;
use crate::processes;
use crate::sandbox::{self, PATIENCE, Sandbox, wait_for};

#[test]
fn a_launcher_that_does_not_answer_is_not_waited_for() {
    let sandbox = Sandbox::with([("all_x.sh", RUNS)]);
    let running = run(&sandbox, &[]).start();
    running.wait_for_stdout("ready");
    let supervisor = running.supervisor();
    sandbox::send("STOP", &[supervisor]);
    // What is to be done may take as long as it takes.
    let orders: [&[&str]; 4] = [&["reload"], &["start", "all_x.sh"], &["restart", "all_x.sh"], &["stop", "all_x.sh"]];
    let orders = orders.map(|words| sandbox.launcher(words).args(["--control", "s"]).start());
    let begun = Instant::now();
    let refused = asked(&sandbox, 2, "status", &[]);
    assert!(refused.stderr.contains("the launcher at `s` does not answer"), "{}", refused.stderr);
    assert!(begun.elapsed() < Duration::from_secs(10) + sandbox::margin());
    sandbox::send("CONT", &[supervisor]);
    for order in orders {
        let done = order.wait();
        assert_eq!(done.status.code(), Some(0), "{}", done.stderr);
    }
}

#[test]
fn a_client_that_says_more_than_its_request_is_answered() {
    let sandbox = Sandbox::with([("all_x.sh", RUNS)]);
    let running = run(&sandbox, &[]).start();
    running.wait_for_stdout("ready");
    let more = [b"status\n".to_vec(), b"x".repeat(30_000)].concat();
    assert!(exchange(&sandbox, &more).last().is_some_and(|record| record["ok"] == Json::Bool(true)));
}

#[test]
fn a_client_that_is_gone_before_its_answer_is_not_heard_of_again() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\ntrap '' TERM\necho ready\nwhile :; do sleep 0.1; done\n")]);
    let running = run(&sandbox, &["--grace-period", "600"]).start();
    running.wait_for_stdout("ready");
    let mut client = connect(&sandbox);
    client.write_all(b"stop all_x.sh\n").expect("sent");
    wait_for_state(&sandbox, "all_x.sh", "stopping");
    drop(client);
    processes::wait_for_sleep("nobody has news", &[running.pid(), running.supervisor()]);
}

#[test]
fn two_hundred_ask_at_once() {
    let sandbox = Sandbox::with([("all_x.sh", RUNS)]);
    let running = run(&sandbox, &[]).start();
    running.wait_for_stdout("ready");
    // All are connected before the first one asks.
    let mut clients: Vec<UnixStream> = (0..200).map(|_| connect(&sandbox)).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        let request: &[u8] = if index % 50 == 7 { b"restart all_x.sh\n" } else { b"status\n" };
        client.write_all(request).expect("sent");
    }
    for client in &mut clients {
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("answered");
        assert!(answer.ends_with("{\"ok\":true}\n"), "{answer}");
    }
    // One after another, each of whom is let in at once.
    let since = Instant::now();
    (0..100).for_each(|_| drop(exchange(&sandbox, b"status\n")));
    assert!(since.elapsed() < PATIENCE, "{:?}", since.elapsed());
}

#[test]
fn a_request_has_at_most_64_kib() {
    let sandbox = Sandbox::with([("all_x.sh", RUNS)]);
    let running = run(&sandbox, &[]).start();
    running.wait_for_stdout("ready");
    for (blanks, is_answered) in [(65_536 - "status".len(), true), (70_000, false)] {
        let answer = exchange(&sandbox, format!("status{}\n", " ".repeat(blanks)).as_bytes());
        let last = answer.last().expect("an answer");
        assert_eq!(last["ok"], Json::Bool(is_answered), "{blanks}");
        assert!(is_answered || last["error"] == "the request is too long", "{last:?}");
    }
}

#[test]
fn who_reads_slowly_has_all_of_a_long_answer() {
    const PLUGINS: usize = 250;
    let sandbox = Sandbox::new();
    // More than a socket holds.
    let directory = [["d"; 200].concat(), ["e"; 200].concat(), ["f"; 200].concat()].join("/");
    for n in 0..PLUGINS {
        sandbox.plugin(format!("{directory}/all_{n:0240}.sh"), "#!/bin/sh\n");
    }
    let running = run(&sandbox, &["--watch"]).start();
    wait_for("all have ended", || running.stdout().matches(": status 0\n").count() == PLUGINS);
    let mut clients = [connect(&sandbox), connect(&sandbox)];
    clients.iter_mut().for_each(|client| client.write_all(b"status\n").expect("sent"));
    exchange(&sandbox, b"status all\n");
    let read = |client: &mut UnixStream| {
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("an answer and its end");
        answer
    };
    for client in &mut clients {
        let answer = read(client);
        assert!(answer.len() > 250_000 && answer.ends_with("{\"ok\":true}\n"), "{}", answer.len());
        assert_eq!(answer.matches("\"state\":\"ended\"").count(), PLUGINS);
    }
    // Of many who do not read, those who came first make room; who has not asked yet takes none.
    let mut silent = connect(&sandbox);
    let memory = || processes::status_figure(running.supervisor(), "VmRSS");
    let before = memory();
    let mut crowd: Vec<UnixStream> = (0..40).map(|_| connect(&sandbox)).collect();
    crowd.iter_mut().for_each(|client| client.write_all(b"status\n").expect("sent"));
    exchange(&sandbox, b"status all\n");
    assert!(memory() < before + 4096, "{} kB", memory() - before);
    assert!(!read(&mut crowd[0]).ends_with("{\"ok\":true}\n"));
    assert!(crowd[35..].iter_mut().all(|client| read(client).ends_with("{\"ok\":true}\n")));
    silent.write_all(b"status all\n").expect("sent");
    assert!(read(&mut silent).contains("there is no plugin"));
    // Who goes away in between is not heard of again.
    let mut leaving = connect(&sandbox);
    leaving.write_all(b"status\n").expect("sent");
    exchange(&sandbox, b"status all\n");
    drop(leaving);
    processes::wait_for_sleep("nobody has news", &[running.pid(), running.supervisor()]);
}

#[test]
fn bad_clients_harm_nobody_but_themselves() {
    let sandbox = Sandbox::with([("all_x.sh", RUNS)]);
    let running = run(&sandbox, &[]).start();
    running.wait_for_stdout("ready");
    // Says nothing; says half of it; reads nothing.
    let silent = connect(&sandbox);
    let mut half = connect(&sandbox);
    half.write_all(b"stat").expect("sent");
    let mut deaf = connect(&sandbox);
    deaf.write_all(b"status\n").expect("sent");
    asked(&sandbox, 0, "status", &[]);
    // Ten megabytes, with and without lines.
    for piece in [&b"x"[..], b"status\n", b"x\n", b"\0"] {
        let mut flood = connect(&sandbox);
        let block = piece.repeat(65_536 / piece.len());
        let sent = (0..160).take_while(|_| flood.write_all(&block).is_ok()).count();
        assert!(sent < 160, "it is cut off");
        asked(&sandbox, 0, "status", &[]);
    }
    for garbage in
        [&b"\n"[..], b"\xff\xfe\n", b"{\"status\":1}\n", b"status \"\n", b"start\n", b"reload now\n", b"STATUS\n", b"x"]
    {
        let mut stream = connect(&sandbox);
        stream.write_all(garbage).expect("sent");
        stream.shutdown(std::net::Shutdown::Write).expect("no more");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        let last = Json::parse(answer.trim_end());
        assert!(last["ok"] == Json::Bool(false) && last.has("error"), "{garbage:?}: {answer}");
    }
    // Half a request is whole when its end comes.
    half.write_all(b"us\n").expect("sent");
    let mut answer = String::new();
    half.read_to_string(&mut answer).expect("answered");
    assert!(answer.contains("all_x.sh"), "{answer}");
    drop((silent, deaf));
    asked(&sandbox, 0, "status", &[]);
}

#[test]
fn who_waits_for_an_answer_is_not_pushed_out_by_those_who_ask_nothing() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\ntrap '' TERM\necho ready\nwhile :; do sleep 0.1; done\n")]);
    let running = run(&sandbox, &["--grace-period", "1"]).start();
    running.wait_for_stdout("ready");
    let mut waits = connect(&sandbox);
    waits.write_all(b"stop all_x.sh\n").expect("sent");
    wait_for_state(&sandbox, "all_x.sh", "stopping");
    let mut crowd: Vec<UnixStream> = (0..400).map(|_| connect(&sandbox)).collect();
    let mut answer = String::new();
    waits.read_to_string(&mut answer).expect("answered");
    assert!(answer.ends_with("{\"ok\":true}\n"), "{answer}");
    // The control: of the crowd the first has been let go.
    assert_eq!(crowd[0].read(&mut [0]).expect("an end"), 0);
}

#[test]
fn what_all_together_may_wait_for_is_bounded() {
    const PLUGINS: usize = 128;
    // So many may ask for all of them.
    const MOST: usize = 16 * 1024 / PLUGINS;
    let deaf = "#!/bin/sh\ntrap '' TERM\necho ready\nwhile :; do sleep 0.1; done\n";
    let sandbox = Sandbox::with([("all_deaf.sh", deaf)]);
    let others: Vec<String> = (1..PLUGINS).map(|n| format!("all_{n}.sh")).collect();
    others.iter().for_each(|name| drop(sandbox.plugin(name, "#!/bin/sh\n")));
    let running = run(&sandbox, &["--grace-period", "600"]).start();
    wait_for("all others have ended", || running.stdout().matches(": status 0\n").count() == PLUGINS - 1);
    let request = format!("stop all_deaf.sh {}\n", others.join(" "));
    let mut clients: Vec<UnixStream> = (0..MOST + 2).map(|_| connect(&sandbox)).collect();
    clients.iter_mut().for_each(|client| client.write_all(request.as_bytes()).expect("sent"));
    for client in &mut clients[MOST..] {
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("answered");
        assert_eq!(answer, "{\"ok\":false,\"error\":\"too many requests are being carried out\"}\n");
    }
    for client in &mut clients[..MOST] {
        client.set_nonblocking(true).expect("set");
        assert!(client.read(&mut [0]).is_err(), "it waits still");
    }
    // Who asks only how things are waits for nothing.
    assert_eq!(of(&sandbox, "all_deaf.sh")["state"], "stopping");
}

#[test]
fn clients_leave_descriptors_for_plugins() {
    let sandbox = Sandbox::with([("all_x.sh", RUNS)]);
    let script = "ulimit -n 40 && exec \"$LAUNCHER\" run --control s plugins";
    let running = sandbox.command("sh", ["-c", script]).start();
    running.wait_for_stdout("ready");
    let crowd: Vec<UnixStream> = (0..100).map(|_| connect(&sandbox)).collect();
    let restarted = asked(&sandbox, 0, "restart", &["all_x.sh"]).text();
    assert!(restarted.contains("running"), "{restarted}");
    drop(crowd);
}

#[test]
fn where_plugins_took_all_descriptors_whoever_asks_waits_and_nothing_spins() {
    let sandbox = Sandbox::new();
    for n in 0..40 {
        sandbox.plugin(format!("all_{n}.sh"), RUNS);
    }
    let script = "ulimit -n 32; exec \"$LAUNCHER\" run --control s plugins";
    let running = sandbox.command("sh", ["-c", script]).start();
    running.wait_for_stdout("cannot be started: ");
    let supervisor = running.supervisor();
    // More than are left.
    let clients: Vec<UnixStream> = (0..16).map(|_| connect(&sandbox)).collect();
    let (began, before) = (Instant::now(), processes::ticks(supervisor));
    wait_for("a second has passed", || began.elapsed() > Duration::from_secs(1));
    // A hundred a second is what a spinning processor has, and a tenth of that where ten want it.
    let ticks = processes::ticks(supervisor) - before;
    assert!(ticks < 5, "{ticks}");
    drop(clients);
    asked(&sandbox, 1, "status", &[]);
}

#[test]
fn all_clients_together_cost_a_bounded_memory() {
    let resident = |pid: u32| -> u64 {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("its memory");
        line.split_whitespace().nth(1).expect("a number").parse().expect("kB")
    };
    let sandbox = Sandbox::with([("all_x.sh", RUNS)]);
    let running = run(&sandbox, &[]).start();
    running.wait_for_stdout("ready");
    asked(&sandbox, 0, "status", &[]);
    let supervisor = running.supervisor();
    let before = resident(supervisor);
    let mut most = before;
    // Nearly as long as a request may be, without an end; requests of many names; answers that nobody reads.
    let unfinished = "x".repeat(60_000);
    let of_many = format!("status{}\n", " all_x.sh".repeat(6_000));
    let of_short = format!("restart{}\n", " x".repeat(30_000));
    let of_one = format!("restart{}\n", " all_x.sh".repeat(6_000));
    for request in [unfinished, of_many, of_short, of_one] {
        let mut clients = Vec::new();
        for _ in 0..250 {
            let mut client = connect(&sandbox);
            client.set_write_timeout(Some(Duration::from_millis(200))).expect("a timeout");
            let _ = client.write_all(request.as_bytes());
            clients.push(client);
            most = most.max(resident(supervisor));
        }
        drop(clients);
        asked(&sandbox, 0, "status", &[]);
    }
    assert!(most - before <= 4096, "{} kB", most - before);
}

#[test]
fn another_user_is_not_answered() {
    let sandbox = Sandbox::with([("all_x.sh", RUNS)]);
    let running = run(&sandbox, &[]).start();
    running.wait_for_stdout("ready");
    sandbox.launcher(["install", "."]).output();
    assert_eq!(fs::metadata(sandbox.path("s")).expect("there").mode() & 0o777, 0o600);
    if fs::metadata("/proc/self").expect("proc").uid() != 0 {
        // Only root can be another user as well: for everybody else the mode above is the promise.
        return;
    }
    // As if somebody had opened it to everybody.
    sandbox.mode("s", 0o666);
    let program = sandbox.text("lmcache-plugin-launcher");
    let other = ["setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups", &program, "status", "--control"];
    let refused = sandbox.command(other[0], &other[1..]).args([sandbox.text("s")]).output();
    assert_eq!(refused.status.code(), Some(2), "{}", refused.stderr);
    assert_eq!(refused.text(), "");
    assert!(refused.stderr.contains("the launcher at"), "it is there: {}", refused.stderr);
    asked(&sandbox, 0, "status", &[]);
}

#[test]
fn root_is_answered_whoever_runs_the_launcher() {
    let sandbox = Sandbox::with([("all_x.sh", RUNS)]);
    sandbox.mode("", 0o777);
    let running = crate::secrets::as_an_ordinary_user(&sandbox, "exec \"$0\" run --control s plugins").start();
    running.wait_for_stdout("ready");
    asked(&sandbox, 0, "status", &["all_x.sh"]);
}

#[test]
fn a_launcher_that_was_stopped_answers_nobody_and_nobody_waits_for_ever() {
    let sandbox = Sandbox::with([("all_x.sh", RUNS)]);
    let running = run(&sandbox, &[]).start();
    running.wait_for_stdout("ready");
    let both = [running.pid(), running.supervisor()];
    sandbox::send("STOP", &both);
    for pid in both {
        wait_for("it is stopped", || processes::read(pid).is_some_and(|process| process.state == 'T'));
    }
    let commands = ["status", "reload", "stop", "start", "restart"];
    let names = |command: &&str| if ["status", "reload"].contains(command) { &[][..] } else { &["all_x.sh"][..] };
    let asking = commands.map(|command| sandbox.launcher([command, "--control", "s"]).args(names(&command)).start());
    for (command, asking) in commands.into_iter().zip(asking) {
        let output = asking.wait_within(Duration::from_secs(30));
        assert_eq!(output.status.code(), Some(2), "{command}");
        assert!(output.stderr.contains("does not answer"), "{command}: {}", output.stderr);
    }
    sandbox::send("CONT", &both);
    wait_for_state(&sandbox, "all_x.sh", "running");
}

#[test]
fn a_stop_that_takes_its_time_is_waited_for() {
    let sandbox =
        Sandbox::with([("all_deaf.sh", "#!/bin/sh\ntrap '' TERM\necho ready\nwhile :; do sleep 0.1; done\n")]);
    // Longer than any launcher may be silent.
    let grace_period = Duration::from_secs(6);
    let running = run(&sandbox, &["--grace-period", "6"]).start();
    running.wait_for_stdout("ready");
    let began = Instant::now();
    asked(&sandbox, 0, "stop", &["all_deaf.sh"]);
    assert!(began.elapsed() >= grace_period);
    assert_eq!(of(&sandbox, "all_deaf.sh")["state"], "stopped");
}

#[test]
fn a_socket_whose_queue_is_full_holds_up_nobody() {
    let sandbox = Sandbox::with([("all_x.sh", RUNS)]);
    let full = "import socket, time\n\
        listener = socket.socket(socket.AF_UNIX)\nlistener.bind('s')\nlistener.listen(0)\nclients = []\n\
        try:\n    \
            while True:\n        \
                clients.append(socket.socket(socket.AF_UNIX))\n        \
                clients[-1].setblocking(False)\n        \
                clients[-1].connect('s')\n\
        except BlockingIOError:\n    \
            print('full', flush=True)\n\
        time.sleep(1000)\n";
    let running = sandbox.command("python3", ["-c", full]).start();
    running.wait_for_stdout("full");
    let asking = ["status", "stop"].map(|command| sandbox.launcher([command, "--control", "s", "all_x.sh"]).start());
    run(&sandbox, &[]).start().wait_within(Duration::from_secs(20)).assert_refused(&["does not answer"]);
    for asking in asking {
        assert_eq!(asking.wait_within(Duration::from_secs(20)).status.code(), Some(2));
    }
}
