//! Answers as people read them: a table of the plugins, a sentence for a reload. Pure.

use crate::columns::columns;
use crate::document::Value;
use crate::escape;

/// Between columns.
const GAP: usize = 2;
const HEADINGS: [&str; 7] = ["PLUGIN", "STATE", "PID", "UP", "RESTARTS", "LAST END", "LINES"];

/// The plugins in columns, and what the launcher says of itself. Lines are at most `limit` columns wide, where that can
/// be: a name that leaves no room for the rest stands above it.
pub fn of_status(records: &[Value<'_>], limit: usize) -> String {
    let mut text = of_plugins(records, limit);
    for launcher in records.iter().filter(|record| record.get("plugin").is_none()) {
        text += &format!(
            "launcher {}, pid {}, up {}",
            word(launcher, "version"),
            word(launcher, "pid"),
            time(&word(launcher, "uptime"))
        );
        if launcher.get("program").is_some() {
            text += &format!(", PROGRAM has pid {}", word(launcher, "program"));
        }
        text.push('\n');
    }
    text
}

/// The plugins alone. What was asked for and needed nothing is said behind the row.
pub fn of_plugins(records: &[Value<'_>], limit: usize) -> String {
    let plugins: Vec<&Value<'_>> = records.iter().filter(|record| record.get("plugin").is_some()).collect();
    if plugins.is_empty() {
        return String::new();
    }
    let mut rows = vec![HEADINGS.map(String::from)];
    rows.extend(plugins.iter().map(|plugin| row(plugin)));
    let widest = |column: usize, most: usize| {
        let widths = rows.iter().map(|row| columns(row[column].as_bytes()));
        widths.filter(|&width| width <= most).max().unwrap_or(0)
    };
    let mut widths: Vec<usize> = (0..HEADINGS.len()).map(|column| widest(column, usize::MAX)).collect();
    let rest: usize = widths[1..].iter().map(|width| GAP + width).sum();
    widths[0] = widest(0, limit.saturating_sub(rest).max(HEADINGS[0].len()));
    let notes = plugins.iter().map(|plugin| word(plugin, "note"));
    let mut text = String::new();
    for (row, note) in rows.iter().zip([String::new()].into_iter().chain(notes)) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            let padding = width.checked_sub(columns(cell.as_bytes())).unwrap_or_else(|| {
                line.push('\n');
                *width
            });
            line.extend(std::iter::repeat_n(' ', padding + GAP));
        }
        line.push_str(&note);
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// `reloaded: 1 started, 2 restarted, 0 stopped, 3 unchanged`.
pub fn of_reload(records: &[Value<'_>]) -> String {
    let counts = |record: &Value<'_>| {
        ["started", "restarted", "stopped", "unchanged"].map(|key| format!("{} {key}", word(record, key))).join(", ")
    };
    records.first().map_or(String::new(), |record| format!("reloaded: {}\n", counts(record)))
}

fn row(plugin: &Value<'_>) -> [String; 7] {
    let mut name = Vec::new();
    escape::name(word(plugin, "plugin").as_bytes(), true, &mut name);
    let last = match (plugin.get("code"), plugin.get("signal")) {
        (Some(_), _) => format!("status {}", word(plugin, "code")),
        (None, Some(_)) => format!("signal {}", word(plugin, "signal")),
        (None, None) => "-".into(),
    };
    let or_dash = |key| match word(plugin, key) {
        empty if empty.is_empty() => "-".into(),
        word => word,
    };
    [
        String::from_utf8_lossy(&name).into_owned(),
        word(plugin, "state"),
        or_dash("pid"),
        time(&word(plugin, "uptime")),
        word(plugin, "restarts"),
        last,
        word(plugin, "lines"),
    ]
}

/// A scalar of a record as text; nothing where there is none.
pub fn word(record: &Value<'_>, key: &str) -> String {
    match record.get(key) {
        Some(Value::String(text) | Value::Number(text)) => text.to_string(),
        _ => String::new(),
    }
}

/// Seconds with up to three decimals, in milliseconds.
pub fn milliseconds(seconds: &str) -> Option<u64> {
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    let fraction = [fraction, "000"].concat();
    Some(whole.parse::<u64>().ok()?.checked_mul(1000)? + fraction.get(..3)?.parse::<u64>().ok()?)
}

/// Seconds as `12s`, `3m 20s`, `5h 3m`, `2d 4h`.
fn time(seconds: &str) -> String {
    let Some(milliseconds) = milliseconds(seconds) else { return "-".into() };
    let seconds = milliseconds / 1000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::json;

    #[test]
    fn plugins_stand_in_columns_and_say_what_they_do() {
        let lines = [
            r#"{"version":"0.1.0","pid":7,"uptime":93784.2,"program":9}"#,
            r#"{"plugin":"all_a.sh","path":"p/all_a.sh","state":"running","pid":12,"uptime":61.5,"restarts":0,"lines":3,"bytes":9}"#,
            r#"{"plugin":"é.py","path":"p/é.py","state":"failed","restarts":2,"code":3,"lines":0,"bytes":0,"note":"x"}"#,
        ];
        let records: Vec<Value<'_>> = lines.iter().map(|line| json::parse(line.as_bytes()).unwrap()).collect();
        let expected = "PLUGIN    STATE    PID  UP     RESTARTS  LAST END  LINES\n\
                        all_a.sh  running  12   1m 1s  0         -         3\n\
                        é.py      failed   -    -      2         status 3  0      x\n\
                        launcher 0.1.0, pid 7, up 1d 2h, PROGRAM has pid 9\n";
        assert_eq!(of_status(&records, 80), expected);
        let narrow = "PLUGIN  STATE    PID  UP     RESTARTS  LAST END  LINES\n\
                      all_a.sh\n        running  12   1m 1s  0         -         3\n\
                      é.py    failed   -    -      2         status 3  0      x\n\
                      launcher 0.1.0, pid 7, up 1d 2h, PROGRAM has pid 9\n";
        assert_eq!(of_status(&records, 55), narrow);
    }

    #[test]
    fn a_reload_is_a_sentence() {
        let record = json::parse(br#"{"started":1,"restarted":2,"stopped":0,"unchanged":3}"#).unwrap();
        assert_eq!(of_reload(&[record]), "reloaded: 1 started, 2 restarted, 0 stopped, 3 unchanged\n");
    }
}
