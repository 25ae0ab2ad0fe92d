//! What is asked over the control socket, done, and the answers that have to wait until it is.

use super::Supervisor;
use super::lifecycle::{Event, State, Wish};
use super::plugins::Plugin;
use crate::control::request::Request;
use crate::control::server::{Asked, ClientId};
use crate::escape::quoted;
use crate::log::PluginId;
use crate::nearest::nearest;
use crate::notice::ReloadCounts;
use crate::record::Record;
use std::ffi::OsString;
use std::time::Instant;

const IS_STOPPING: &str = "the launcher is being stopped";
/// How many plugins may be waited for by all clients together.
const MOST_AWAITED: usize = 16 * 1024;

/// An answer that waits.
pub struct Pending {
    client: ClientId,
    until: Until,
}

enum Until {
    /// This many reloads have been done.
    Reloads(u64),
    /// None of these is on its way from one state to another. With a note for each.
    Settled(Vec<(PluginId, &'static str)>),
}

impl Supervisor {
    /// Serves whoever has news.
    pub(super) fn take_from_client(&mut self, token: u64) {
        let asked = self.server.as_mut().and_then(|server| server.go_on(token, &self.epoll));
        if let Some(Asked { client, request }) = asked {
            self.answer(client, request);
        }
    }

    fn answer(&mut self, client: ClientId, request: Request) {
        let outcome = match request {
            Request::Status(names) => self.find(&names).map(|ids| self.tell(client, &ids, names.is_empty())),
            Request::Reload => self.answer_reload(client),
            Request::Start(names) => self.wish(client, &names, Wish::Start),
            Request::Stop(names) => self.wish(client, &names, Wish::Stop),
            Request::Restart(names) => self.wish(client, &names, Wish::Restart),
        };
        if let Err(problem) = outcome {
            self.refuse(client, &problem);
        }
    }

    /// The plugins of these names, all of them where there is none.
    fn find(&self, names: &[OsString]) -> Result<Vec<PluginId>, String> {
        if names.is_empty() {
            return Ok(self.plugins.ids());
        }
        // One that is on its way out may have its successor's name.
        let id_of = |name: &OsString| {
            let named = self.plugins.iter().filter(|(_, plugin)| plugin.name == *name);
            named.min_by_key(|(_, plugin)| plugin.state().is_leaving()).map(|(id, _)| id)
        };
        // Once each, however often it is named.
        let mut ids = Vec::new();
        for name in names {
            let id = id_of(name).ok_or_else(|| self.no_such(name))?;
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        Ok(ids)
    }

    fn no_such(&self, name: &OsString) -> String {
        // As text two names may look alike that are not: only what can be typed is suggested.
        let is_plain = |name: &&str| !name.contains(|c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER);
        let known = self.plugins.values().filter_map(|plugin| plugin.name.to_str().filter(is_plain));
        let near = name.to_str().and_then(|name| nearest(name, known));
        let near = near.map(quoted);
        let name = quoted(name);
        match near {
            Some(near) => format!("there is no plugin `{name}`; did you mean `{near}`?"),
            None if self.plugins.is_empty() => format!("there is no plugin `{name}`: none runs here"),
            None => format!("there is no plugin `{name}`; `status` lists those there are"),
        }
    }

    fn answer_reload(&mut self, client: ClientId) -> Result<(), String> {
        self.refuse_when_stopping()?;
        self.reload();
        let until = Until::Reloads(self.reloads.begun + u64::from(self.wants_reload));
        self.pending.push(Pending { client, until });
        Ok(())
    }

    fn wish(&mut self, client: ClientId, names: &[OsString], wish: Wish) -> Result<(), String> {
        self.refuse_when_stopping()?;
        let ids = self.find(names)?;
        let awaited = |pending: &Pending| match &pending.until {
            Until::Reloads(_) => 0,
            Until::Settled(ids) => ids.len(),
        };
        if self.pending.iter().map(awaited).sum::<usize>() + ids.len() > MOST_AWAITED {
            return Err("too many requests are being carried out".into());
        }
        let note = |plugin: &Plugin| match (wish, plugin.state()) {
            (Wish::Start, State::Running { .. } | State::Starting { .. }) => "runs already",
            (Wish::Stop, State::Stopped) => "is stopped already",
            _ => "",
        };
        let notes: Vec<_> = ids.iter().map(|&id| (id, self.plugins.get(id).map_or("", note))).collect();
        ids.into_iter().for_each(|id| self.happen(id, Event::Asked(wish)));
        self.pending.push(Pending { client, until: Until::Settled(notes) });
        Ok(())
    }

    fn refuse_when_stopping(&self) -> Result<(), String> {
        match self.ending {
            None => Ok(()),
            Some(_) => Err(IS_STOPPING.into()),
        }
    }

    /// Answers those whose request is carried out by now.
    pub(super) fn answer_pending(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let (ready, waiting): (Vec<Pending>, Vec<Pending>) =
            std::mem::take(&mut self.pending).into_iter().partition(|pending| self.is_carried_out(&pending.until));
        self.pending = waiting;
        for Pending { client, until } in ready {
            match until {
                Until::Settled(notes) => {
                    let now = Instant::now();
                    let record = |(id, note): &(PluginId, &str)| Some(self.plugins.get(*id)?.record(note, now));
                    let records: Vec<Vec<u8>> = notes.iter().filter_map(record).collect();
                    self.confirm(client, records.concat());
                }
                Until::Reloads(count) if self.reloads.done < count => self.refuse(client, IS_STOPPING),
                Until::Reloads(_) => match self.reloads.last.clone() {
                    Ok(counts) => self.confirm(client, Record::empty().counts(&counts).end()),
                    Err(problem) => self.refuse(client, &problem),
                },
            }
        }
    }

    fn is_carried_out(&self, until: &Until) -> bool {
        match until {
            Until::Reloads(count) => self.reloads.done >= *count || self.ending.is_some(),
            Until::Settled(ids) => {
                let now = Instant::now();
                let is_on_its_way = |id: &PluginId| self.plugins.get(*id).is_some_and(|p| p.state().is_on_its_way(now));
                !ids.iter().any(|(id, _)| is_on_its_way(id))
            }
        }
    }

    fn tell(&mut self, client: ClientId, ids: &[PluginId], with_launcher: bool) {
        let now = Instant::now();
        let mut records = Vec::new();
        if with_launcher {
            let mut record = Record::empty()
                .text("version", env!("CARGO_PKG_VERSION"))
                .count("pid", self.above.guard() as u64)
                .duration("uptime", now.saturating_duration_since(self.began));
            if let Some(job) = self.job.as_ref().filter(|job| job.is_running()) {
                record = record.count("program", job.pid() as u64);
            }
            records.extend(record.end());
        }
        let all = ids.iter().filter_map(|id| self.plugins.get(*id));
        all.for_each(|plugin| records.extend(plugin.record("", now)));
        self.confirm(client, records);
    }

    fn refuse(&mut self, client: ClientId, problem: &str) {
        if let Some(server) = &mut self.server {
            server.refuse(client, problem, &self.epoll);
        }
    }

    fn confirm(&mut self, client: ClientId, records: Vec<u8>) {
        if let Some(server) = &mut self.server {
            server.confirm(client, records, &self.epoll);
        }
    }
}

impl Plugin {
    fn record(&self, note: &str, now: Instant) -> Vec<u8> {
        let record = Record::empty().status(&self.name, &self.path, &self.status(now));
        if note.is_empty() { record.end() } else { record.text("note", note).end() }
    }
}

/// The reloads so far, and what came of the last.
pub struct Reloads {
    pub begun: u64,
    pub done: u64,
    pub last: Result<ReloadCounts, String>,
}
