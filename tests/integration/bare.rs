//! PROGRAM as if it had been started bare: every scenario is done once without the launcher and once below it, and what
//! is seen must be the same: who got which signal how often, statuses, modes of the terminal, output.
//!
//! A scenario is a row of `SCENARIOS`: where it happens, the script, and what is done to it, step by step. In scripts `SH` is each shell
//! in turn, and `./r` starts what follows: bare, or below the launcher.

use std::fs;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::namespace;
use crate::processes;
use crate::sandbox::{self, LAUNCHER, Running, Sandbox};

/// How long a scenario may take one way.
const PATIENCE: Duration = Duration::from_secs(10);
const PROMPT: &str = "prompt> ";

/// Where the script runs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    /// By a shell without a terminal, its output in pipes.
    Plain,
    /// By a shell that leads a session on a terminal.
    Leader,
    /// Typed into an interactive shell, which has job control.
    Typed,
    /// By PID 1 of a PID namespace.
    Pid1,
    /// By PID 1 on a terminal of its own.
    Pid1Leader,
}
use Place::{Leader, Pid1, Pid1Leader, Plain, Typed};

/// What is seen of a scenario.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    /// The lines of the file `seen`, sorted: two processes that get a signal at once say so in any order.
    lines: Vec<String>,
    /// Without a terminal, where it is not mixed with echo and prompts.
    output: String,
    error: String,
    status: Option<ExitStatus>,
}

/// A scenario in progress.
struct Scene<'s> {
    sandbox: &'s Sandbox,
    running: Running<'s>,
    place: Place,
    deadline: Instant,
    /// How often each line was waited for.
    waited_for: Vec<String>,
    prompts: usize,
}

impl Scene<'_> {
    fn wait(&self, what: &str, mut condition: impl FnMut() -> bool) -> Result<(), String> {
        while !condition() {
            self.wait_a_moment(what)?;
        }
        Ok(())
    }

    fn wait_a_moment(&self, what: &str) -> Result<(), String> {
        if Instant::now() > self.deadline {
            let (seen, shown) = (self.sandbox.read("seen"), self.running.stdout());
            return Err(format!("not in time: {what}\n--- seen:\n{seen}--- shown:\n{shown}"));
        }
        thread::sleep(Duration::from_millis(10));
        Ok(())
    }

    /// The process that the caller sees: PROGRAM bare, or the launcher.
    fn top(&self) -> u32 {
        if !matches!(self.place, Pid1 | Pid1Leader) {
            return self.pid_in("top");
        }
        let is_first = |pid: &u32| {
            let parent = processes::read(*pid).and_then(|process| processes::read(process.parent));
            parent.is_some_and(|parent| parent.command.starts_with("unshare "))
        };
        self.below(self.running.pid()).into_iter().find(is_first).expect("PID 1 of the namespace")
    }

    fn pid_in(&self, file: &str) -> u32 {
        self.sandbox.wait_for_file(file).trim().parse().unwrap_or_else(|_| panic!("{file} holds no pid"))
    }

    fn below(&self, pid: u32) -> Vec<u32> {
        let mut found = vec![pid];
        let mut next = 0;
        while next < found.len() {
            found.extend(processes::children_of(found[next]));
            next += 1;
        }
        found
    }

    /// `top`; `group`, the process group of it; `all`, it and everything below; else the file in which a pid is.
    fn targets(&self, who: &str) -> Vec<i64> {
        match who {
            "top" => vec![self.top().into()],
            "group" => vec![-processes::read(self.top()).map_or(0, |top| i64::from(top.group))],
            "all" => self
                .below(self.top())
                .into_iter()
                .filter(|&pid| processes::read(pid).is_some_and(|process| !process.command.contains("sleep 1001")))
                .map(i64::from)
                .collect(),
            file => vec![self.pid_in(&format!("{file}.pid")).into()],
        }
    }

    fn step(&mut self, step: &str) -> Result<(), String> {
        let (verb, rest) = step.split_once(' ').unwrap_or((step, ""));
        match verb {
            // As often as it was asked for.
            "see" => {
                self.waited_for.push(rest.to_owned());
                let count = self.waited_for.iter().filter(|line| *line == rest).count();
                self.wait(step, || self.sandbox.read("seen").lines().filter(|line| *line == rest).count() >= count)?;
            }
            "prompt" => {
                self.prompts += 1;
                self.wait(step, || self.running.stdout().matches(PROMPT).count() >= self.prompts)?;
            }
            "type" => self.running.write(&format!("{rest}\n")),
            "key" => self.running.write(&String::from(char::from(rest.as_bytes()[0] & 0x1f))),
            "send" => {
                let (signal, who) = rest.split_once(' ').expect("signal and target");
                let targets = self.targets(who).iter().map(i64::to_string).collect::<Vec<_>>();
                let mut kill = Command::new("sh");
                kill.args(["-c", "kill -s \"$0\" -- \"$@\"", signal]).args(targets).stderr(Stdio::null());
                kill.status().expect("sh runs kill");
            }
            // Every one that can be caught, but 64: to `top`, unless said otherwise.
            "signals" => {
                let (name, who) = rest.split_once(' ').unwrap_or((rest, "top"));
                for number in (1..64).filter(|number| ![9, 19, 32, 33].contains(number)) {
                    self.step(&format!("send {number} {who}"))?;
                    self.step(&format!("see {name} {number}"))?;
                }
            }
            "stopped" | "running" => {
                let is_stopped = |pid| processes::read(pid).is_some_and(|process| process.state == 'T');
                let pid = self.targets(rest)[0] as u32;
                self.wait(step, || is_stopped(pid) == (verb == "stopped"))?;
            }
            "foreground" => {
                let stat = format!("/proc/{}/stat", self.top());
                let is_in_foreground = |stat: String| {
                    let mut fields = stat.rsplit(") ").next().into_iter().flat_map(|rest| rest.split(' '));
                    fields.nth(2) == fields.nth(2)
                };
                self.wait(step, || fs::read_to_string(&stat).is_ok_and(is_in_foreground))?;
            }
            "gone" => {
                let pid = self.targets(rest)[0] as u32;
                self.wait(step, || !processes::is_alive(pid))?;
            }
            // The window is closed.
            "hangup" => self.running.signal("KILL"),
            _ => panic!("no such step: {step}"),
        }
        Ok(())
    }
}

/// Does a scenario. `under` is what stands before PROGRAM.
fn perform(scenario: &Scenario, shell: &str, under: &str, patience: Duration) -> Result<Seen, String> {
    let (_, place, script, steps) = *scenario;
    let sandbox = Sandbox::with([("all_x.sh", PLUGIN)]);
    sandbox.write("probe.pl", include_str!("probe.pl"));
    sandbox.write("terminal.py", include_str!("terminal.py"));
    sandbox.write("inherited.sh", include_str!("inherited.sh"));
    for (name, text) in SCRIPTS {
        sandbox.write(name, text);
    }
    sandbox.write("r", "#!/bin/sh\necho $$ >top\nexec $UNDER \"$@\"\n");
    sandbox.mode("r", 0o755);
    let interactive = match shell {
        "bash" => "bash --norc --noprofile --noediting -i".to_owned(),
        _ => format!("{shell} -i"),
    };
    let script = script.replace("SH", shell).replace("INTERACTIVE", &interactive);
    let mut words: Vec<&str> = Vec::new();
    if matches!(place, Leader | Typed | Pid1Leader) {
        words.extend(["python3", "terminal.py", "24", "200"]);
    }
    let namespace = namespace::words(&["--pid", "--fork", "--mount-proc"]);
    if matches!(place, Pid1 | Pid1Leader) {
        words.extend(&namespace);
    }
    match place {
        Typed => words.extend(interactive.split(' ')),
        _ => words.extend(shell.split(' ').chain(["-c", &script])),
    }
    let launch = sandbox.command(words[0], &words[1..]).stdin(Stdio::piped());
    let launch = launch.env("UNDER", under).env("PS1", PROMPT).env("TERM", "dumb").env("HISTFILE", "/dev/null");
    let mut scene = Scene {
        sandbox: &sandbox,
        running: launch.start(),
        place,
        deadline: Instant::now() + patience,
        waited_for: Vec::new(),
        prompts: 0,
    };
    if place == Typed {
        scene.step("prompt")?;
        scene.step(&format!("type {script}"))?;
    }
    for step in steps.split("; ").filter(|step| !step.is_empty()) {
        scene.step(step)?;
    }
    let hung_up = steps.contains("hangup");
    if place == Typed && !hung_up {
        scene.step("type exit 0")?;
    }
    if matches!(place, Plain | Pid1) {
        scene.running.close_stdin();
    }
    while scene.running.is_running() {
        scene.wait_a_moment("its end")?;
    }
    let done = scene.running.wait();
    sandbox.assert_nothing_left(sandbox::margin());
    let root = sandbox.text("").trim_end_matches('/').to_owned();
    let mut lines: Vec<_> = sandbox.read("seen").lines().map(|line| line.replace(&root, "ROOT")).collect();
    lines.sort();
    // Shell and kernel both say it, and timeout(1) says it twice; whether two are one is chance.
    if hung_up || script.contains("timeout ") {
        lines.dedup();
    }
    let has_terminal = matches!(place, Leader | Typed | Pid1Leader);
    Ok(Seen {
        lines,
        output: if has_terminal { String::new() } else { done.text() },
        error: if has_terminal { String::new() } else { done.stderr.clone() },
        status: (!hung_up).then_some(done.status),
    })
}

type Scenario = (&'static str, Place, &'static str, &'static str);

/// How the launcher stands before PROGRAM.
fn launcher() -> String {
    format!("{LAUNCHER} run --quiet plugins --")
}

const PLUGIN: &str = "#!/bin/sh\nexec sleep 1001\n";

/// Programs of the scenarios.
const SCRIPTS: &[(&str, &str)] = &[
    // An entry script that starts its server without `exec`.
    ("serve.sh", "perl probe.pl server 5\necho \"server ended with $?\" >>seen\n"),
    ("sleep.sh", "sh -c 'echo ready >>seen; exec sleep 1000'\necho \"sleep ended with $?\" >>seen\n"),
    // It waits, as bash and dash do, for children of which a signal does not keep it.
    (
        "trap.sh",
        "trap 'echo INT >>seen' INT\ntrap 'echo TERM >>seen; kill $! 2>/dev/null; exit 9' TERM\n\
         sleep 1000 &\necho ready >>seen\nwhile :; do wait; done\n",
    ),
    (
        "ask.sh",
        "printf 'password: ' >/dev/tty; stty -echo </dev/tty; read -r line </dev/tty; stty echo </dev/tty; echo \"got $line\" >>seen\n",
    ),
    ("raw.sh", "stty raw -echo; echo ready >>seen; kill -KILL $$\n"),
    // What is between a caller and its program without being like it.
    ("child.sh", "trap : INT\n\"$@\"\nexit $?\n"),
    ("loop.sh", "./r sh -c 'echo ready >>seen; exec sleep 1000'\necho \"went on with $?\" >>seen\n"),
];

/// The scenarios that every shell takes part in, and in which it matters.
const SCENARIOS: &[Scenario] = &[
    // ---- without a terminal
    ("what is inherited", Plain, "./r SH inherited.sh", "see done"),
    (
        "what is inherited from one who ignores signals",
        Plain,
        "trap '' PIPE HUP USR1 TSTP CHLD INT; ./r SH inherited.sh",
        "see done",
    ),
    (
        "what is inherited beside",
        Plain,
        "umask 027; ulimit -n 100; ulimit -c 0; exec 7<r; nice ./r SH inherited.sh",
        "see done",
    ),
    ("sockets of systemd", Plain, "LISTEN_PID=$$ LISTEN_FDS=1 exec ./r SH inherited.sh", "see done"),
    ("nohup", Plain, "nohup ./r SH inherited.sh", "see done"),
    ("setsid", Plain, "/usr/bin/setsid -w ./r SH inherited.sh", "see done"),
    (
        "input and output",
        Plain,
        "printf 'one\\ntwo' | ./r SH -c 'cat; echo error >&2; exit 3' | cat; echo \"status $?\"",
        "",
    ),
    ("a pipeline that ends early", Plain, "./r yes | head -n 3; echo done", ""),
    (
        "SIGPIPE ignored",
        Plain,
        "trap '' PIPE; (./r perl -e '$| = 1; for (1 .. 100000) { print \"x\\n\" or exit 7 }'; echo \"status $?\" >>seen) | head -n 1",
        "see status 7",
    ),
    (
        "a script of bash that Ctrl-C ends",
        Leader,
        "trap : INT; bash loop.sh; echo \"status $?\" >>seen; echo end >>seen",
        "see ready; key C; see end",
    ),
    ("TERM to it alone", Plain, "exec ./r SH trap.sh", "see ready; send INT top; see INT; send TERM top"),
    (
        "TERM to its group",
        Plain,
        "/usr/bin/setsid -w ./r SH serve.sh",
        "see server ready; send HUP server; see server 1; send 64 server",
    ),
    (
        "TERM to all processes at once",
        Plain,
        "./r perl probe.pl p; echo \"status $?\"",
        "see p ready; send TERM all; see p 15; send USR1 all; see p 10; send 64 p",
    ),
    (
        "signals to its group",
        Plain,
        "/usr/bin/setsid -w ./r perl probe.pl p",
        "see p ready; send INT group; see p 2; send TERM group; see p 15; send USR1 group; see p 10; send 64 top",
    ),
    (
        "signals to its group and to it, as timeout sends them",
        Plain,
        "timeout -k 50 2 ./r perl probe.pl p 4; echo \"status $?\"",
        "see p ready; see p 15; send 64 p",
    ),
    (
        "stop and continue",
        Plain,
        "./r perl probe.pl p",
        "see p ready; send STOP p; stopped top; send CONT p; running top; see p 18; send TERM top; see p 15; send 64 top",
    ),
    (
        "stop and continue, all",
        Plain,
        "/usr/bin/setsid -w ./r perl probe.pl p",
        "see p ready; send STOP group; stopped top; stopped p; send CONT group; running p; running top; see p 18; send INT top; see p 2; send 64 top",
    ),
    (
        "in the background of a script that ends",
        Plain,
        "./r perl probe.pl p >out 2>&1 & ",
        "see p ready; send INT top; send TERM top; see p 15; send 64 p; gone top",
    ),
    (
        "nohup, and the shell goes",
        Plain,
        "nohup ./r perl probe.pl p >out 2>&1 & ",
        "see p ready; send HUP top; send TERM top; see p 15; send 64 p; gone top",
    ),
    (
        "a program that leaves a daemon",
        Plain,
        "./r SH -c 'echo ready >>seen; (sleep 0.1; echo late >>seen) & wait; exit 4'; echo $?",
        "see ready; see late",
    ),
    ("no such program", Plain, "./r SH -c 'no-such-program' 2>/dev/null; echo $?", ""),
    (
        "nested launchers",
        Plain,
        "$UNDER ./r perl probe.pl p; echo $?",
        "see p ready; send TERM top; see p 15; send 64 top",
    ),
    (
        "nested launchers and their group",
        Plain,
        "exec /usr/bin/setsid -w $UNDER ./r perl probe.pl p",
        "see p ready; send INT group; see p 2; send 64 p",
    ),
    ("a terminal of script(1)", Plain, "script -qec './r SH inherited.sh' /dev/null", "see done"),
    // ---- leading a session on a terminal, as with `docker run -it`
    ("what the leader inherits", Leader, "exec ./r SH inherited.sh", "see done"),
    ("what another inherits", Leader, "./r SH inherited.sh", "see done"),
    ("setsid, without the terminal", Leader, "/usr/bin/setsid -w ./r SH inherited.sh", "see done"),
    ("Ctrl-C", Leader, "exec ./r SH sleep.sh", "see ready; key C"),
    ("Ctrl-C, the output in a file", Leader, "exec ./r SH sleep.sh >log", "see ready; key C"),
    ("Ctrl-C, a pipeline", Leader, "./r SH sleep.sh | tee log", "see ready; key C"),
    (
        "Ctrl-C for one that counts",
        Leader,
        "exec ./r perl probe.pl p 7",
        "see p ready; key C; see p 2; key C; see p 2; key \\; see p 3; send 64 top",
    ),
    (
        "Ctrl-C for an entry script that counts",
        Leader,
        "exec ./r SH serve.sh",
        "see server ready; key C; see server 2; key C; see server 2; send 64 server",
    ),
    ("Ctrl-Z where no shell could continue it", Leader, "exec ./r SH sleep.sh", "see ready; key Z; key C"),
    ("Ctrl-Z for one that counts", Leader, "exec ./r perl probe.pl p", "see p ready; key Z; see p 20; send 64 top"),
    ("the window closes", Leader, "exec ./r SH sleep.sh", "see ready; hangup; gone top"),
    (
        "the window closes on one that minds",
        Leader,
        "exec ./r perl probe.pl p",
        "see p ready; hangup; see p 1; send 64 p; gone top",
    ),
    (
        "the window closes on an entry script",
        Leader,
        "exec ./r SH -c 'trap \"echo HUP >>seen\" HUP; perl probe.pl p & wait; wait; echo through >>seen'",
        "see p ready; hangup; see HUP; send 64 p; see through; gone top",
    ),
    ("a question on /dev/tty in a pipeline", Leader, "echo x | ./r SH ask.sh", "type secret; see got secret"),
    (
        "it reads from the terminal",
        Leader,
        "exec ./r SH -c 'read -r line; echo \"got $line\" >>seen'",
        "type hello; see got hello",
    ),
    ("modes of a program that dies", Leader, "./r SH raw.sh; stty -a >>seen; stty sane", "see ready"),
    // ---- typed into a shell with job control
    ("what a job inherits", Typed, "./r SH inherited.sh", "see done; prompt"),
    ("what a job in the background inherits", Typed, "./r SH inherited.sh & wait", "see done"),
    (
        "Ctrl-C of a job",
        Typed,
        "./r SH sleep.sh >log",
        "see ready; key C; prompt; type echo \"status $?\" >>seen; see status 130",
    ),
    (
        "Ctrl-C of a pipeline",
        Typed,
        "./r SH sleep.sh | tee log",
        "see ready; key C; prompt; type echo \"status $?\" >>seen; see status 130",
    ),
    (
        "Ctrl-C of a job that counts",
        Typed,
        "./r SH serve.sh",
        "see server ready; key C; see server 2; key C; see server 2; send 64 server; prompt",
    ),
    (
        "Ctrl-Z and fg of an entry script",
        Typed,
        "./r SH trap.sh",
        "see ready; key Z; stopped top; prompt; type jobs >>seen; prompt; type fg; running top; key C; see INT; send TERM top; prompt; type echo $? >>seen; see 9",
    ),
    (
        "Ctrl-Z, bg, fg",
        Typed,
        "./r SH trap.sh",
        "see ready; key Z; stopped top; prompt; type bg; running top; prompt; type fg; foreground; send TERM top; prompt; type echo $? >>seen; see 9",
    ),
    (
        "Ctrl-Z twice",
        Typed,
        "./r SH sleep.sh",
        "see ready; key Z; stopped top; prompt; type fg; running top; key Z; stopped top; prompt; type fg; running top; key C; prompt",
    ),
    (
        "Ctrl-Z for one that does not mind",
        Typed,
        "./r perl probe.pl p",
        "see p ready; key Z; see p 20; send STOP p; stopped top; prompt; type fg; see p 18; send 64 top; prompt",
    ),
    (
        "the background reads",
        Typed,
        "./r SH -c 'line=$(head -n 1); echo \"got $line\" >>seen' & ",
        "prompt; stopped top; type fg; running top; type hello; see got hello; prompt",
    ),
    (
        "the background writes with tostop",
        Typed,
        "stty tostop; ./r SH -c 'echo ready >>seen; echo text; echo through >>seen' & ",
        "prompt; see ready; stopped top; type fg; see through; prompt; type stty -tostop",
    ),
    (
        "a question on /dev/tty by a job in a pipeline",
        Typed,
        "seq 1000 | ./r SH ask.sh",
        "type secret; see got secret; prompt",
    ),
    (
        "an interactive shell below",
        Typed,
        "./r INTERACTIVE",
        "prompt; type perl probe.pl p; see p ready; key C; see p 2; key Z; see p 20; send STOP p; prompt; type fg; see p 18; send 64 p; prompt; type exit 3; prompt; type echo \"status $?\" >>seen; see status 3",
    ),
    (
        "Ctrl-Z and fg of nested launchers",
        Typed,
        "$UNDER ./r SH trap.sh",
        "see ready; key Z; stopped top; prompt; type fg; running top; key C; see INT; send TERM top; prompt; type echo $? >>seen; see 9",
    ),
    (
        "modes that a dying job leaves to its shell",
        Typed,
        "./r SH raw.sh",
        "see ready; prompt; type stty -a >>seen && echo done >>seen; see done",
    ),
    (
        "kill %1",
        Typed,
        "./r perl probe.pl p & ",
        "see p ready; prompt; type kill %1; see p 15; prompt; type kill -INT %1; see p 2; send 64 p; prompt",
    ),
    ("the window of a shell closes", Typed, "./r perl probe.pl p", "see p ready; hangup; see p 1; send 64 p; gone top"),
    (
        "the window of a shell closes on nohup",
        Typed,
        "nohup ./r perl probe.pl p >out 2>&1 & ",
        "see p ready; prompt; hangup; send TERM p; see p 15; send 64 p; gone top",
    ),
    // ---- as PID 1
    ("what PID 1 inherits", Pid1, "exec ./r SH inherited.sh", "see done"),
    (
        "signals to PID 1",
        Pid1,
        "exec ./r perl probe.pl p 6",
        "see p ready; send TERM top; see p 15; send INT top; see p 2; send HUP top; see p 1; send 64 top",
    ),
    (
        "signals to all of a container",
        Pid1,
        "exec ./r perl probe.pl p 6",
        "see p ready; send TERM all; see p 15; send 64 top",
    ),
    ("not PID 1 of a container", Pid1, "./r SH trap.sh; echo $?; exit 3", "see ready; send TERM all"),
    ("what PID 1 on a terminal inherits", Pid1Leader, "exec ./r SH inherited.sh", "see done"),
    (
        "Ctrl-C of PID 1 that minds",
        Pid1Leader,
        "exec ./r SH trap.sh",
        "see ready; key C; see INT; key Z; key C; see INT; send TERM top",
    ),
    (
        "Ctrl-C below PID 1",
        Pid1Leader,
        "trap : INT; ./r SH sleep.sh; echo \"status $?\" >>seen",
        "see ready; key C; see status 130",
    ),
];

/// Scenarios in which the shell does not matter.
const ONCE: &[Scenario] = &[
    (
        "every status",
        Plain,
        "for n in $(seq 0 255); do (${UNDER:+$LAUNCHER run --} sh -c \"exit $n\"; echo \"$n $?\" >>seen) & [ $((n % 16)) != 15 ] || wait; done",
        "",
    ),
    (
        "every signal that ends",
        Plain,
        "for n in $(seq 64); do case $n in 17 | 18 | 19 | 20 | 21 | 22 | 23 | 28 | 32 | 33) continue ;; esac; (env --default-signal ${UNDER:+$LAUNCHER run --} sh -c \"kill -s $n \\$\\$; exec sleep 1000\"; echo \"$n $?\" >>seen) & [ $((n % 16)) != 15 ] || wait; done 2>/dev/null; wait",
        "",
    ),
    ("every signal, once", Plain, "exec ./r perl probe.pl p 3", "see p ready; signals p; send 64 top"),
    (
        "every signal to the group, once",
        Plain,
        "exec /usr/bin/setsid -w ./r perl probe.pl p 3",
        "see p ready; signals p group; send 64 top",
    ),
    (
        "a pipe that is the parent's and its own",
        Plain,
        "(echo mine; until grep -q mine got; do sleep 0.02; done) 2>/dev/null | if [ \"$UNDER\" ]; then $LAUNCHER run --quiet --parent-fd 0 plugins -- tee got; else tee got; fi | cat",
        "",
    ),
];

/// Scenarios, and what stands between caller and program in them, that must be seen to differ.
const DIFFERENT: &[(&str, &str)] = &[
    ("what is inherited", "nice"),
    ("what another inherits", "/usr/bin/setsid -w"),
    ("SIGPIPE ignored", "env --default-signal=PIPE"),
    ("a script of bash that Ctrl-C ends", "bash child.sh"),
];

/// Does each scenario with this shell both ways, some at once: most of the time they wait.
fn compare(shell: &str, scenarios: &[Scenario]) {
    let next = AtomicUsize::new(0);
    let problems = Mutex::new(Vec::new());
    let only = std::env::var("SCENARIO").unwrap_or_default();
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                while let Some(scenario) = scenarios.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (name, place, script, _) = scenario;
                    if !name.contains(&only) {
                        continue;
                    }
                    let bare = perform(scenario, shell, "", PATIENCE);
                    let below = bare.clone().and_then(|_| perform(scenario, shell, &launcher(), PATIENCE));
                    if bare.is_err() || bare != below {
                        problems
                            .lock()
                            .expect("no panic")
                            .push(format!("{name} ({place:?}, {shell}): {script}\n{}", difference(&bare, &below)));
                    }
                }
            });
        }
    });
    let problems = problems.into_inner().expect("no panic");
    assert!(problems.is_empty(), "{} of {}:\n{}", problems.len(), scenarios.len(), problems.join("\n"));
}

fn difference(bare: &Result<Seen, String>, below: &Result<Seen, String>) -> String {
    let (Ok(bare), Ok(below)) = (bare, below) else { return format!("bare: {bare:?}\nbelow: {below:?}") };
    let only = |these: &Seen, those: &Seen| {
        these.lines.iter().filter(|line| !those.lines.contains(line)).cloned().collect::<Vec<_>>()
    };
    format!(
        "only bare: {:#?}\nonly below: {:#?}\n{} and {} lines\n{:?}\n{:?}",
        only(bare, below),
        only(below, bare),
        bare.lines.len(),
        below.lines.len(),
        (&bare.output, &bare.error, bare.status),
        (&below.output, &below.error, below.status)
    )
}

#[test]
fn nothing_differs_with_bash() {
    compare("bash", SCENARIOS);
}

#[test]
fn nothing_differs_with_dash() {
    compare("dash", SCENARIOS);
}

#[test]
fn nothing_differs_with_busybox() {
    assert!(Command::new("busybox").arg("true").status().is_ok(), "wanted: apt-get install busybox");
    compare("busybox sh", SCENARIOS);
}

#[test]
fn nothing_differs_in_what_no_shell_matters_to() {
    compare("dash", ONCE);
}

/// The negative control: what stands between and is not as if it were not there is found out.
#[test]
fn what_is_different_is_seen() {
    for (name, under) in DIFFERENT {
        let scenario = SCENARIOS.iter().find(|scenario| scenario.0 == *name).expect("a scenario");
        let bare = perform(scenario, "dash", "", PATIENCE).expect("it can be done");
        assert_ne!(perform(scenario, "dash", under, PATIENCE), Ok(bare), "{name} below {under}");
    }
}
