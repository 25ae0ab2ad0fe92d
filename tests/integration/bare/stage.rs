//! Where a scenario is done, and what is done to it, step by step.

use std::fs;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use Place::{Leader, Pid1, Pid1Leader, Plain, Typed};

use crate::namespace;
use crate::processes;
use crate::sandbox::{self, Running, Sandbox};

/// Name, where it happens, script and steps.
pub type Scenario = (&'static str, Place, &'static str, &'static str);

/// How long a scenario may take one way.
pub const PATIENCE: Duration = Duration::from_secs(30);
const PROMPT: &str = "prompt> ";

/// Where the script runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Place {
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

/// What is seen of a scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The lines of the file `seen`, sorted: two processes that get a signal at once say so in any order.
    pub lines: Vec<String>,
    /// Without a terminal, where it is not mixed with echo and prompts.
    pub output: String,
    pub error: String,
    pub status: Option<ExitStatus>,
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
    /// How much of what was shown has been waited for.
    shown: usize,
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

    /// `top`; `group`, the process group of it; `all`, it and everything below but the plugin; `between`, what there is
    /// beside `top` and the program `p`; else the file in which a pid is.
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
            "between" => {
                let others = [self.top().into(), self.targets("p")[0]];
                self.targets("all").into_iter().filter(|pid| !others.contains(pid)).collect()
            }
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
            // Since it was asked for last.
            "show" => {
                let before = self.shown;
                let shown =
                    |scene: &Scene| scene.running.stdout()[before..].find(rest).map(|at| before + at + rest.len());
                self.wait(step, || shown(self).is_some())?;
                self.shown = shown(self).unwrap_or(before);
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
            // One after the other, by one who has much to do in between.
            "slowly" => {
                let (signal, who) = rest.split_once(' ').expect("signal and target");
                let each = "my $then = time + 0.03; kill $signal, $_; 1 while time < $then";
                let script = format!("use Time::HiRes 'time'; my $signal = shift; for (@ARGV) {{ {each} }}");
                let targets: Vec<_> = self.targets(who).iter().map(i64::to_string).collect();
                self.sandbox.command("perl", ["-e", &script, signal]).args(targets).output();
            }
            "times" => {
                let (count, steps) = rest.split_once(' ').expect("count and steps");
                for _ in 0..count.parse().expect("a number") {
                    steps.split(", ").try_for_each(|step| self.step(step))?;
                }
            }
            "run" => drop(self.sandbox.command("sh", ["-c", rest]).output()),
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
pub fn perform(scenario: &Scenario, shell: &str, under: &str, patience: Duration) -> Result<Seen, String> {
    let (_, place, script, steps) = *scenario;
    let sandbox = Sandbox::with([("all_x.sh", PLUGIN)]);
    sandbox.write("probe.pl", include_str!("probe.pl"));
    sandbox.write("terminal.py", include_str!("../terminal.py"));
    sandbox.write("inherited.sh", include_str!("inherited.sh"));
    for (name, text) in SCRIPTS {
        sandbox.write(name, text);
    }
    sandbox.write("r.sh", "#!/bin/sh\necho $$ >top\nexec $UNDER \"$@\"\n");
    // Written here, another thread's fork would hold it open: ETXTBSY.
    sandbox.command("install", ["-m", "755", "r.sh", "r"]).output();
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
    let launch = launch
        .env("UNDER", under)
        .env("PS1", PROMPT)
        .env("TERM", "dumb")
        .env("HISTFILE", "/dev/null")
        .env("SHELL", "/bin/sh");
    let mut scene = Scene {
        sandbox: &sandbox,
        running: launch.start(),
        place,
        deadline: Instant::now() + patience,
        waited_for: Vec::new(),
        prompts: 0,
        shown: 0,
    };
    if place == Typed {
        scene.step("prompt")?;
        scene.step(&format!("type {script}"))?;
    }
    for step in steps.split("; ").filter(|step| !step.is_empty()) {
        scene.step(step)?;
    }
    let hung_up = steps.contains("hangup");
    if place == Typed && !steps.ends_with("gone top") {
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
    // What less(1) does.
    (
        "pager.sh",
        "modes=$(stty -g </dev/tty); stty -icanon -echo min 1 </dev/tty; echo ready >>seen\n\
         key=$(dd bs=1 count=1 </dev/tty 2>/dev/null); stty \"$modes\" </dev/tty\n\
         echo \"$key after $(wc -l) lines\" >>seen\n",
    ),
    // It minds no SIGTERM, and says what else becomes of it.
    (
        "server.pl",
        "$| = 1; open F, '>>seen'; $SIG{TERM} = 'IGNORE'; $SIG{HUP} = sub { syswrite F, \"HUP\\n\" };\n\
         $SIG{CONT} = sub { syswrite F, \"CONT\\n\" }; $SIG{USR1} = sub { exit };\n\
         open P, '>server.pid'; print P \"$$\\n\"; close P; syswrite F, \"server ready\\n\"; select undef, undef, undef, 0.02 while 1;\n",
    ),
    (
        "coproc.sh",
        "coproc ./r cat; echo line >&\"${COPROC[1]}\"; read -r line <&\"${COPROC[0]}\"; echo \"got $line\" >>seen\n\
         kill \"$COPROC_PID\"; wait \"$COPROC_PID\"; echo \"status $?\" >>seen\n",
    ),
    ("raw.sh", "stty raw -echo; echo ready >>seen; kill -KILL $$\n"),
    // What is between a caller and its program without being like it.
    ("child.sh", "trap : INT\n\"$@\"\nexit $?\n"),
    ("loop.sh", "./r sh -c 'echo ready >>seen; exec sleep 1000'\necho \"went on with $?\" >>seen\n"),
];
