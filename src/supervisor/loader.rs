//! What is read from disk: configuration, locations, plugins. A file system may take for ever to answer; then the thread
//! that reads waits, and the supervisor does not.

use super::recursion;
use crate::cli::Arguments;
use crate::configuration::{self, Location};
use crate::error::{Error, plain};
use crate::plugin::entry::Plan;
use crate::plugin::name::Identity;
use crate::plugin::plan;
use crate::settings::Settings;
use crate::sys::{self, Interest};
use crate::watch::Watch;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// What to read.
enum Job {
    /// The files at these locations.
    Search(Vec<Location>, Identity),
    /// Everything again. Where that cannot be, these are the locations still.
    Reload(Vec<Location>),
}

/// A job, and what goes with each.
struct Order {
    job: Job,
    arguments: Arc<Arguments>,
    is_watching: bool,
    /// What was watched until now. Its end may take a while as well.
    watch: Option<Watch>,
}

/// What came of a job.
pub struct Answer {
    /// What was read, or why it cannot be used.
    pub outcome: Result<Loaded, String>,
    /// What is watched from now on: set up before anything was read, so that no change falls between.
    pub watch: Option<io::Result<Watch>>,
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
    /// A byte for each answer.
    woken: PipeReader,
    answers: Arc<PipeWriter>,
    /// A job is being done.
    pub is_busy: bool,
}

/// What passes between the two threads.
#[derive(Default)]
struct Desk {
    order: Option<Order>,
    answer: Option<Answer>,
}

impl Loader {
    /// # Errors
    /// EMFILE, ENFILE.
    pub fn new() -> io::Result<Loader> {
        let (woken, answers) = io::pipe()?;
        Ok(Loader { desk: Arc::default(), woken, answers: Arc::new(answers), is_busy: false })
    }

    /// Has the locations searched.
    pub fn search(&mut self, arguments: &Arc<Arguments>, settings: &Settings) {
        let job = Job::Search(settings.locations.clone().unwrap_or_default(), settings.identity.clone());
        self.order(job, arguments, settings, None);
    }

    /// Has everything read again. `watch`: what was watched until now.
    pub fn reload(&mut self, arguments: &Arc<Arguments>, settings: &Settings, watch: Option<Watch>) {
        let job = Job::Reload(settings.locations.clone().unwrap_or_default());
        self.order(job, arguments, settings, watch);
    }

    /// One job at a time: the one before has been taken.
    fn order(&mut self, job: Job, arguments: &Arc<Arguments>, settings: &Settings, watch: Option<Watch>) {
        let order = Order { job, arguments: Arc::clone(arguments), is_watching: settings.is_watching, watch };
        lock(&self.desk).order = Some(order);
        self.is_busy = true;
        let (desk, answers) = (Arc::clone(&self.desk), Arc::clone(&self.answers));
        if let Err(error) = sys::start_thread(thread::Builder::new(), move || work(&desk, &answers)) {
            let watch = lock(&self.desk).order.take().and_then(|order| order.watch).map(Ok);
            answer(&self.desk, &self.answers, Answer { outcome: Err(plain(&error)), watch });
        }
    }

    /// What came of the job, once [`Loader::news`] is readable.
    pub fn take(&mut self) -> Option<Answer> {
        if !sys::is_ready(self.woken.as_fd(), Interest::Readable) {
            return None;
        }
        let _ = self.woken.read(&mut [0]);
        self.is_busy = false;
        lock(&self.desk).answer.take()
    }

    pub fn news(&self) -> BorrowedFd<'_> {
        self.woken.as_fd()
    }
}

/// Does one job.
fn work(desk: &Mutex<Desk>, answers: &PipeWriter) {
    let order = lock(desk).order.take();
    if let Some(order) = order {
        answer(desk, answers, carry_out(order));
    }
}

fn answer(desk: &Mutex<Desk>, mut answers: &PipeWriter, answer: Answer) {
    lock(desk).answer = Some(answer);
    // There is always room for it: what keeps it from being written passes.
    while answers.write_all(&[0]).is_err() {}
}

fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

fn carry_out(order: Order) -> Answer {
    let Order { job, arguments, is_watching, watch: old } = order;
    // Before the configuration, which may have it that there is watching, or none.
    let mut watch = (is_watching || matches!(job, Job::Reload(_))).then(Watch::open);
    if let Some(Ok(watch)) = &mut watch {
        configuration::files(&arguments).iter().for_each(|file| watch.follow(file.as_ref()));
    }
    let mut search = |locations: &[Location], is_watching: bool| {
        if let (Some(Ok(watch)), true) = (&mut watch, is_watching) {
            locations.iter().for_each(|location| watch.search(&location.path));
        }
        is_watching
    };
    let (outcome, is_watching) = match job {
        Job::Search(locations, identity) => {
            let is_watching = search(&locations, is_watching);
            (Ok(load(&locations, &identity, None)), is_watching)
        }
        Job::Reload(before) => match resolve(&arguments) {
            Ok(settings) => {
                let locations = settings.locations.clone().unwrap_or_default();
                let is_watching = search(&locations, settings.is_watching);
                (Ok(load(&locations, &settings.identity.clone(), Some(Box::new(settings)))), is_watching)
            }
            Err(error) => (Err(error.message().to_string()), search(&before, is_watching)),
        },
    };
    drop(old);
    Answer { outcome, watch: watch.filter(|_| is_watching) }
}

fn load(locations: &[Location], identity: &Identity, settings: Option<Box<Settings>>) -> Loaded {
    Loaded { plan: plan::plan(locations, identity), taken: recursion::with_those_above(locations), settings }
}

fn resolve(arguments: &Arguments) -> Result<Settings, Error> {
    let settings = Settings::resolve(arguments)?;
    recursion::refuse_circle(&settings)?;
    Ok(settings)
}
