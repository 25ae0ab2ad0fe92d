//! The witness, which runs beside PROGRAM: it is gone when the launcher is.

use std::time::Duration;

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
