//! The launchers above this one: a plugin that starts a launcher on a location that one of them runs would do so for ever.

use super::spawn::LOCATIONS_VARIABLE;
use crate::configuration::Location;
use crate::document::{Value, json};
use crate::error::Error;
use crate::escape::quoted;
use crate::settings::Settings;
use std::path::Path;

/// # Errors
/// Usage: the first location that a launcher above us runs already, or that none is named.
pub fn refuse_circle(settings: &Settings) -> Result<(), Error> {
    if settings.locations.is_none() && settings.program.is_empty() {
        return Err(Error::Usage(settings.no_locations.clone()));
    }
    let taken = taken();
    // Where nothing is taken no file system is asked: one that does not answer would hold up the start.
    let locations = settings.locations.as_deref().filter(|_| !taken.is_empty()).unwrap_or_default();
    match locations.iter().find(|location| taken.contains(&canonical(&location.path))) {
        None => Ok(()),
        Some(location) => Err(Error::Usage(format!(
            "`{}` is run already by a launcher above this one; give other locations",
            quoted(&location.path)
        ))),
    }
}

/// What launchers below us must not run: these locations, and those that we must not, as a JSON array.
pub fn with_those_above(locations: &[Location]) -> String {
    let mut all = taken();
    for location in locations {
        let canonical = canonical(&location.path);
        if !all.contains(&canonical) {
            all.push(canonical);
        }
    }
    let mut text = String::new();
    json::write(&Value::Array(all.into_iter().map(|path| Value::String(path.into())).collect()), &mut text);
    text
}

fn taken() -> Vec<String> {
    let text = std::env::var_os(LOCATIONS_VARIABLE).unwrap_or_default();
    let Ok(Value::Array(taken)) = json::parse(text.as_encoded_bytes()) else { return Vec::new() };
    let path = |value: &Value<'_>| match value {
        Value::String(path) => Some(path.to_string()),
        _ => None,
    };
    taken.iter().filter_map(path).collect()
}

fn canonical(location: &Path) -> String {
    location.canonicalize().unwrap_or_else(|_| location.to_path_buf()).to_string_lossy().into_owned()
}
