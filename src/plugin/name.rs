//! What a file name says: where a plugin runs, `<ROLE>[_<WORKER_ID>][_<DESCRIPTION>].<EXTENSION>`, and what is none, such
//! as a backup, a copy or a part of a package. Pure.

use crate::escape::quoted;
use crate::nearest::nearest;

/// The label of the launcher's own records. No plugin has it: one that is called so keeps its directory.
pub const LABEL: &str = "launcher";

/// The roles that are known without being told.
const KNOWN_ROLES: [&str; 3] = ["scheduler", "worker", "all"];

/// Who this process is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// `None`: no role, as in the multiprocess server. Then every plugin runs.
    pub role: Option<String>,
    /// -1 on LMCache's scheduler.
    pub worker_id: i64,
    pub worker_count: i64,
}

/// Where a plugin runs, as its file name says it.
#[derive(Debug, PartialEq)]
pub struct Scope {
    pub role: RoleScope,
    pub worker: WorkerScope,
    /// The name that was probably meant, where this one is nearly that of a role.
    pub meant: Option<String>,
}

/// The first part of a name.
#[derive(Debug, PartialEq)]
pub enum RoleScope {
    /// `all_x.sh`, and `heartbeat.py`, which has one part and names no role.
    Everywhere,
    /// In lower case.
    Role(String),
    /// No role of ours, in lower case.
    Unknown(String),
}

/// The second part of a name, where it is all digits.
#[derive(Debug, PartialEq)]
pub enum WorkerScope {
    Every,
    Id(i64),
    /// Digits that are no worker id of any process.
    TooLarge(String),
}

/// Reads the scope out of a file name.
pub fn scope(file_name: &str, role_in_force: Option<&str>) -> Scope {
    let stem = stem(file_name).to_ascii_lowercase();
    let role_in_force = role_in_force.map(str::to_ascii_lowercase);
    let (first, rest) = match &role_in_force {
        // A role may hold underscores itself.
        Some(role) if stem == *role => (role.as_str(), None),
        Some(role) if stem.strip_prefix(role.as_str()).is_some_and(|rest| rest.starts_with('_')) => {
            (role.as_str(), Some(&stem[role.len() + 1..]))
        }
        _ => match stem.split_once('_') {
            Some((first, rest)) => (first, Some(rest)),
            None => (stem.as_str(), None),
        },
    };
    let is_known = KNOWN_ROLES.contains(&first) || role_in_force.as_deref() == Some(first);
    let role = match (first, rest) {
        ("all", _) => RoleScope::Everywhere,
        _ if is_known => RoleScope::Role(first.to_string()),
        (_, None) => RoleScope::Everywhere,
        (_, Some(_)) => RoleScope::Unknown(first.to_string()),
    };
    let second = rest.map(|rest| rest.split('_').next().unwrap_or_default());
    let worker = match second {
        Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().map_or_else(|_| WorkerScope::TooLarge(digits.to_string()), WorkerScope::Id)
        }
        _ => WorkerScope::Every,
    };
    let is_role = first == "all" || is_known;
    let meant = if is_role { None } else { meant(file_name, &role, role_in_force.as_deref()) };
    Scope { role, worker, meant }
}

/// The file name without its extension.
pub fn stem(file_name: &str) -> &str {
    match file_name.rsplit_once('.') {
        Some((stem, _)) if !stem.is_empty() => stem,
        _ => file_name,
    }
}

/// What a file is by its name alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    /// Or nothing that the name would tell.
    Plugin,
    /// What editors and package managers leave beside a file.
    Backup,
    /// A name that goes on behind `.sh` or `.py`.
    Copy,
    /// `__init__.py` and its like.
    Package,
}

/// Reads out of a file name what the file is.
pub fn nature(file_name: &str) -> Nature {
    let name = file_name.to_ascii_lowercase();
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let is_autosave = name.len() > 1 && name.starts_with('#') && name.ends_with('#');
    match extension {
        _ if is_autosave || name.ends_with('~') => Nature::Backup,
        "bak" | "orig" | "rej" | "swp" | "tmp" | "save" | "disabled" => Nature::Backup,
        _ if extension.starts_with("dpkg-") || extension.starts_with("rpm") => Nature::Backup,
        "py" if name.len() > "____.py".len() && name.starts_with("__") && name.ends_with("__.py") => Nature::Package,
        "sh" | "py" => Nature::Plugin,
        _ if goes_on(name.as_bytes()) => Nature::Copy,
        _ => Nature::Plugin,
    }
}

/// Does a name go on behind `.sh` or `.py`? A letter makes another suffix of it, such as `.python`.
fn goes_on(name: &[u8]) -> bool {
    name.windows(4)
        .any(|part| matches!(part, [b'.', b's', b'h', next] | [b'.', b'p', b'y', next] if !next.is_ascii_alphabetic()))
}

/// The name that was probably meant, where the first word of a file name is nearly a role, or one that is joined
/// otherwise than by `_`.
fn meant(file_name: &str, found: &RoleScope, role_in_force: Option<&str>) -> Option<String> {
    let stem = stem(file_name);
    let suffix = &file_name[stem.len()..];
    let mut roles = KNOWN_ROLES.to_vec();
    roles.extend(role_in_force.filter(|role| !role.is_empty()));
    let (word, rest) = first_word(without_signs(stem));
    let exact = roles.iter().find(|role| role.eq_ignore_ascii_case(word)).copied();
    let near = exact.or_else(|| nearest(word, roles.iter().copied())).or_else(|| abbreviated(word, &roles));
    let (role, glued) = match near {
        Some(role) => (role, ""),
        None => roles.iter().find_map(|role| Some((*role, behind(word, role)?)))?,
    };
    let rest = [glued, rest].concat();
    let rest = without_signs(&rest);
    // What is meant for all and runs everywhere is right, but where a worker id follows.
    if role == "all" && *found == RoleScope::Everywhere && !rest.as_bytes().first().is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let mut meant = role.to_owned();
    if !rest.is_empty() {
        meant.push('_');
        meant.extend(rest.chars().map(|char| if matches!(char, '-' | '.' | ' ') { '_' } else { char }));
    }
    meant.push_str(suffix);
    Some(meant)
}

/// What is left of a name without the signs with which it begins.
fn without_signs(name: &str) -> &str {
    let is_sign = |byte: &u8| byte.is_ascii() && !byte.is_ascii_alphanumeric();
    &name[name.bytes().take_while(|byte| is_sign(byte)).count()..]
}

/// The letters with which a name begins, and the rest: at another sign, at a digit, and in the middle of `allPlugin`.
fn first_word(stem: &str) -> (&str, &str) {
    let mut was_lower = false;
    let ends = |byte: u8| {
        let ends = (byte.is_ascii() && !byte.is_ascii_alphabetic()) || (was_lower && byte.is_ascii_uppercase());
        was_lower = byte.is_ascii_lowercase();
        ends
    };
    stem.split_at(stem.bytes().position(ends).unwrap_or(stem.len()))
}

/// Shorter words begin others as well, as `all` does `allocate`.
const SHORTEST_START: usize = 5;

/// The role of which a word is the beginning.
fn abbreviated<'a>(word: &str, roles: &[&'a str]) -> Option<&'a str> {
    roles.iter().find(|role| behind(role, word).is_some()).copied()
}

/// What follows in a word behind its beginning.
fn behind<'w>(word: &'w str, start: &str) -> Option<&'w str> {
    let is_start = |head: &str| start.len() >= SHORTEST_START && head.eq_ignore_ascii_case(start);
    word.split_at_checked(start.len()).and_then(|(head, tail)| is_start(head).then_some(tail))
}

impl Scope {
    /// Whether a plugin with this scope runs on `identity`.
    ///
    /// # Errors
    /// The reason why it does not, as a clause.
    pub fn runs_on(&self, identity: &Identity) -> Result<String, String> {
        let Some(role) = &identity.role else {
            return Ok("no role here: every plugin runs".into());
        };
        match &self.role {
            RoleScope::Everywhere => {}
            RoleScope::Role(wanted) if wanted.eq_ignore_ascii_case(role) || *wanted == role.to_ascii_lowercase() => {}
            RoleScope::Role(wanted) => {
                return Err(format!("for role {}; this is {}", quoted(wanted), quoted(role)));
            }
            RoleScope::Unknown(wanted) => {
                let hint = match &self.meant {
                    Some(meant) => format!("did you mean `{}`?", quoted(meant)),
                    None => "begin the name with `all_` to run it everywhere".into(),
                };
                return Err(format!("for role {}; this is {}; {hint}", quoted(wanted), quoted(role)));
            }
        }
        match &self.worker {
            WorkerScope::Every => Ok(match &self.role {
                RoleScope::Role(wanted) => format!("every {}", quoted(wanted)),
                _ => "runs everywhere".into(),
            }),
            WorkerScope::Id(id) if *id == identity.worker_id => Ok(format!("worker id {id}")),
            WorkerScope::Id(id) => Err(format!("for worker id {id}; this is {}", identity.worker_id)),
            WorkerScope::TooLarge(digits) => Err(format!("worker id {digits} is too large to be one: matches nobody")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(name: &str, role: Option<&str>, worker_id: i64) -> bool {
        let identity = Identity { role: role.map(String::from), worker_id, worker_count: 4 };
        scope(name, role).runs_on(&identity).is_ok()
    }

    #[test]
    fn each_row_of_the_naming_table_holds() {
        for (name, role, worker_id, expected) in [
            ("scheduler_foo_plugin.py", "SCHEDULER", -1, true),
            ("scheduler_foo_plugin.py", "worker", 0, false),
            ("scheduler.py", "WORKER", 0, false),
            ("worker_0_test.sh", "worker", 0, true),
            ("worker_0_test.sh", "worker", 1, false),
            ("worker_0.sh", "WORKER", 0, true),
            ("worker_0.sh", "WORKER", 1, false),
            ("worker_007.sh", "WORKER", 7, true),
            ("WORKER_1_X.SH", "worker", 1, true),
            ("worker_test.sh", "WORKER", 3, true),
            ("worker.sh", "WORKER", 3, true),
            ("worker.sh", "SCHEDULER", -1, false),
            ("all_plugin.sh", "SCHEDULER", -1, true),
            ("all.sh", "KV", 0, true),
            ("all_2_x.sh", "KV", 2, true),
            ("all_2_x.sh", "KV", 1, false),
            ("heartbeat.py", "WORKER", 0, true),
            ("my_tool.py", "WORKER", 0, false),
            ("my_tool.py", "MY", 0, true),
            ("my.py", "WORKER", 0, true),
            ("kv_store_1_x.sh", "kv_store", 1, true),
            ("kv_store_1_x.sh", "kv_store", 2, false),
            ("worker_99999999999999999999.sh", "WORKER", 0, false),
            ("worker__0.sh", "WORKER", 3, true),
            ("worker_0x.sh", "WORKER", 3, true),
            ("worker_\u{0663}.sh", "WORKER", 0, true),
        ] {
            assert_eq!(runs(name, Some(role), worker_id), expected, "{name} on {role} {worker_id}");
        }
    }

    #[test]
    fn without_a_role_every_plugin_runs() {
        for name in ["scheduler_x.py", "worker_3.sh", "my_tool.py", "all_9_x.sh"] {
            assert!(runs(name, None, 0), "{name}");
        }
    }

    #[test]
    fn a_near_role_is_suggested() {
        for (name, expected) in [
            ("wroker_0_x.sh", Some("worker_0_x.sh")),
            ("wroker_x.sh", Some("worker_x.sh")),
            ("scheduler-x.sh", Some("scheduler_x.sh")),
            ("worker.0.sh", Some("worker_0.sh")),
            ("worker0.sh", Some("worker_0.sh")),
            ("worker0_x.py", Some("worker_0_x.py")),
            ("Worker-1.SH", Some("worker_1.SH")),
            ("worker 2 x.sh", Some("worker_2_x.sh")),
            ("schedulers.sh", Some("scheduler.sh")),
            ("sched.sh", Some("scheduler.sh")),
            ("sched_x.sh", Some("scheduler_x.sh")),
            ("workertest.sh", Some("worker_test.sh")),
            ("workerTest.sh", Some("worker_Test.sh")),
            ("_worker_x.sh", Some("worker_x.sh")),
            ("all-x_y.sh", Some("all_x_y.sh")),
            ("al_x.sh", Some("all_x.sh")),
            ("all2.sh", Some("all_2.sh")),
            ("worker", None),
            ("worker_0.sh", None),
            ("all_x.sh", None),
            ("all-x.sh", None),
            ("allPlugin.sh", None),
            ("heartbeat.py", None),
            ("docker_stats.sh", None),
            ("docker.sh", None),
            ("allocate.sh", None),
            ("allocate_x.sh", None),
            ("call_home.sh", None),
            ("work_x.sh", None),
            ("my_tool.py", None),
            ("kv-x.sh", Some("kv_x.sh")),
            ("2_x.sh", None),
            ("\u{e9}_x.sh", None),
        ] {
            assert_eq!(scope(name, Some("KV")).meant.as_deref(), expected, "{name}");
        }
        let identity = Identity { role: Some("WORKER".into()), worker_id: 0, worker_count: 1 };
        let reason = scope("wroker_0_x.sh", Some("WORKER")).runs_on(&identity).expect_err("not a role");
        assert!(reason.contains("did you mean `worker_0_x.sh`"), "{reason}");
    }

    #[test]
    fn backups_copies_and_packages_are_told_by_their_names() {
        for (names, expected) in [
            (
                "a.sh~ a.bak a.sh.orig a.py.rej a.swp a.tmp a.save a.sh.dpkg-old a.rpmnew a.sh.disabled #a.sh# A.SH.BAK",
                Nature::Backup,
            ),
            (
                "x.sh.old x.sh.1 x.py,v x.sh.j2 x.py.sample all_x.sh.swo x.SH.Old x.sh-old x.py_2 x.sh2 x.py3",
                Nature::Copy,
            ),
            ("__init__.py __main__.py __about__.PY", Nature::Package),
            ("a.sh a.py bak a.backup.sh a x.sh.py x.py.sh x.python x.pyc x.shell #a #", Nature::Plugin),
            ("__init__.sh _x.py __x.py __.py ____.py", Nature::Plugin),
        ] {
            for name in names.split(' ') {
                assert_eq!(nature(name), expected, "{name}");
            }
        }
    }
}
