//! Breaks calls as networks, servers and users break them: by a script, or at random from a seed.
//!
//! A [`Plan`] decides before every call what goes wrong with it. Whatever it decides, the contract
//! holds: `Unavailable` means that nothing was applied, a commit whose reply is lost is
//! `OutcomeUnknown` whether it was applied, was not, or will be later unless somebody asks for its
//! outcome first, and a page may be shorter than asked for.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use crate::environment::Simulated;
use crate::{
    Batch, CommitId, Durability, Environment, Error, Limits, Mapping, Outcome, Page, ReadStamp,
    Result, ScanRequest, Status, Store, Ticket, Version,
};

/// What goes wrong with one call. A fault that cannot happen to a call leaves it alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The store cannot be reached. Before any call but `limits` and `cancel_scan`.
    Unavailable,
    /// The user stops the call before it has reached the store. Calls that wait.
    Interrupted,
    /// The call takes this many microseconds longer, or is interrupted while it waits. Calls that
    /// wait, if the plan has a clock.
    Delay(u64),
    /// A commit is applied and its reply lost.
    LostReply,
    /// A commit is lost on its way.
    LostRequest,
    /// A commit is held up, its caller gives up, and it reaches the store after the next call.
    LateRequest,
    /// A page has no more than this many rows.
    ShortPage(usize),
}

/// How often each fault happens, per thousand calls to which it can happen.
#[derive(Clone, Copy, Default, Debug)]
pub struct Rates {
    /// [`Fault::Unavailable`].
    pub unavailable: u64,
    /// [`Fault::Interrupted`].
    pub interrupted: u64,
    /// [`Fault::LostReply`], [`Fault::LostRequest`] or [`Fault::LateRequest`], of all commits.
    pub lost: u64,
    /// [`Fault::ShortPage`] of one to three rows.
    pub short_page: u64,
}

#[derive(Debug)]
struct Schedule {
    script: RefCell<VecDeque<Option<Fault>>>,
    rates: Cell<Rates>,
    random: Simulated,
    clock: Option<Rc<Simulated>>,
}

/// What goes wrong, and when. Clones are the same plan, and stores may share one.
#[derive(Clone, Debug)]
pub struct Plan(Rc<Schedule>);

impl Plan {
    /// A plan by which nothing goes wrong until it is told otherwise. Random choices follow `seed`,
    /// and delays move `clock`.
    pub fn new(seed: u64, clock: Option<Rc<Simulated>>) -> Plan {
        let (script, rates) = Default::default();
        Plan(Rc::new(Schedule { script, rates, random: Simulated::new(seed), clock }))
    }

    /// From now on faults happen this often, to calls that no script is written for.
    pub fn set_rates(&self, rates: Rates) {
        self.0.rates.set(rates);
    }

    /// Says what happens to the calls after those that are scripted already, one entry per call.
    pub fn script(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        self.0.script.borrow_mut().extend(faults);
    }

    /// How many entries of the script are left.
    pub fn scripted(&self) -> usize {
        self.0.script.borrow().len()
    }

    fn next(&self, call: Call) -> Option<Fault> {
        let scripted = self.0.script.borrow_mut().pop_front();
        scripted.unwrap_or_else(|| self.draw(call)).filter(|fault| call.suffers(*fault))
    }

    /// Draws the same number of bits for every call, so that a change of one rate does not shift
    /// all that comes later.
    fn draw(&self, call: Call) -> Option<Fault> {
        let (rates, random) = (self.0.rates.get(), &self.0.random);
        let [kind, detail] = [random.random(), random.random()];
        let lost = [Fault::LostReply, Fault::LostRequest, Fault::LateRequest];
        let choices = [
            (rates.unavailable, Fault::Unavailable),
            (rates.interrupted, Fault::Interrupted),
            (rates.lost, lost[(detail % 3) as usize]),
            (rates.short_page, Fault::ShortPage(1 + (detail % 3) as usize)),
        ];
        let mut left = kind % 1000;
        let possible = choices.into_iter().filter(|(_, fault)| call.suffers(*fault));
        for (rate, fault) in possible {
            match left.checked_sub(rate) {
                None => return Some(fault),
                Some(rest) => left = rest,
            }
        }
        None
    }

    /// Waits as an engine must: it asks whether to go on at least every 100 ms.
    fn wait(&self, micros: u64, env: &dyn Environment) -> Result<()> {
        let Some(clock) = &self.0.clock else { return Ok(()) };
        let mut left = micros;
        while left > 0 {
            let step = left.min(100_000);
            clock.advance(step);
            left -= step;
            if env.interrupted() {
                return Err(Error::Interrupted);
            }
        }
        Ok(())
    }
}

/// What kind of call it is, as far as faults care.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    /// Starts something and does not wait.
    Start,
    /// Waits for an answer that is no page of a range.
    Ask,
    /// Waits for a page of a range.
    Page,
    /// Waits for a commit's reply.
    Commit,
}

impl Call {
    fn suffers(self, fault: Fault) -> bool {
        match fault {
            Fault::Unavailable => true,
            Fault::Interrupted | Fault::Delay(_) => self != Call::Start,
            Fault::LostReply | Fault::LostRequest | Fault::LateRequest => self == Call::Commit,
            Fault::ShortPage(_) => self == Call::Page,
        }
    }
}

/// A store to which things happen by plan.
#[derive(Debug)]
pub struct Faults<S> {
    inner: S,
    plan: Plan,
    /// Commits on their way, whose callers have given up.
    late: RefCell<Vec<Batch>>,
    /// A deferred batch's failure that came to light when a late commit arrived.
    owed: RefCell<Option<Error>>,
}

impl<S: Store> Faults<S> {
    /// Lets `inner` suffer what `plan` says.
    pub fn new(inner: S, plan: Plan) -> Faults<S> {
        Faults { inner, plan, late: RefCell::default(), owed: RefCell::default() }
    }

    /// Suffers what is planned for a call, then makes it, then lets arrive what was held up before.
    fn call<T>(
        &self,
        kind: Call,
        env: &dyn Environment,
        make: impl FnOnce(Option<Fault>) -> Result<T>,
    ) -> Result<T> {
        let late = self.late.take();
        let answer = match self.plan.next(kind) {
            Some(Fault::Unavailable) => Err(unavailable()),
            Some(Fault::Interrupted) => Err(Error::Interrupted),
            Some(Fault::Delay(micros)) => self.plan.wait(micros, env).and_then(|()| make(None)),
            fault => make(fault),
        };
        late.iter().for_each(|batch| self.arrive(batch, env));
        answer
    }

    /// Nobody waits for the answer of a late commit, but it must not swallow what a deferred batch
    /// of the same handle has to tell.
    fn arrive(&self, batch: &Batch, env: &dyn Environment) {
        if let Err(error) = self.inner.flush(env) {
            *self.owed.borrow_mut() = Some(error);
        }
        drop(self.inner.commit(batch, env));
    }

    fn pay(&self) -> Result<()> {
        self.owed.take().map_or(Ok(()), Err)
    }
}

impl<S: Store> Store for Faults<S> {
    fn limits(&self) -> Limits {
        self.inner.limits()
    }

    fn status(&self, env: &dyn Environment) -> Result<Status> {
        self.call(Call::Ask, env, |_| self.inner.status(env))
    }

    fn read_version(&self, env: &dyn Environment) -> Result<ReadStamp> {
        self.call(Call::Ask, env, |_| self.inner.read_version(env))
    }

    fn version_at(&self, micros: u64, env: &dyn Environment) -> Result<Version> {
        self.call(Call::Ask, env, |_| self.inner.version_at(micros, env))
    }

    fn horizon(&self, micros: u64, env: &dyn Environment) -> Result<Version> {
        self.call(Call::Ask, env, |_| self.inner.horizon(micros, env))
    }

    fn get_many(
        &self,
        keys: &[&[u8]],
        page: &mut Page,
        env: &dyn Environment,
    ) -> Result<ReadStamp> {
        self.call(Call::Ask, env, |_| self.inner.get_many(keys, page, env))
    }

    fn start_scan(&self, request: ScanRequest) -> Result<Ticket> {
        match self.plan.next(Call::Start) {
            Some(_) => Err(unavailable()),
            None => self.inner.start_scan(request),
        }
    }

    /// The ticket is used up, also by a failure.
    fn finish_scan(
        &self,
        ticket: Ticket,
        page: &mut Page,
        env: &dyn Environment,
    ) -> Result<(ReadStamp, ScanRequest)> {
        let mut ticket = Some(ticket);
        let answer = self.call(Call::Page, env, |fault| {
            let ticket = ticket.take().expect("a call is made once");
            let answer = self.inner.finish_scan(ticket, page, env)?;
            shorten(fault, [page]);
            Ok(answer)
        });
        ticket.into_iter().for_each(|ticket| self.inner.cancel_scan(ticket));
        answer
    }

    fn cancel_scan(&self, ticket: Ticket) {
        self.inner.cancel_scan(ticket);
    }

    fn scan_mapped(
        &self,
        request: ScanRequest,
        mapping: &Mapping,
        entries: &mut Page,
        rows: &mut Page,
        env: &dyn Environment,
    ) -> Result<(ReadStamp, ScanRequest)> {
        self.call(Call::Page, env, |fault| {
            let answer = self.inner.scan_mapped(request, mapping, entries, rows, env)?;
            let more = rows.more();
            shorten(fault, [entries, rows]);
            rows.set_more(more);
            Ok(answer)
        })
    }

    fn commit(&self, batch: &Batch, env: &dyn Environment) -> Result<Version> {
        // A deferred batch has no reply that could be lost.
        let kind = match batch.durability {
            Durability::Deferred => Call::Ask,
            Durability::Durable | Durability::Relaxed => Call::Commit,
        };
        self.call(kind, env, |fault| {
            self.pay()?;
            match fault {
                Some(Fault::LostReply) => drop(self.inner.commit(batch, env)),
                Some(Fault::LateRequest) => self.late.borrow_mut().push(batch.clone()),
                Some(Fault::LostRequest) => {}
                _ => return self.inner.commit(batch, env),
            }
            Err(Error::OutcomeUnknown { id: batch.id, reason: "the reply is lost".into() })
        })
    }

    fn flush(&self, env: &dyn Environment) -> Result<()> {
        self.call(Call::Ask, env, |_| {
            self.pay()?;
            self.inner.flush(env)
        })
    }

    fn outcome(&self, id: CommitId, env: &dyn Environment) -> Result<Outcome> {
        self.call(Call::Ask, env, |_| self.inner.outcome(id, env))
    }
}

fn unavailable() -> Error {
    Error::Unavailable("a planned fault".into())
}

fn shorten<const N: usize>(fault: Option<Fault>, pages: [&mut Page; N]) {
    let Some(Fault::ShortPage(rows)) = fault else { return };
    for page in pages {
        if page.len() > rows.max(1) {
            page.truncate(rows.max(1));
            page.set_more(true);
        }
    }
}
