//! The witness, which runs beside PROGRAM: it is gone when the launcher is, and nobody waits for it longer than it lives.

use std::time::{Duration, Instant};

use crate::processes;
use crate::sandbox::{self, Sandbox, wait_for};

#[test]
fn the_witness_is_gone_when_the_launcher_is_whoever_is_killed() {
    for victim in ["program", "supervisor", "guard", "witness"] {
        let sandbox = Sandbox::new();
        let program = "echo $$ >pid; exec sleep 1000";
        let running = sandbox.launcher(["run", "--grace-period", "0.5", "--", "sh", "-c", program]).start();
        let program: u32 = sandbox.wait_for_file("pid").trim().parse().expect("a pid");
        let (witness, supervisor) = (running.witness(), running.supervisor());
        let pid = match victim {
            "program" => program,
            "supervisor" => supervisor,
            "guard" => running.pid(),
            _ => witness,
        };
        sandbox::send("KILL", &[pid]);
        if victim == "witness" {
            wait_for("it was reaped", || processes::read(witness).is_none());
            assert!(processes::is_alive(program), "nobody else is concerned");
            sandbox::send("KILL", &[program]);
        }
        running.wait_within(Duration::from_millis(500) + sandbox::margin());
        sandbox.assert_nothing_left(if victim == "guard" { sandbox::margin() } else { Duration::ZERO });
    }
}

#[test]
fn a_witness_that_ended_together_with_the_supervisor_is_not_waited_for() {
    let took = || {
        let sandbox = Sandbox::new();
        let running = sandbox.launcher(["run", "--", "sh", "-c", "echo $$ >pid; exec sleep 1000"]).start();
        let program: u32 = sandbox.wait_for_file("pid").trim().parse().expect("a pid");
        let (guard, witness) = (running.pid(), running.witness());
        let is_in = |pid: u32, state: char| processes::read(pid).is_some_and(|process| process.state == state);
        sandbox::send("STOP", &[guard]);
        wait_for("the guard is stopped", || is_in(guard, 'T'));
        sandbox::send("KILL", &[witness]);
        wait_for("the witness has ended", || is_in(witness, 'Z'));
        let begin = Instant::now();
        sandbox::send("KILL", &[program]);
        running.wait();
        begin.elapsed()
    };
    // Who waits for news that have come does so for a second, however fast the machine is.
    let shortest = (0..5).map(|_| took()).min();
    assert!(shortest < Some(Duration::from_secs(1)), "{shortest:?}");
}
