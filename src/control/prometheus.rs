//! `status` as Prometheus scrapes it: the text exposition format 0.0.4. Pure, but for the time of day.

use super::table::{milliseconds, word};
use crate::document::Value;
use std::time::{SystemTime, UNIX_EPOCH};

/// A metric of every plugin: name behind the prefix, type, help, and its value for a record.
struct Metric {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    /// Of a record, at this time in milliseconds since the epoch.
    value: fn(&Value<'_>, u64) -> Option<String>,
}

const METRICS: &[Metric] = &[
    Metric {
        name: "up",
        kind: "gauge",
        help: "Whether the plugin runs.",
        value: |record, _| Some(u8::from(word(record, "state") == "running").to_string()),
    },
    Metric {
        name: "healthy",
        kind: "gauge",
        help: "Whether the plugin runs, or ended well or on request; 0 in backoff and after a failure.",
        value: |record, _| Some(u8::from(!["backoff", "failed"].contains(&word(record, "state").as_str())).to_string()),
    },
    Metric {
        name: "restarts_total",
        kind: "counter",
        help: "How often the plugin was started again.",
        value: |record, _| number(record, "restarts"),
    },
    Metric {
        name: "last_exit_status",
        kind: "gauge",
        help: "How the plugin's last run ended: its status, or 128 and the signal.",
        value: |record, _| {
            let signal = number(record, "signal").and_then(|signal| signal.parse::<u32>().ok());
            number(record, "code").or_else(|| signal.map(|signal| (128 + signal).to_string()))
        },
    },
    Metric {
        name: "start_time_seconds",
        kind: "gauge",
        help: "When the plugin was started, in seconds since the epoch.",
        value: started,
    },
    Metric {
        name: "log_lines_total",
        kind: "counter",
        help: "Lines of the plugin that were logged.",
        value: |record, _| number(record, "lines"),
    },
    Metric {
        name: "log_bytes_total",
        kind: "counter",
        help: "Bytes of the plugin that were logged.",
        value: |record, _| number(record, "bytes"),
    },
];

const PREFIX: &str = "lmcache_plugin_";

/// All metrics of all plugins, and of the launcher.
pub fn of_status(records: &[Value<'_>]) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    at(records, now)
}

fn at(records: &[Value<'_>], now: u64) -> String {
    let mut text = String::new();
    for launcher in records.iter().filter(|record| record.get("plugin").is_none()) {
        head(&mut text, "launcher_info", "gauge", "The launcher; its version is a label.");
        text += &format!("{PREFIX}launcher_info{{version=\"{}\"}} 1\n", label(&word(launcher, "version")));
        if let Some(started) = started(launcher, now) {
            let name = "launcher_start_time_seconds";
            head(&mut text, name, "gauge", "When the launcher was started, in seconds since the epoch.");
            text += &format!("{PREFIX}{name} {started}\n");
        }
    }
    for metric in METRICS {
        let plugins = records.iter().filter(|record| record.get("plugin").is_some());
        let samples: Vec<String> = plugins
            .filter_map(|record| {
                let value = (metric.value)(record, now)?;
                Some(format!("{PREFIX}{}{{plugin=\"{}\"}} {value}\n", metric.name, label(&word(record, "plugin"))))
            })
            .collect();
        if !samples.is_empty() {
            head(&mut text, metric.name, metric.kind, metric.help);
            text += &samples.concat();
        }
    }
    text
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    *text += &format!("# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}\n");
}

fn number(record: &Value<'_>, key: &str) -> Option<String> {
    Some(word(record, key)).filter(|text| !text.is_empty())
}

fn started(record: &Value<'_>, now: u64) -> Option<String> {
    let started = now.saturating_sub(milliseconds(&word(record, "uptime"))?);
    Some(format!("{}.{:03}", started / 1000, started % 1000))
}

/// A label's value: `\`, `"` and newlines escaped.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::json;

    #[test]
    fn every_metric_has_its_head_once_and_a_sample_for_each_plugin_that_has_it() {
        let lines = [
            r#"{"version":"0.1.0","pid":7,"uptime":100.5}"#,
            r#"{"plugin":"a\"\\\nb","state":"running","pid":12,"uptime":10,"restarts":1,"signal":9,"lines":3,"bytes":9}"#,
            r#"{"plugin":"c","state":"backoff","restarts":2,"code":3,"lines":0,"bytes":0}"#,
            r#"{"plugin":"d","state":"ended","restarts":0,"code":0,"lines":1,"bytes":2}"#,
        ];
        let records: Vec<Value<'_>> = lines.iter().map(|line| json::parse(line.as_bytes()).unwrap()).collect();
        let text = at(&records, 1_000_000);
        for expected in [
            "lmcache_plugin_launcher_info{version=\"0.1.0\"} 1\n",
            "lmcache_plugin_launcher_start_time_seconds 899.500\n",
            "# TYPE lmcache_plugin_restarts_total counter\n",
            "lmcache_plugin_up{plugin=\"a\\\"\\\\\\nb\"} 1\n",
            "lmcache_plugin_up{plugin=\"c\"} 0\n",
            "lmcache_plugin_healthy{plugin=\"c\"} 0\n",
            "lmcache_plugin_healthy{plugin=\"d\"} 1\n",
            "lmcache_plugin_last_exit_status{plugin=\"a\\\"\\\\\\nb\"} 137\n",
            "lmcache_plugin_last_exit_status{plugin=\"c\"} 3\n",
            "lmcache_plugin_start_time_seconds{plugin=\"a\\\"\\\\\\nb\"} 990.000\n",
            "lmcache_plugin_log_bytes_total{plugin=\"d\"} 2\n",
        ] {
            assert_eq!(text.matches(expected).count(), 1, "{expected}: {text}");
        }
        assert_eq!(text.matches("# HELP ").count(), 2 + METRICS.len());
        assert_eq!(text.matches("start_time_seconds{").count(), 1, "only of who runs");
    }
}
