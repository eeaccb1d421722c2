//! The scripts, one per operation of the contract.
//!
//! They are sent by their hash, so that servers which forget them (a restart, a failover, `SCRIPT
//! FLUSH`) are told again, and clients of several releases can share a server.

use std::sync::LazyLock;

use redis::Cmd;

macro_rules! parts {
    ($($part:literal)+) => {
        concat!($(include_str!(concat!("scripts/", $part, ".lua")), "\n"),+)
    };
}

/// An operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Script {
    Open,
    Stamp,
    Get,
    Scan,
    Confirm,
    Mapped,
    Commit,
    Outcome,
}

static HASHED: LazyLock<[redis::Script; 8]> = LazyLock::new(|| {
    [
        Script::Open,
        Script::Stamp,
        Script::Get,
        Script::Scan,
        Script::Confirm,
        Script::Mapped,
        Script::Commit,
        Script::Outcome,
    ]
    .map(|script| redis::Script::new(script.text()))
});

impl Script {
    fn text(self) -> &'static str {
        match self {
            Script::Open => parts!("open"),
            Script::Stamp => parts!("prelude" "stamp"),
            Script::Get => parts!("prelude" "get"),
            Script::Scan => parts!("prelude" "ahead" "scan"),
            Script::Confirm => parts!("prelude" "ahead" "confirm"),
            Script::Mapped => parts!("prelude" "mapped"),
            Script::Commit => parts!("prelude" "marker" "commit"),
            Script::Outcome => parts!("prelude" "marker" "outcome"),
        }
    }

    /// The command that runs it, up to its arguments; with its text if the server has forgotten it.
    /// `size` is what the arguments will need.
    pub(crate) fn command(self, namespace: &str, whole: bool, size: usize) -> Cmd {
        let mut command = Cmd::with_capacity(16, size + 128);
        match whole {
            true => command.arg("EVAL").arg(self.text()),
            false => command.arg("EVALSHA").arg(HASHED[self as usize].get_hash()),
        };
        command.arg(1).arg(namespace);
        command
    }
}
