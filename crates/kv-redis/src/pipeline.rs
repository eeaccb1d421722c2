//! A connection with requests in flight. The server answers in the order of the questions; what
//! comes before somebody waits for it is kept, or forgotten if nobody will.

use std::collections::VecDeque;

use kv::{Environment, Error};
use redis::{Cmd, Value};

use crate::failure::{Trouble, from_link};
use crate::link::Link;
use crate::patience::Patience;
use crate::reply::{Reply, Verdict};

/// Most pages that are kept for tickets. A ticket that was dropped without a word never comes for
/// its page; one that comes too late has it asked for again.
pub(crate) const KEPT: usize = 16;

type Answer<T> = Result<T, Trouble>;

/// Who waits for a reply.
#[derive(Debug)]
enum Expected {
    /// The caller, now.
    Caller,
    /// The ticket with this number.
    Ticket(u64),
    /// The same, with what a transaction answers.
    Confirmed(u64),
    /// Nobody, unless it is a failure: a deferred batch, and what its checks are known by.
    Deferred(Vec<Vec<u8>>),
    /// Nobody any more.
    Nobody,
}

/// A connection and what is expected of it.
pub(crate) struct Pipeline {
    link: Link,
    expected: VecDeque<Expected>,
    /// Pages that came before they were waited for, oldest first.
    pages: VecDeque<(u64, Answer<Reply>)>,
    deferred: usize,
    /// Why a deferred batch was not applied.
    failed: Option<Error>,
}

impl Pipeline {
    pub(crate) fn new(link: Link) -> Pipeline {
        Pipeline {
            link,
            expected: VecDeque::new(),
            pages: VecDeque::new(),
            deferred: 0,
            failed: None,
        }
    }

    /// How many deferred batches are on their way.
    pub(crate) fn deferred(&self) -> usize {
        self.deferred
    }

    /// Why a deferred batch was not applied, once.
    pub(crate) fn take_failure(&mut self) -> Option<Error> {
        self.failed.take()
    }

    /// Asks, for the caller, who waits for the answer next.
    pub(crate) fn ask(
        &mut self,
        command: &Cmd,
        patience: &mut Patience,
        env: &dyn Environment,
    ) -> Answer<Value> {
        self.send(command, Expected::Caller);
        loop {
            let (expected, value) = self.receive(patience, env)?;
            match expected {
                Expected::Caller => return Ok(value),
                expected => self.deliver(expected, value),
            }
        }
    }

    /// Asks for a page that a ticket will come for.
    pub(crate) fn ask_for_page(&mut self, command: &Cmd, ticket: u64) {
        self.send(command, Expected::Ticket(ticket));
    }

    /// Asks for pages that are expected, in a transaction.
    pub(crate) fn ask_for_pages(&mut self, commands: [&Cmd; 4], ticket: u64) {
        let [begin, confirm, read, execute] = commands;
        for command in [begin, confirm, read] {
            self.send(command, Expected::Nobody);
        }
        self.send(execute, Expected::Confirmed(ticket));
    }

    /// The page of a ticket; none if it was not asked for here, or forgotten.
    pub(crate) fn page(&mut self, ticket: u64, env: &dyn Environment) -> Answer<Option<Reply>> {
        loop {
            if let Some(at) = self.pages.iter().position(|(kept, _)| *kept == ticket) {
                let (_, page) = self.pages.remove(at).expect("it was found there");
                return page.map(Some);
            }
            if !self.expected.iter().any(|expected| is_for(expected, ticket)) {
                return Ok(None);
            }
            self.receive_one(env)?;
        }
    }

    /// Forgets a ticket.
    pub(crate) fn cancel(&mut self, ticket: u64) {
        self.pages.retain(|(kept, _)| *kept != ticket);
        if let Some(expected) = self.expected.iter_mut().find(|expected| is_for(expected, ticket)) {
            *expected = Expected::Nobody;
        }
    }

    /// Sends a deferred batch, and waits only while too many are on their way.
    pub(crate) fn defer(
        &mut self,
        command: &Cmd,
        reads: Vec<Vec<u8>>,
        window: usize,
        env: &dyn Environment,
    ) -> Answer<()> {
        // It counts as on its way whatever becomes of it, so that its loss cannot go unnoticed.
        self.send(command, Expected::Deferred(reads));
        self.deferred += 1;
        self.hear()?;
        self.settle(window, env)
    }

    /// Waits until at most so many deferred batches are on their way.
    pub(crate) fn settle(&mut self, window: usize, env: &dyn Environment) -> Answer<()> {
        while self.deferred > window {
            self.receive_one(env)?;
        }
        Ok(())
    }

    /// Takes what has arrived already.
    pub(crate) fn hear(&mut self) -> Answer<()> {
        while !self.expected.is_empty() {
            let Some(value) = self.link.poll().map_err(from_link)? else { break };
            let expected = self.next_expected()?;
            self.deliver(expected, value);
        }
        Ok(())
    }

    fn send(&mut self, command: &Cmd, expected: Expected) {
        self.link.send(command);
        self.expected.push_back(expected);
    }

    fn receive_one(&mut self, env: &dyn Environment) -> Answer<()> {
        let (expected, value) = self.receive(&mut Patience::endless(), env)?;
        self.deliver(expected, value);
        Ok(())
    }

    fn receive(
        &mut self,
        patience: &mut Patience,
        env: &dyn Environment,
    ) -> Answer<(Expected, Value)> {
        let value = self.link.receive(patience, env).map_err(from_link)?;
        Ok((self.next_expected()?, value))
    }

    fn next_expected(&mut self) -> Answer<Expected> {
        let unasked = || Trouble::Lost("the Redis server answered what nobody asked".into());
        self.expected.pop_front().ok_or_else(unasked)
    }

    fn deliver(&mut self, expected: Expected, value: Value) {
        match expected {
            Expected::Ticket(ticket) => self.keep(ticket, Reply::of(value)),
            Expected::Confirmed(ticket) => {
                // Otherwise nothing is kept for the ticket, so that it is asked for anew.
                if let Some(page) = Reply::of_transaction(value).transpose() {
                    self.keep(ticket, page);
                }
            }
            Expected::Deferred(reads) => self.note(&reads, value),
            Expected::Caller | Expected::Nobody => {}
        }
    }

    fn keep(&mut self, ticket: u64, page: Answer<Reply>) {
        self.pages.push_back((ticket, page));
        if self.pages.len() > KEPT {
            self.pages.pop_front();
        }
    }

    /// Of several failures the first is the reason of the others.
    fn note(&mut self, reads: &[Vec<u8>], value: Value) {
        self.deferred -= 1;
        let reply = Reply::of(value).map_err(Trouble::harmless);
        let verdict = reply.and_then(|reply| reply.verdict(reads.iter().map(Vec::as_slice)));
        let failure = match verdict {
            Ok(Verdict::Done(_)) => return,
            Ok(Verdict::Broken) => Error::Unavailable("rows before these were lost".into()),
            Err(error) => error,
        };
        self.failed.get_or_insert(failure);
    }
}

fn is_for(expected: &Expected, ticket: u64) -> bool {
    match expected {
        Expected::Ticket(number) | Expected::Confirmed(number) => *number == ticket,
        _ => false,
    }
}
