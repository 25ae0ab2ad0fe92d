//! The naming rule: `<ROLE>[_<WORKER_ID>][_<DESCRIPTION>].<EXTENSION>` says where a plugin runs. Pure.

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
    Scope { role, worker }
}

/// The file name without its extension.
pub fn stem(file_name: &str) -> &str {
    match file_name.rsplit_once('.') {
        Some((stem, _)) if !stem.is_empty() => stem,
        _ => file_name,
    }
}

/// The role that the first part of a name was probably meant to be.
pub fn near_role<'a>(part: &str, role_in_force: Option<&'a str>) -> Option<&'a str> {
    nearest(part, KNOWN_ROLES.into_iter().chain(role_in_force)).filter(|role| !role.eq_ignore_ascii_case(part))
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
            RoleScope::Role(wanted) => return Err(format!("for role {wanted}; this is {role}")),
            RoleScope::Unknown(wanted) => {
                let hint = match near_role(wanted, Some(role)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "begin the name with `all_` to run it everywhere".into(),
                };
                return Err(format!("for role {wanted}; this is {role}; {hint}"));
            }
        }
        match &self.worker {
            WorkerScope::Every => Ok(match &self.role {
                RoleScope::Role(wanted) => format!("every {wanted}"),
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
        let identity = Identity { role: Some("WORKER".into()), worker_id: 0, worker_count: 1 };
        let reason = scope("wroker_0_x.sh", Some("WORKER")).runs_on(&identity).expect_err("not a role");
        assert!(reason.contains("did you mean `worker`"), "{reason}");
    }
}
