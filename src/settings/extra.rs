//! What `extra_config` says to the launcher, and what in it seems to and does not.

use super::{FORMATS, Format, RESTARTS, Restart, STDERRS, Settings, Stderr, choose, duration};
use crate::configuration::Loaded;
use crate::document::Value;
use crate::error::Error;
use crate::nearest::nearest;
use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

/// What follows `plugin.launcher.`; `locations` is read by the LMCache bridge.
const KEYS: [&str; 8] = ["restart", "grace_period", "format", "quiet", "stderr", "control", "watch", "locations"];
const PREFIX: &str = "plugin.launcher.";
/// What follows `plugin.<file stem>.`, where it is meant for the launcher.
const PLUGIN_KEYS: [&str; 2] = ["restart", "grace_period"];

const SWITCH: [(&str, bool); 2] = [("true", true), ("false", false)];

/// How one plugin is treated; what is `None` is as for all others.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Override {
    pub(super) restart: Option<Restart>,
    pub(super) grace_period: Option<Duration>,
}

/// Keys `plugin.<stem>.<name>` that have an effect only if there is such a plugin.
#[derive(Debug, Default)]
pub(super) struct PluginKeys {
    source: String,
    keys: Vec<String>,
}

/// What `extra_config` says to the launcher.
#[derive(Default)]
pub(super) struct Extra {
    pub(super) format: Option<Format>,
    pub(super) is_quiet: Option<bool>,
    pub(super) stderr: Option<Stderr>,
    pub(super) control: Option<(PathBuf, String)>,
    pub(super) is_watching: Option<bool>,
    pub(super) default: Override,
    pub(super) policies: Vec<(String, Override)>,
    pub(super) plugin_keys: PluginKeys,
}

impl Extra {
    /// # Errors
    /// Usage: a setting of the launcher itself that is wrong, with its place.
    pub(super) fn read(loaded: &Loaded<'_>, warnings: &mut Vec<String>) -> Result<Extra, Error> {
        let mut extra = Extra::default();
        for (key, value) in loaded.extra() {
            let says = |problem: &str| format!("{}: `{key}` {problem}", loaded.place(key));
            if let Some(name) = key.strip_prefix(PREFIX) {
                match extra.set(name, value, || loaded.place(key)) {
                    Ok(true) => {}
                    // As a template leaves it where a value is not set.
                    _ if KEYS.contains(&name) && bare(value).is_empty() && !value.is_collection() => {
                        warnings.push(says("is empty and has no effect"));
                    }
                    Ok(false) => warnings.push(says(&unknown(name))),
                    Err(problem) => return Err(Error::Usage(says(&problem))),
                }
            } else if ["plugin", "plugin.launcher"].contains(&&**key) && matches!(value, Value::Object(_)) {
                let problem = "is a mapping and has no effect: write one key for each setting, such as";
                warnings.push(says(&format!("{problem} `{PREFIX}restart`")));
            } else if let Some((stem, name)) = key.strip_prefix("plugin.").and_then(|rest| rest.rsplit_once('.')) {
                // A plugin may use such a key in a way of its own: then it gets the default, and a warning.
                if let Err(problem) = extra.set_for(stem, name, value) {
                    warnings.push(says(&problem));
                }
            }
            if problem_of(key, &[]).is_some() {
                extra.plugin_keys.keys.push(key.to_string());
            }
        }
        extra.plugin_keys.source = loaded.source().to_owned();
        for (key, _) in loaded.members().iter().filter(|(key, _)| key.starts_with(PREFIX)) {
            let place = loaded.place_of_key(key);
            warnings.push(format!("{place}: `{key}` has no effect here: it belongs into `extra_config`"));
        }
        Ok(extra)
    }

    /// Takes a setting of the launcher itself; false where there is none of that name.
    fn set(&mut self, name: &str, value: &Value<'_>, place: impl Fn() -> String) -> Result<bool, String> {
        match name {
            "restart" => self.default.restart = Some(choose(&bare(value), &RESTARTS)?),
            "grace_period" => self.default.grace_period = Some(duration(&bare(value))?),
            "format" => self.format = Some(choose(&bare(value), &FORMATS)?),
            "stderr" => self.stderr = Some(choose(&bare(value), &STDERRS)?),
            "quiet" => self.is_quiet = Some(choose(&bare(value), &SWITCH)?),
            "watch" => self.is_watching = Some(choose(&bare(value), &SWITCH)?),
            "control" => match value {
                Value::String(path) if path.is_empty() => self.control = None,
                Value::String(path) => self.control = Some((PathBuf::from(&**path), place())),
                other => return Err(format!("takes the path of a socket, not {}", other.kind())),
            },
            "locations" => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn set_for(&mut self, stem: &str, name: &str, value: &Value<'_>) -> Result<(), String> {
        let mut own = Override::default();
        match name {
            "restart" => own.restart = Some(choose(&bare(value), &RESTARTS)?),
            "grace_period" => own.grace_period = Some(duration(&bare(value))?),
            _ => return Ok(()),
        }
        self.policies.push((stem.to_owned(), own));
        Ok(())
    }
}

fn unknown(name: &str) -> String {
    match nearest(name, KEYS) {
        Some(near) => format!("is unknown and has no effect; did you mean `{PREFIX}{near}`?"),
        None => format!("is unknown and has no effect; known are {}", KEYS.join(", ")),
    }
}

/// A scalar as text. No setting is written like a collection's.
fn bare<'v>(value: &'v Value<'_>) -> Cow<'v, str> {
    match value {
        Value::String(text) | Value::Number(text) => (&**text).into(),
        Value::Bool(true) => "true".into(),
        Value::Bool(false) => "false".into(),
        Value::Null | Value::Array(_) | Value::Object(_) => "".into(),
    }
}

impl Settings {
    /// The settings for single plugins that have no effect, where `stems` are those of all plugins that were found.
    pub fn without_effect(&self, stems: &[String]) -> Vec<String> {
        let PluginKeys { source, keys } = &self.plugin_keys;
        let problem = |key: &String| Some(format!("{source}: `{key}` has no effect: {}", problem_of(key, stems)?));
        keys.iter().filter_map(problem).collect()
    }
}

/// Why a key `plugin.<stem>.<name>` has no effect, if it was meant for the launcher and has none.
fn problem_of(key: &str, stems: &[String]) -> Option<String> {
    let rest = key.split_at_checked("plugin.".len()).filter(|(start, _)| start.eq_ignore_ascii_case("plugin."))?.1;
    let (stem, name) = rest.rsplit_once('.')?;
    let is_exact = key.starts_with("plugin.") && !key.starts_with(PREFIX);
    let Some(&meant) = PLUGIN_KEYS.iter().find(|known| same(known, name)) else {
        let is_launcher = key.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX));
        let meant = KEYS.iter().find(|known| same(known, name)).filter(|_| is_launcher && !key.starts_with(PREFIX))?;
        return Some(format!("did you mean `{PREFIX}{meant}`?"));
    };
    if key.starts_with(PREFIX) || (is_exact && stems.iter().any(|known| known == stem) && name == meant) {
        return None;
    }
    if stem.eq_ignore_ascii_case("launcher") {
        return Some(format!("did you mean `{PREFIX}{meant}`?"));
    }
    let without_suffix = stem.rsplit_once('.').map(|(stem, _)| stem);
    let others = || stems.iter().map(String::as_str);
    let near = others()
        .find(|known| Some(*known) == without_suffix)
        .or_else(|| others().find(|known| known.eq_ignore_ascii_case(stem)))
        .or_else(|| nearest(stem, others().chain(["launcher"])));
    Some(match near {
        Some(near) if Some(near) == without_suffix => format!("leave the suffix out, `plugin.{near}.{meant}`"),
        Some(near) => format!("did you mean `plugin.{near}.{meant}`?"),
        None => format!("no plugin here is called `{stem}`"),
    })
}

/// Is it the same name but for upper case and the sign that joins its words?
fn same(known: &str, name: &str) -> bool {
    name.replace('-', "_").eq_ignore_ascii_case(known)
}

#[cfg(test)]
mod tests {
    use super::problem_of;

    #[test]
    fn settings_without_effect_are_told_what_they_should_be() {
        let stems = ["all_a", "worker_0_b", "x.y"].map(String::from);
        for (key, expected) in [
            ("plugin.all_a.restart", None),
            ("plugin.x.y.grace_period", None),
            ("plugin.launcher.restart", None),
            ("plugin.launcher.nonsense", None),
            ("plugin.launcher.quiet", None),
            ("plugin.all_a.port", None),
            ("plugin.all_a.quiet", None),
            ("plugin.frontend.port", None),
            ("plugin.all_a.sh.restart", Some("leave the suffix out, `plugin.all_a.restart`")),
            ("plugin.nosuch.restart", Some("no plugin here is called `nosuch`")),
            ("plugin.launchr.restart", Some("did you mean `plugin.launcher.restart`?")),
            ("plugin.Launcher.restart", Some("did you mean `plugin.launcher.restart`?")),
            ("PLUGIN.LAUNCHER.QUIET", Some("did you mean `plugin.launcher.quiet`?")),
            ("plugin.ALL_A.restart", Some("did you mean `plugin.all_a.restart`?")),
            ("Plugin.all_a.restart", Some("did you mean `plugin.all_a.restart`?")),
            ("plugin.all_a.Restart", Some("did you mean `plugin.all_a.restart`?")),
            ("plugin.all_a.grace-period", Some("did you mean `plugin.all_a.grace_period`?")),
            ("plugin.worker_0_bb.restart", Some("did you mean `plugin.worker_0_b.restart`?")),
        ] {
            assert_eq!(problem_of(key, &stems).as_deref(), expected, "{key}");
        }
    }
}
