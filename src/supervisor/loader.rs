//! The thread that reads what is on disk: configuration, locations, plugins. A file system may take for ever to answer;
//! then this thread waits, and the supervisor does not.

use super::above;
use crate::cli::Arguments;
use crate::configuration::Location;
use crate::error::Error;
use crate::plugin::name::Identity;
use crate::plugin::plan::{self, Plan};
use crate::settings::Settings;
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

/// What to read.
enum Job {
    /// The files at these locations.
    Search(Vec<Location>, Identity),
    /// Everything again.
    Reload(Arc<Arguments>),
}

/// What was read.
pub struct Loaded {
    pub plan: Plan,
    /// The locations as launchers below us are told, who must not run them again.
    pub taken: String,
    /// Where everything was read again.
    pub settings: Option<Box<Settings>>,
}

/// The supervisor's end.
pub struct Loader {
    jobs: Sender<Job>,
    results: Receiver<Result<Loaded, String>>,
    woken: PipeReader,
    /// A job is being done.
    pub is_busy: bool,
}

impl Loader {
    /// Starts the thread.
    ///
    /// # Errors
    /// EMFILE, EAGAIN, ENOMEM.
    pub fn start() -> io::Result<Loader> {
        let (jobs, orders) = mpsc::channel();
        let (answers, results) = mpsc::channel();
        let (woken, mut wake) = io::pipe()?;
        thread::Builder::new().spawn(move || {
            for job in orders {
                if answers.send(load(job)).is_err() || wake.write_all(&[0]).is_err() {
                    return;
                }
            }
        })?;
        Ok(Loader { jobs, results, woken, is_busy: false })
    }

    pub fn search(&mut self, locations: Vec<Location>, identity: Identity) {
        self.order(Job::Search(locations, identity));
    }

    pub fn reload(&mut self, arguments: Arc<Arguments>) {
        self.order(Job::Reload(arguments));
    }

    fn order(&mut self, job: Job) {
        self.is_busy = self.jobs.send(job).is_ok();
    }

    /// What was read, once [`Loader::news`] is readable; or why it cannot be used.
    pub fn take(&mut self) -> Option<Result<Loaded, String>> {
        let loaded = self.results.try_recv().ok()?;
        // One byte for each result.
        let _ = self.woken.read(&mut [0]);
        self.is_busy = false;
        Some(loaded)
    }

    pub fn news(&self) -> BorrowedFd<'_> {
        self.woken.as_fd()
    }
}

fn load(job: Job) -> Result<Loaded, String> {
    let settings = match job {
        Job::Search(locations, identity) => {
            let plan = plan::plan(&locations, &identity);
            return Ok(Loaded { plan, taken: above::with_those_above(&locations), settings: None });
        }
        Job::Reload(arguments) => Settings::resolve(&arguments).map_err(into_message)?,
    };
    let locations = settings.locations.clone().unwrap_or_default();
    above::refuse_circle(&settings).map_err(into_message)?;
    let plan = plan::plan(&locations, &settings.identity);
    Ok(Loaded { plan, taken: above::with_those_above(&locations), settings: Some(Box::new(settings)) })
}

fn into_message(error: Error) -> String {
    error.message().to_string()
}
