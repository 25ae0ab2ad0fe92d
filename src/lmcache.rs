//! The variables in which LMCache tells its plugins who they are.

use std::ffi::OsString;

/// LMCache's variable of this name, under its present prefix or else its older one, and which of them it was.
pub fn variable_of_lmcache(name: &str) -> Option<(String, OsString)> {
    ["LMCACHE_RUNTIME_PLUGIN_", "LMCACHE_PLUGIN_"].iter().find_map(|prefix| {
        let variable = [prefix, name].concat();
        std::env::var_os(&variable).map(|value| (variable, value))
    })
}
