//! The contract, with pages as large as they are and with pages so small that every batch divides
//! them.

mod server;

use kv::Store;
use kv::conformance::Fixture;
use kv::memory::Memory;
use kv_redis::RedisOptions;
use server::{Real, Server};

fn fixture(page_bytes: u32, segment_pages: u32) -> Fixture {
    if !server::installed() {
        // The macro has no way out of a case, so it is played on the reference engine.
        let memory = Memory::default();
        return Fixture::new(Real::default(), move || Box::new(memory.handle()));
    }
    let server = Server::start();
    let options = RedisOptions { page_bytes, segment_pages, ..RedisOptions::default() };
    Fixture::new(Real::default(), move || -> Box<dyn Store> {
        Box::new(server.client_with(options))
    })
}

mod usual {
    use super::fixture;
    kv::conformance!(fixture(4000, 128));
}

mod small {
    use super::fixture;
    kv::conformance!(fixture(60, 3));
}

mod smallest {
    use super::fixture;
    kv::conformance!(fixture(1, 1));
}
