//! The contract, on the stand-in; on a real cluster, in namespaces of its own, if `FDB_CLUSTER_FILE`
//! names one. `FDB_CLIENT_LIBRARY` is its client library, if that is not where it usually is.

mod server;

use kv::Store;
use kv::conformance::Fixture;
use server::{Cluster, Real};

fn fixture() -> Fixture {
    let cluster = Cluster::start();
    Fixture::new(Real::default(), move || -> Box<dyn Store> { Box::new(cluster.client()) })
}

kv::conformance!(fixture());
