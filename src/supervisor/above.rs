//! What is above the supervisor: the guard, who tells what the caller wants and how it is to be ended, and the parent,
//! whose end both watch for themselves.

use super::token;
use crate::link::{Link, Order, Report};
use crate::parent::ParentWatch;
use crate::sys::{self, Epoll, Pid};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// See the module. Nobody is listened to any more once the guard is gone.
pub struct Above {
    guard: Pid,
    callers_session: Option<Pid>,
    link: Option<Link>,
    guard_end: Option<OwnedFd>,
    parent: Option<ParentWatch>,
}

/// What came from above.
pub enum News {
    Order(Order),
    GuardGone,
}

impl Above {
    /// As the guard hands it over, in whose session we still are; `parent` is its own watch.
    pub fn new(guard: Pid, link: Link, parent: ParentWatch) -> Above {
        let parent = Some(parent.seen_from_below());
        Above { guard, callers_session: sys::session_of(0), link: Some(link), guard_end: None, parent }
    }

    /// The process that the caller sees, also once it is gone.
    pub fn guard(&self) -> Pid {
        self.guard
    }

    /// The same while it is there: its number may be another's later.
    pub fn living_guard(&self) -> Option<Pid> {
        self.link.as_ref().map(|_| self.guard)
    }

    /// The session in which the guard was started: nobody knows it any more once the guard is gone.
    pub fn callers_session(&self) -> Option<Pid> {
        self.callers_session
    }

    /// The process that we belong to.
    pub fn parent(&self) -> Option<Pid> {
        self.parent.as_ref().and_then(ParentWatch::pid)
    }

    /// Has `epoll` report news.
    ///
    /// # Errors
    /// As epoll_ctl(2) has them.
    pub fn register(&mut self, epoll: &Epoll) -> io::Result<()> {
        // If it is gone already this may be another process: whose child we are is looked for in any case.
        self.guard_end = sys::pidfd_open(self.guard).ok();
        if let Some(link) = &self.link {
            epoll.add(link.as_fd(), token::LINK)?;
        }
        if let Some(guard) = &self.guard_end {
            epoll.add(guard.as_fd(), token::GUARD)?;
        }
        self.parent.as_ref().map_or(Ok(()), |parent| parent.register(epoll, token::PARENT))
    }

    /// How long to wait for news at most.
    pub fn tick(&self) -> Option<Duration> {
        self.parent.as_ref().and_then(ParentWatch::tick)
    }

    pub fn tell(&self, report: &Report) {
        if let Some(link) = &self.link {
            link.send(report);
        }
    }

    /// Sends a signal to the guard, unless its number may be another's by now.
    pub fn signal_guard(&self, number: i32) {
        if self.link.is_some() {
            let _ = sys::kill(self.guard, number);
        }
    }

    /// What has come, `ready` being the tokens that were reported. That somebody is gone is looked for in any case.
    pub fn news(&mut self, ready: &[u64], epoll: &Epoll) -> Vec<News> {
        let Some(link) = &mut self.link else { return Vec::new() };
        let mut news = Vec::new();
        if ready.contains(&token::LINK) {
            news.extend(link.receive().messages.into_iter().map(News::Order));
        }
        if let Some(parent) = self.parent.take_if(|parent| parent.is_parent_gone()) {
            parent.unregister(epoll);
            news.push(News::Order(Order::ParentGone));
        }
        // We are another's child before a pidfd or the signal of our parent's death tells of it. The end of the link is told
        // earlier, and again until then.
        if sys::parent_pid() != self.guard {
            self.let_go(epoll);
            news.push(News::GuardGone);
        }
        news
    }

    fn let_go(&mut self, epoll: &Epoll) {
        for fd in self.guard_end.iter().map(AsFd::as_fd).chain(self.link.iter().map(AsFd::as_fd)) {
            epoll.remove(fd);
        }
        if let Some(parent) = &self.parent {
            parent.unregister(epoll);
        }
        (self.guard_end, self.link, self.parent) = (None, None, None);
    }
}
