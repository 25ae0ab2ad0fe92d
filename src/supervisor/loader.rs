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
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
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
    desk: Arc<(Mutex<Desk>, Condvar)>,
    /// A byte for each result.
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
        let desk: Arc<(Mutex<Desk>, Condvar)> = Arc::default();
        let of_thread = Arc::clone(&desk);
        let (woken, results) = io::pipe()?;
        thread::Builder::new().spawn(move || work(&of_thread.0, &of_thread.1, results))?;
        Ok(Loader { desk, woken, is_busy: false })
    }

    pub fn search(&mut self, locations: Vec<Location>, identity: Identity) {
        self.order(Job::Search(locations, identity));
    }

    pub fn reload(&mut self, arguments: Arc<Arguments>) {
        self.order(Job::Reload(arguments));
    }

    /// One job at a time: the one before has been taken.
    fn order(&mut self, job: Job) {
        let (desk, is_there_a_job) = &*self.desk;
        lock(desk).job = Some(job);
        is_there_a_job.notify_one();
        self.is_busy = true;
    }

    /// What was read, once [`Loader::news`] is readable; or why it cannot be used.
    pub fn take(&mut self) -> Option<Result<Loaded, String>> {
        if !sys::is_ready(self.woken.as_fd(), Interest::Readable) {
            return None;
        }
        let _ = self.woken.read(&mut [0]);
        self.is_busy = false;
        lock(&self.desk.0).result.take()
    }

    pub fn news(&self) -> BorrowedFd<'_> {
        self.woken.as_fd()
    }
}

/// Does each job as it comes, for ever.
fn work(desk: &Mutex<Desk>, is_there_a_job: &Condvar, mut results: PipeWriter) {
    let mut locked = lock(desk);
    loop {
        if let Some(job) = locked.job.take() {
            drop(locked);
            let result = load(job);
            lock(desk).result = Some(result);
            // There is always room for it: what keeps it from being written passes.
            while results.write_all(&[0]).is_err() {}
            locked = lock(desk);
        } else {
            locked = is_there_a_job.wait(locked).unwrap_or_else(PoisonError::into_inner);
        }
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
