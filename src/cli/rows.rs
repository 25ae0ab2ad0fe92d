//! Commands and options, a row each.

/// The commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Run,
    List,
    Check,
    Get,
    Install,
    Status,
    Reload,
    Start,
    Stop,
    Restart,
}

/// What the command line knows about a command.
pub struct CommandRow {
    pub command: Command,
    pub name: &'static str,
    /// What follows the name.
    pub usage: &'static str,
    /// A clause for the list of commands.
    pub summary: &'static str,
    pub operands: Operands,
    pub options: &'static [Opt],
}

/// How many operands a command takes.
pub struct Operands {
    pub least: usize,
    pub most: usize,
    /// What is said where there are fewer.
    pub wanted: &'static str,
}

/// What names the launcher that is asked.
const OPTIONS_OF_CLIENTS: &[Opt] = &[Opt::Control, Opt::Config];

const NAMES: Operands = Operands { least: 1, most: usize::MAX, wanted: "a NAME, as `status` lists them" };

const ANY_NUMBER: Operands = Operands { least: 0, most: usize::MAX, wanted: "" };

/// `list` and `check` take what `run` takes, so that the same line can be tried without starting anything.
const OPTIONS_OF_RUN: &[Opt] = &[
    Opt::Config,
    Opt::Role,
    Opt::WorkerId,
    Opt::WorkerCount,
    Opt::ExtraConfig,
    Opt::Format,
    Opt::Quiet,
    Opt::Stderr,
    Opt::Restart,
    Opt::GracePeriod,
    Opt::ParentPid,
    Opt::ParentFd,
    Opt::Control,
    Opt::Watch,
    Opt::LogFd,
    Opt::Nice,
    Opt::OomScoreAdj,
];

pub const COMMANDS: &[CommandRow] = &[
    CommandRow {
        command: Command::Run,
        name: "run",
        usage: "[OPTIONS] [LOCATION...] [-- PROGRAM [ARG...]]",
        summary: "run the plugins of this role and worker (the default)",
        operands: ANY_NUMBER,
        options: OPTIONS_OF_RUN,
    },
    CommandRow {
        command: Command::List,
        name: "list",
        usage: "[OPTIONS] [LOCATION...]",
        summary: "say what would run here, how, and why the rest would not",
        operands: ANY_NUMBER,
        options: OPTIONS_OF_RUN,
    },
    CommandRow {
        command: Command::Check,
        name: "check",
        usage: "[OPTIONS] [LOCATION...]",
        summary: "as list, and exit 1 if anything is wrong",
        operands: ANY_NUMBER,
        options: OPTIONS_OF_RUN,
    },
    CommandRow {
        command: Command::Get,
        name: "get",
        usage: "[OPTIONS] POINTER",
        summary: "print one value of the configuration",
        operands: Operands { least: 1, most: 1, wanted: "a POINTER, such as /extra_config/key, or \"\" for all" },
        options: &[Opt::Config, Opt::ExtraConfig, Opt::Default],
    },
    CommandRow {
        command: Command::Install,
        name: "install",
        usage: "[OPTIONS] DIR",
        summary: "copy this executable into a directory",
        operands: Operands { least: 1, most: 1, wanted: "a DIR" },
        options: &[Opt::Bridge],
    },
    CommandRow {
        command: Command::Status,
        name: "status",
        usage: "[OPTIONS] [NAME...]",
        summary: "what a running launcher's plugins do",
        operands: ANY_NUMBER,
        options: &[Opt::Control, Opt::Config, Opt::Format],
    },
    CommandRow {
        command: Command::Reload,
        name: "reload",
        usage: "[OPTIONS]",
        summary: "have a running launcher read everything again",
        operands: Operands { least: 0, most: 0, wanted: "" },
        options: OPTIONS_OF_CLIENTS,
    },
    CommandRow {
        command: Command::Start,
        name: "start",
        usage: "[OPTIONS] NAME...",
        summary: "start plugins of a running launcher",
        operands: NAMES,
        options: OPTIONS_OF_CLIENTS,
    },
    CommandRow {
        command: Command::Stop,
        name: "stop",
        usage: "[OPTIONS] NAME...",
        summary: "stop plugins of a running launcher, until started again",
        operands: NAMES,
        options: OPTIONS_OF_CLIENTS,
    },
    CommandRow {
        command: Command::Restart,
        name: "restart",
        usage: "[OPTIONS] NAME...",
        summary: "stop and start plugins of a running launcher",
        operands: NAMES,
        options: OPTIONS_OF_CLIENTS,
    },
];

/// The options. Each has a row in [`OPTIONS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opt {
    Config,
    Role,
    WorkerId,
    WorkerCount,
    ExtraConfig,
    Format,
    Quiet,
    Stderr,
    Restart,
    GracePeriod,
    ParentPid,
    ParentFd,
    Control,
    Watch,
    LogFd,
    Nice,
    OomScoreAdj,
    Default,
    Bridge,
}

/// What the command line knows about an option.
pub struct OptionRow {
    pub option: Opt,
    pub name: &'static str,
    /// Stands for the value; empty for a switch.
    pub placeholder: &'static str,
    pub meaning: &'static str,
}

const fn row(option: Opt, name: &'static str, placeholder: &'static str, meaning: &'static str) -> OptionRow {
    OptionRow { option, name, placeholder, meaning }
}

pub const OPTIONS: &[OptionRow] = &[
    row(
        Opt::Config,
        "--config",
        "FILE",
        "lmcache.yaml, or strict JSON if the name ends in .json [LMCACHE_CONFIG_FILE]",
    ),
    row(Opt::Role, "--role", "ROLE", "role of this process, empty for none [LMCACHE_RUNTIME_PLUGIN_ROLE]"),
    row(Opt::WorkerId, "--worker-id", "N", "id of this worker [LMCACHE_RUNTIME_PLUGIN_WORKER_ID, else 0]"),
    row(Opt::WorkerCount, "--worker-count", "N", "workers in all [LMCACHE_RUNTIME_PLUGIN_WORKER_COUNT, else 1]"),
    row(Opt::ExtraConfig, "--extra-config", "JSON|@FILE", "object whose members replace those of extra_config"),
    row(Opt::Format, "--format", "text|json", "format of the log, of list and of check [text]"),
    row(Opt::Quiet, "--quiet", "", "no notices of the launcher's own but problems"),
    row(Opt::Stderr, "--stderr", "merged|separate", "one stream in exact order, or two labelled ones [merged]"),
    row(Opt::Restart, "--restart", "never|on-failure|always", "what to do when a plugin ends [never]"),
    row(Opt::GracePeriod, "--grace-period", "SECONDS", "from SIGTERM to SIGKILL, fractions allowed [5]"),
    row(
        Opt::ParentPid,
        "--parent-pid",
        "PID",
        "the process whose end ends us, 0 for none [the parent; none with PROGRAM]",
    ),
    row(Opt::ParentFd, "--parent-fd", "FD", "a pipe whose end of file means that the parent is gone"),
    row(
        Opt::Control,
        "--control",
        "SOCKET",
        "Unix socket on which a running launcher answers [LMCACHE_PLUGIN_LAUNCHER_CONTROL]",
    ),
    row(Opt::Watch, "--watch", "", "reload when a location or the configuration file changes"),
    row(Opt::LogFd, "--log-fd", "FD", "descriptor that takes the log [1]"),
    row(Opt::Nice, "--nice", "N", "scheduling priority of plugins, -20 to 19"),
    row(Opt::OomScoreAdj, "--oom-score-adj", "N", "how readily the kernel sacrifices plugins, -1000 to 1000"),
    row(Opt::Default, "--default", "VALUE", "printed when the value is not there, instead of an error"),
    row(Opt::Bridge, "--bridge", "", "also all_launcher.sh, the plugin by which LMCache starts the launcher"),
];
