//! The clients of the socket: who is let in (root and the launcher's own user), served without ever waiting for one. Each
//! asks one thing, is answered, and is let go. A client that stalls, floods or reads nothing harms nobody but itself:
//! what all together may cost is bounded.

use super::address::Address;
use super::request::Request;
use crate::numbered::Numbered;
use crate::record::Record;
use crate::sys::{self, DescriptorLimit, Epoll, Interest};
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

/// How many clients there may be, where descriptors are plenty; for one more the oldest has to go that does not wait for
/// us. Else they may have this part of the descriptors, so that there are some for plugins.
const MOST_CLIENTS: usize = 256;
const PART_OF_DESCRIPTORS: usize = 4;
/// The longest request.
const LONGEST_REQUEST: usize = 64 * 1024;
/// What requests and answers of all clients may take together, in bytes.
const MOST_MEMORY: usize = 2 * 1024 * 1024;

/// How long nobody is let in where there is no descriptor for one more.
const PAUSE: Duration = Duration::from_millis(250);

/// A number that no other client of this launcher has.
pub type ClientId = u64;

/// Those who ask.
pub struct Server {
    pub address: Address,
    listener: UnixListener,
    /// By their numbers: the first is the oldest.
    clients: Numbered<ClientId, Client>,
    next_id: ClientId,
    most_clients: usize,
    /// The listener's.
    token: u64,
    /// Added to the number of a client, its token.
    tokens: u64,
    /// When somebody is let in again, where nobody is for now.
    opens: Option<Instant>,
}

struct Client {
    stream: UnixStream,
    request: Vec<u8>,
    answer: Vec<u8>,
    sent: usize,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Asking,
    /// The request is being carried out.
    Waiting,
    Reading,
}

/// What a client wants.
pub struct Asked {
    pub client: ClientId,
    pub request: Request,
}

impl Server {
    /// Serves a socket. The listener has this token in `epoll`, and each client one from `tokens` on.
    ///
    /// # Errors
    /// As epoll_ctl(2) has them.
    pub fn open(
        address: Address,
        listener: UnixListener,
        epoll: &Epoll,
        token: u64,
        tokens: u64,
        descriptors: DescriptorLimit,
    ) -> std::io::Result<Server> {
        epoll.add(listener.as_fd(), token)?;
        let most_clients = MOST_CLIENTS.min(descriptors.highest() / PART_OF_DESCRIPTORS).max(1);
        Ok(Server { address, listener, clients: Numbered::new(), next_id: 0, most_clients, token, tokens, opens: None })
    }

    /// Takes those who have come. Only the same user and root are let in.
    pub fn accept(&mut self, epoll: &Epoll) {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // Without a descriptor, or memory, for it: it would be reported again and again.
                Err(_) => {
                    epoll.remove(self.listener.as_fd());
                    self.opens = Some(Instant::now() + PAUSE);
                    return;
                }
            };
            let is_allowed = sys::peer(stream.as_fd()).is_some_and(|peer| [0, sys::own_user()].contains(&peer.user));
            if !is_allowed || stream.set_nonblocking(true).is_err() {
                continue;
            }
            if self.clients.len() >= self.most_clients {
                let stalls = |(_, client): &(ClientId, &Client)| client.stage != Stage::Waiting;
                let stalling = self.clients.iter().find(stalls).map(|(id, _)| id);
                if let Some(id) = stalling.or(self.clients.oldest()) {
                    self.let_go(id, epoll);
                }
            }
            let id = self.next_id;
            self.next_id += 1;
            if epoll.add(stream.as_fd(), self.tokens + id).is_ok() {
                let client = Client { stream, request: Vec::new(), answer: Vec::new(), sent: 0, stage: Stage::Asking };
                self.clients.push(id, client);
            }
        }
    }

    /// When [`Server::open_again`] is due.
    pub fn due(&self) -> Option<Instant> {
        self.opens
    }

    /// Lets in those who have come since.
    pub fn open_again(&mut self, epoll: &Epoll) {
        let is_open = epoll.add(self.listener.as_fd(), self.token).is_ok();
        self.opens = if is_open { None } else { Some(Instant::now() + PAUSE) };
    }

    /// The tokens of all clients.
    pub fn tokens_of_clients(&self) -> Vec<u64> {
        self.clients.numbers().into_iter().map(|id| self.tokens + id).collect()
    }

    /// Goes on with the client of this token; what it asks, once that is whole.
    pub fn go_on(&mut self, token: u64, epoll: &Epoll) -> Option<Asked> {
        let id = token.checked_sub(self.tokens)?;
        match self.clients.get(&id)?.stage {
            Stage::Asking => self.read(id, epoll),
            Stage::Waiting => None,
            Stage::Reading => {
                self.send(id, epoll);
                None
            }
        }
    }

    fn read(&mut self, id: ClientId, epoll: &Epoll) -> Option<Asked> {
        let memory = self.memory();
        let client = self.clients.get_mut(&id)?;
        let mut bytes = [0; 4096];
        // It was reported: reading neither waits nor is interrupted.
        let Ok(count) = client.stream.read(&mut bytes) else {
            self.let_go(id, epoll);
            return None;
        };
        let is_over = count == 0;
        client.request.extend_from_slice(&bytes[..count]);
        let end = client.request.iter().position(|&byte| byte == b'\n');
        let line = match end {
            Some(end) => &client.request[..end],
            None if is_over => &client.request[..],
            None if client.request.len() > LONGEST_REQUEST || memory + count > MOST_MEMORY => {
                self.refuse(id, "the request is too long", epoll);
                return None;
            }
            None => return None,
        };
        match Request::parse(line) {
            Ok(request) => {
                client.stage = Stage::Waiting;
                client.request = Vec::new();
                // Whether it is still there is found out when it is answered.
                epoll.remove(client.stream.as_fd());
                Some(Asked { client: id, request })
            }
            Err(problem) => {
                self.refuse(id, &problem, epoll);
                None
            }
        }
    }

    /// Answers with an error.
    pub fn refuse(&mut self, id: ClientId, problem: &str, epoll: &Epoll) {
        self.answer(id, Record::empty().flag("ok", false).text("error", problem).end(), epoll);
    }

    /// Answers with these records and that the request was carried out.
    pub fn confirm(&mut self, id: ClientId, mut records: Vec<u8>, epoll: &Epoll) {
        records.extend(Record::empty().flag("ok", true).end());
        records.shrink_to_fit();
        self.answer(id, records, epoll);
    }

    fn answer(&mut self, id: ClientId, answer: Vec<u8>, epoll: &Epoll) {
        let is_too_much = !self.make_room(id, answer.len(), epoll);
        let Some(client) = self.clients.get_mut(&id) else { return };
        if client.stage == Stage::Asking {
            epoll.remove(client.stream.as_fd());
        }
        client.stage = Stage::Reading;
        client.request = Vec::new();
        client.answer = match is_too_much {
            false => answer,
            true => Record::empty().flag("ok", false).text("error", "the answer is too long").end(),
        };
        if epoll.watch(client.stream.as_fd(), self.tokens + id, Interest::Writable).is_err() {
            self.clients.remove(&id);
            return;
        }
        self.send(id, epoll);
    }

    /// Sends what the client takes now, and lets it go when it has all.
    fn send(&mut self, id: ClientId, epoll: &Epoll) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        while let rest @ [_, ..] = &client.answer[client.sent..] {
            match client.stream.write(rest) {
                Ok(0) => break,
                Ok(count) => client.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => break,
            }
        }
        self.let_go(id, epoll);
    }

    fn let_go(&mut self, id: ClientId, epoll: &Epoll) {
        if let Some(client) = self.clients.remove(&id) {
            epoll.remove(client.stream.as_fd());
            // What it sent beyond its request would have the kernel reset the connection, and our answer with it.
            let mut rest = [0; 4096];
            let mut stream = &client.stream;
            for _ in 0..16 {
                if !matches!(stream.read(&mut rest), Ok(1..)) {
                    break;
                }
            }
            // A plugin whose exec hangs has a copy of the descriptor.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Has those go that stall, the oldest first, until there is room for so many bytes: says whether there is.
    fn make_room(&mut self, id: ClientId, bytes: usize, epoll: &Epoll) -> bool {
        while self.memory() + bytes > MOST_MEMORY {
            let stalls = |(other, client): &(ClientId, &Client)| *other != id && client.memory() > 0;
            let Some(oldest) = self.clients.iter().find(stalls).map(|(oldest, _)| oldest) else { return false };
            self.let_go(oldest, epoll);
        }
        true
    }

    fn memory(&self) -> usize {
        self.clients.values().map(Client::memory).sum()
    }
}

impl Client {
    fn memory(&self) -> usize {
        self.request.capacity() + self.answer.capacity()
    }
}
