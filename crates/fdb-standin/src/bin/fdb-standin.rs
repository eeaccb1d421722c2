//! `fdb-standin serve SOCKET CLUSTER-FILE` serves and writes the cluster file; `fdb-standin tell
//! SOCKET COMMAND…` has something go wrong, see `server/faults.rs`.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["serve", socket, cluster_file] => serve(socket, cluster_file),
        ["tell", socket, command @ ..] => {
            fdb_standin::server::tell(Path::new(socket), &command.join(" "))
                .map(|answer| println!("{answer}"))
        }
        _ => Err(std::io::Error::other(
            "usage: fdb-standin serve SOCKET CLUSTER-FILE | tell SOCKET COMMAND…",
        )),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fdb-standin: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(socket: &str, cluster_file: &str) -> std::io::Result<()> {
    std::fs::write(cluster_file, format!("standin:standin@unix:{socket}\n"))?;
    fdb_standin::server::serve(Path::new(socket))
}
