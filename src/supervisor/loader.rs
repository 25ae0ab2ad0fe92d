//! The thread that reads what is on disk: configuration, locations, plugins. A file system may take for ever to answer;
//! then this thread waits, and the supervisor does not.

use super::above;
use crate::cli::Arguments;
use crate::configuration::Location;
use crate::error::Error;
use crate::plugin::name::Identity;
use crate::plugin::plan::{self, Plan};
use crate::settings::Settings;
use crate::sys::{self, Interest};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    desk: Arc<Mutex<Desk>>,
    /// A byte for each job, and one for each result.
    wake: PipeWriter,
    woken: PipeReader,
    /// A job is being done.
    pub is_busy: bool,
}

/// What passes between the two threads.
#[derive(Default)]
struct Desk {
    job: Option<Job>,
    result: Option<Result<Loaded, String>>,
}

impl Loader {
    /// Starts the thread.
    ///
    /// # Errors
    /// EMFILE, EAGAIN, ENOMEM.
    pub fn start() -> io::Result<Loader> {
        let desk: Arc<Mutex<Desk>> = Arc::default();
        let desk_of_thread = Arc::clone(&desk);
        let (mut jobs, wake) = io::pipe()?;
        let (woken, mut results) = io::pipe()?;
        thread::Builder::new().spawn(move || {
            while let Ok(1) = jobs.read(&mut [0]) {
                let job = lock(&desk_of_thread).job.take();
                lock(&desk_of_thread).result = job.map(load);
                if results.write_all(&[0]).is_err() {
                    return;
                }
            }
        })?;
        Ok(Loader { desk, wake, woken, is_busy: false })
    }

    pub fn search(&mut self, locations: Vec<Location>, identity: Identity) {
        self.order(Job::Search(locations, identity));
    }

    pub fn reload(&mut self, arguments: Arc<Arguments>) {
        self.order(Job::Reload(arguments));
    }

    /// One job at a time: the one before has been taken.
    fn order(&mut self, job: Job) {
        lock(&self.desk).job = Some(job);
        self.is_busy = self.wake.write_all(&[0]).is_ok();
    }

    /// What was read, once [`Loader::news`] is readable; or why it cannot be used.
    pub fn take(&mut self) -> Option<Result<Loaded, String>> {
        if !sys::is_ready(self.woken.as_fd(), Interest::Readable) {
            return None;
        }
        let _ = self.woken.read(&mut [0]);
        self.is_busy = false;
        lock(&self.desk).result.take()
    }

    pub fn news(&self) -> BorrowedFd<'_> {
        self.woken.as_fd()
    }
}

fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
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
