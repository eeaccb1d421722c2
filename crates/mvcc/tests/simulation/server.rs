//! The scheduler: waits until every client wants something, lets one have it, and breaks things.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use kv::environment::Simulated;
use kv::memory::{Config, Memory};
use kv::{
    Batch, CommitId, Durability, Environment, Error, Page, ReadStamp, Result, Store, Version,
};

use crate::audit::{Audit, Tally};
use crate::client;
use crate::wire::{Call, Entries, Message, Reply};

pub(crate) const TRANSACTORS: usize = 4;
/// The clients that run transactions, and two that collect garbage.
const CLIENTS: usize = TRANSACTORS + 2;

pub(crate) fn run(seed: u64) -> Tally {
    let mut server = Server::new(seed);
    server.serve();
    server.audit.judge(&server.memory)
}

struct Server {
    env: Simulated,
    clock: Arc<AtomicU64>,
    memory: Memory,
    clients: Vec<Client>,
    messages: Receiver<(usize, Message)>,
    /// Batches whose sender was told nothing, or that nobody knows the outcome.
    in_flight: Vec<Batch>,
    audit: Audit,
    faults: bool,
}

struct Client {
    handle: Memory,
    replies: Sender<Reply>,
    wants: Option<Call>,
    finished: bool,
    interrupted: Arc<AtomicBool>,
    /// Deferred batches that were accepted and not flushed.
    deferred: usize,
    /// Whether some of them were lost.
    lost: bool,
}

impl Server {
    fn new(seed: u64) -> Server {
        let env = Simulated::new(seed);
        let choice = env.random();
        let mut config = Config { defer: choice & 1 == 0, ..Config::default() };
        config.limits.archives = choice & 2 == 0;
        config.limits.bulk_batch = 300;
        let memory = Memory::new(config);
        let clock = Arc::new(AtomicU64::new(env.now()));
        let (to_server, messages) = channel();
        let mut server = Server {
            env,
            clock,
            memory,
            clients: Vec::new(),
            messages,
            in_flight: Vec::new(),
            audit: Audit::default(),
            faults: choice & 12 != 0,
        };
        for number in 0..CLIENTS {
            let (replies, from_server) = channel();
            let interrupted = Arc::new(AtomicBool::new(false));
            server.clients.push(Client {
                handle: server.memory.handle(),
                replies,
                wants: None,
                finished: false,
                interrupted: Arc::clone(&interrupted),
                deferred: 0,
                lost: false,
            });
            let start = client::Start {
                number,
                seed: server.env.random(),
                limits: config.limits,
                prefetch: choice & 16 == 0,
                clock: Arc::clone(&server.clock),
                interrupted,
                to_server: to_server.clone(),
                from_server,
            };
            thread::spawn(move || client::main(start));
        }
        server
    }

    fn one_in(&self, n: u64) -> bool {
        self.faults && self.env.random().is_multiple_of(n)
    }

    fn serve(&mut self) {
        loop {
            while self.clients.iter().any(|client| !client.finished && client.wants.is_none()) {
                self.listen();
            }
            let waiting: Vec<usize> =
                (0..CLIENTS).filter(|c| self.clients[*c].wants.is_some()).collect();
            if waiting.is_empty() {
                return;
            }
            self.env.advance(self.env.random() % 20);
            self.clock.store(self.env.now(), Ordering::SeqCst);
            self.deliver_late_batch();
            if self.one_in(400) {
                self.restart();
            }
            let chosen = waiting[self.env.random() as usize % waiting.len()];
            let call = self.clients[chosen].wants.take().expect("it is waiting");
            let reply = self.answer(chosen, call);
            self.clients[chosen].replies.send(reply).expect("the client waits");
        }
    }

    fn listen(&mut self) {
        let (number, message) = self.messages.recv().expect("a client is alive");
        let client = &mut self.clients[number];
        match message {
            Message::Call(call) => client.wants = Some(call),
            Message::Finished => client.finished = true,
            Message::Panicked => panic!("client {number} found something wrong"),
            Message::Event(event) => self.audit.hear(number, event),
        }
    }

    /// A batch that was on its way when its sender lost patience arrives.
    fn deliver_late_batch(&mut self) {
        if !self.in_flight.is_empty() && self.one_in(10) {
            let batch = self.in_flight.swap_remove(0);
            // Refused if somebody has asked for its outcome already.
            drop(self.memory.commit(&batch, &self.env));
        }
    }

    /// The store comes back without what it had only promised to apply.
    fn restart(&mut self) {
        for client in &mut self.clients {
            client.handle = self.memory.handle();
            client.lost |= client.deferred > 0;
            client.deferred = 0;
        }
    }

    fn answer(&mut self, number: usize, call: Call) -> Reply {
        if self.one_in(700) {
            return Reply::Crash;
        }
        let down = self.one_in(150).then(|| Error::Unavailable("simulated".into()));
        let check = |result| down.clone().map_or(result, Err);
        let client = &self.clients[number];
        match call {
            Call::ReadVersion => Reply::Stamp(match down {
                Some(error) => Err(error),
                None => client.handle.read_version(&self.env),
            }),
            Call::VersionAt(micros) => {
                Reply::Version(check(client.handle.version_at(micros, &self.env)))
            }
            Call::Get(keys) => Reply::Entries(down.map_or_else(|| self.get(number, &keys), Err)),
            Call::Scan(request) => Reply::Entries(match down {
                Some(error) => Err(error),
                None => self.read(|page| {
                    let ticket = client.handle.start_scan(request)?;
                    Ok(client.handle.finish_scan(ticket, page, &self.env)?.0)
                }),
            }),
            Call::Commit(batch) => self.commit(number, &batch),
            Call::Flush => Reply::Done(self.flush(number)),
            Call::Outcome(id) => self.outcome(number, id),
        }
    }

    fn get(&self, number: usize, keys: &[Vec<u8>]) -> Result<Entries> {
        let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        self.read(|page| self.clients[number].handle.get_many(&keys, page, &self.env))
    }

    fn read(&self, read: impl FnOnce(&mut Page) -> Result<ReadStamp>) -> Result<Entries> {
        let mut page = Page::default();
        let stamp = read(&mut page)?;
        let rows = (0..page.len()).map(|i| (page.key(i).to_vec(), page.get(i).map(<[u8]>::to_vec)));
        Ok(Entries { stamp, rows: rows.collect(), more: page.more() })
    }

    fn report_loss(&mut self, number: usize) -> Result<()> {
        let lost = std::mem::take(&mut self.clients[number].lost);
        if lost { Err(Error::Unavailable("deferred batches were lost".into())) } else { Ok(()) }
    }

    fn flush(&mut self, number: usize) -> Result<()> {
        self.report_loss(number)?;
        self.clients[number].deferred = 0;
        self.clients[number].handle.flush(&self.env)
    }

    /// A commit can break before it is sent, on its way, or on the way back; and its sender can
    /// die at each of these places.
    fn commit(&mut self, number: usize, batch: &Batch) -> Reply {
        if let Err(error) = self.report_loss(number) {
            return Reply::Version(Err(error));
        }
        let deferred = batch.durability == Durability::Deferred;
        self.clients[number].deferred += usize::from(deferred);
        if deferred || !self.one_in(6) {
            return Reply::Version(self.apply(number, batch));
        }
        let unknown = Error::OutcomeUnknown { id: batch.id, reason: "simulated".into() };
        let reply = |crash: bool, error: Error| match crash {
            true => Reply::Crash,
            false => Reply::Version(Err(error)),
        };
        let crash = self.one_in(3);
        match self.env.random() % 4 {
            0 => reply(crash, Error::Unavailable("simulated".into())),
            1 => {
                drop(self.apply(number, batch));
                reply(crash, unknown)
            }
            2 => {
                self.in_flight.push(batch.clone());
                reply(crash, unknown)
            }
            _ => reply(crash, unknown),
        }
    }

    fn apply(&mut self, number: usize, batch: &Batch) -> Result<Version> {
        self.clients[number].handle.commit(batch, &self.env)
    }

    fn outcome(&mut self, number: usize, id: CommitId) -> Reply {
        if self.one_in(4) {
            // The user may lose patience, too. The flag falls with the next transaction.
            let impatient = self.one_in(2);
            self.clients[number].interrupted.store(impatient, Ordering::SeqCst);
            return Reply::Outcome(Err(Error::Unavailable("simulated".into())));
        }
        Reply::Outcome(self.memory.outcome(id, &self.env))
    }
}
