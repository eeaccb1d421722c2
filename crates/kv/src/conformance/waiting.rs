//! The wish to stop. Cases where a store really hangs need a server that can be stopped, and are
//! the engine's own; these hold for every engine.

use super::Fixture;
use super::client::{expected, request};
use crate::{CommitId, Environment, Error, Mapping, MappingSource, Outcome, Page, Result};

/// The fixture's environment with the wish to stop.
struct Stopping<'a>(&'a dyn Environment);

impl Environment for Stopping<'_> {
    fn interrupted(&self) -> bool {
        true
    }

    fn now(&self) -> u64 {
        self.0.now()
    }

    fn random(&self) -> u64 {
        self.0.random()
    }
}

fn stopped_or_done<T>(answer: Result<T>) {
    match answer {
        Ok(_) | Err(Error::Interrupted) => {}
        Err(error) => panic!("a wish to stop is no {error:?}"),
    }
}

/// Every call returns, with its answer or with `Interrupted`, and the client works afterwards.
pub fn a_wish_to_stop_is_an_error_or_an_answer(fixture: &Fixture) {
    let client = fixture.client();
    client.put_all(&[("a", "1")]);
    let stopping = Stopping(client.env);
    let (store, mut page, mut rows) = (&client.store, Page::default(), Page::default());
    let source = MappingSource::KeySuffix;
    let mapping = Mapping { prefix: Vec::new(), source, len: 1 };
    let ticket = store.start_scan(request(b"a", b"b")).expect("a scan starts");
    stopped_or_done(store.status(&stopping));
    stopped_or_done(store.read_version(&stopping));
    stopped_or_done(store.version_at(1, &stopping));
    stopped_or_done(store.get_many(&[b"a"], &mut page, &stopping));
    stopped_or_done(store.finish_scan(ticket, &mut page, &stopping));
    let range = request(b"a", b"b");
    stopped_or_done(store.scan_mapped(range, &mapping, &mut page, &mut rows, &stopping));
    stopped_or_done(store.flush(&stopping));
    stopped_or_done(store.outcome(CommitId::random(client.env), &stopping));
    assert_eq!(client.everything(), expected(&[("a", "1")]));
}

/// A commit whose answer nobody waited for is settled by asking.
pub fn an_interrupted_commit_can_be_settled(fixture: &Fixture) {
    let client = fixture.client();
    for i in 0..5u8 {
        let batch = client.batch(|batch| batch.put(&[b'k', i], b""));
        let answer = client.store.commit(&batch, &Stopping(client.env));
        let outcome = client.store.outcome(batch.id, client.env).expect("the store answers");
        match answer {
            Ok(version) => assert_eq!(outcome, Outcome::Committed(version)),
            Err(Error::Interrupted | Error::OutcomeUnknown { .. }) => {}
            Err(error) => panic!("a wish to stop is no {error:?}"),
        }
        let happened = matches!(outcome, Outcome::Committed(_));
        assert_eq!(client.get(&[b'k', i]).is_some(), happened);
    }
}
