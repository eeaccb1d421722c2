//! The reference engine passes the suite that it is the reference for, however it is configured.

use kv::Store;
use kv::conformance::Fixture;
use kv::environment::Simulated;
use kv::memory::{Config, Memory};

fn fixture(config: Config) -> Fixture {
    let first = Memory::new(config);
    Fixture::new(Simulated::new(1), move || -> Box<dyn Store> { Box::new(first.handle()) })
}

mod at_once {
    use super::*;
    kv::conformance!(fixture(Config::default()));
}

/// As an engine behind a network would be: small limits, the old value of an archive unknown to
/// it, deferred batches put off, pages read ahead.
mod at_a_distance {
    use super::*;

    fn distant() -> Config {
        let mut config = Config { defer: true, prefetch: true, ..Config::default() };
        config.limits.max_key = 100;
        config.limits.max_value = 100_000;
        config.limits.max_batch = 1_000_000;
        config.limits.bulk_batch = 50_000;
        config.limits.archives = false;
        config.limits.local = false;
        config
    }

    kv::conformance!(fixture(distant()));
}
