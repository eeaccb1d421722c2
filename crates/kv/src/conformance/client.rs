//! A store under test, and calls short enough for a case to read like the contract.

use std::cell::RefCell;

use crate::{
    Batch, CommitId, Direction, Durability, Environment, Page, ReadStamp, Result, ScanRequest,
    Store, Version,
};

/// Keys and values in the order in which they were read.
pub type Entries = Vec<(Vec<u8>, Vec<u8>)>;

/// An empty store. The closure opens another client of it and keeps alive what the store needs.
pub struct Fixture {
    env: Box<dyn Environment>,
    open: Box<dyn Fn() -> Box<dyn Store>>,
}

impl Fixture {
    /// A fixture whose clients are opened by `open` and run in `env`.
    pub fn new(
        env: impl Environment + 'static,
        open: impl Fn() -> Box<dyn Store> + 'static,
    ) -> Fixture {
        Fixture { env: Box::new(env), open: Box::new(open) }
    }

    /// Another client.
    pub fn client(&self) -> Client<'_> {
        Client { store: (self.open)(), env: &*self.env, page: RefCell::default() }
    }

    /// The environment of every client.
    pub fn env(&self) -> &dyn Environment {
        &*self.env
    }
}

/// A client whose failures, where a case expects none, fail the test.
pub struct Client<'a> {
    /// The store.
    pub store: Box<dyn Store>,
    /// What it runs in.
    pub env: &'a dyn Environment,
    page: RefCell<Page>,
}

impl Client<'_> {
    /// A fresh durable batch with these operations.
    pub fn batch(&self, fill: impl FnOnce(&mut Batch)) -> Batch {
        let mut batch = Batch::new(CommitId::random(self.env), Durability::Durable);
        fill(&mut batch);
        batch
    }

    /// Tries to commit a batch.
    pub fn try_commit(&self, fill: impl FnOnce(&mut Batch)) -> Result<Version> {
        self.store.commit(&self.batch(fill), self.env)
    }

    /// Commits a batch.
    pub fn commit(&self, fill: impl FnOnce(&mut Batch)) -> Version {
        self.try_commit(fill).expect("nothing stands against this commit")
    }

    /// Commits puts.
    pub fn put_all<K: AsRef<[u8]>, V: AsRef<[u8]>>(&self, entries: &[(K, V)]) -> Version {
        self.commit(|batch| {
            entries.iter().for_each(|(key, value)| batch.put(key.as_ref(), value.as_ref()));
        })
    }

    /// Commits one stamped put.
    pub fn put_stamped(&self, key: &[u8], body: &[u8]) -> Version {
        self.commit(|batch| batch.put_stamped(key, &[body]))
    }

    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let mut page = self.page.borrow_mut();
        self.store.get_many(&[key], &mut page, self.env).expect("a read succeeds");
        assert_eq!((page.len(), page.key(0)), (1, key));
        page.get(0).map(<[u8]>::to_vec)
    }

    /// The value of a counter.
    pub fn counter(&self, key: &[u8]) -> i64 {
        let value = self.get(key).expect("the counter is there");
        i64::from_le_bytes(value.try_into().expect("a counter has eight bytes"))
    }

    /// What `read_version` says.
    pub fn stamp(&self) -> ReadStamp {
        self.store.read_version(self.env).expect("a read succeeds")
    }

    /// One page of a range.
    pub fn page(&self, request: &ScanRequest) -> (Entries, bool) {
        let mut page = self.page.borrow_mut();
        let ticket = self.store.start_scan(request.clone()).expect("a scan starts");
        let (_, returned) =
            self.store.finish_scan(ticket, &mut page, self.env).expect("a scan succeeds");
        assert_eq!(&returned, request, "the request comes back as it was");
        (entries(&page), page.more())
    }

    /// A whole range in pages as the request says, resumed with [`ScanRequest::advance`].
    pub fn scan(&self, mut request: ScanRequest) -> Entries {
        let mut all = Entries::new();
        let mut page = Page::default();
        loop {
            let ticket = self.store.start_scan(request).expect("a scan starts");
            let finished = self.store.finish_scan(ticket, &mut page, self.env);
            request = finished.expect("a scan succeeds").1;
            all.extend(entries(&page));
            assert!(!page.is_empty() || !page.more(), "a page of a non-empty range has an entry");
            if !request.advance(&page) {
                return all;
            }
        }
    }

    /// Everything in the store, in order.
    pub fn everything(&self) -> Entries {
        self.scan(request(b"", &[0xff; 32]))
    }
}

/// A request for a whole range, forward, in one large page.
pub(super) fn request(start: &[u8], end: &[u8]) -> ScanRequest {
    ScanRequest {
        start: start.to_vec(),
        end: end.to_vec(),
        direction: Direction::Forward,
        max_rows: 1000,
        max_bytes: 1 << 20,
    }
}

/// What a page holds; it must not hold absent entries.
pub(super) fn entries(page: &Page) -> Entries {
    let entry = |i| (page.key(i).to_vec(), page.get(i).expect("a scan finds values").to_vec());
    (0..page.len()).map(entry).collect()
}

/// Entries written down in a case.
pub(super) fn expected<K: AsRef<[u8]>, V: AsRef<[u8]>>(entries: &[(K, V)]) -> Entries {
    entries.iter().map(|(key, value)| (key.as_ref().to_vec(), value.as_ref().to_vec())).collect()
}

/// A stamped value as it is read back.
pub(super) fn stamped(version: Version, body: &[u8]) -> Vec<u8> {
    [version.0.to_be_bytes().as_slice(), body].concat()
}
