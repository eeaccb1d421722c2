//! The contract, on the stand-in.

mod server;

use kv::Store;
use kv::conformance::Fixture;
use server::{Real, Server};

fn fixture() -> Fixture {
    let server = Server::start();
    Fixture::new(Real::default(), move || -> Box<dyn Store> { Box::new(server.client()) })
}

kv::conformance!(fixture());
