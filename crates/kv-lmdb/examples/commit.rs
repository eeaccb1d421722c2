//! What group commit gains: `cargo run --release -p kv-lmdb --example commit [directory]`.
//!
//! Small durable commits of 1, 2, 4, … clients, each a process of its own, through a writer in this
//! one. The directory should be on the disk that is meant.

#[path = "../tests/server/mod.rs"]
mod server;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use server::{Real, Server, client, options, put};

const TIME: Duration = Duration::from_secs(2);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match &arguments[1..] {
        [role, dir, number] if role == "client" => play_client(Path::new(dir), number),
        _ => measure(arguments.get(1).map_or("/var/tmp", String::as_str)),
    }
}

fn measure(dir: &str) {
    let dir = tempfile::tempdir_in(dir).expect("a directory");
    let server = Server::start_in(dir, options());
    let mut single = 0.0;
    for clients in [1, 2, 4, 8, 16, 32] {
        let rate = rate(server.dir.path(), clients);
        single = if clients == 1 { rate } else { single };
        println!("{clients:3} clients  {rate:8.0} commits/s  {:5.1} times one", rate / single);
    }
}

fn rate(dir: &Path, clients: usize) -> f64 {
    let program = std::env::current_exe().expect("the example knows its program");
    let start = |number: usize| {
        let mut command = Command::new(&program);
        command.arg("client").arg(dir).arg(number.to_string()).stdout(Stdio::piped());
        command.spawn().expect("the client starts")
    };
    let running: Vec<_> = (0..clients).map(start).collect();
    let done = running.into_iter().map(|client| {
        let output = client.wait_with_output().expect("the client ends");
        String::from_utf8_lossy(&output.stdout).trim().parse::<f64>().expect("a number")
    });
    done.sum::<f64>() / TIME.as_secs_f64()
}

fn play_client(dir: &Path, number: &str) {
    let (client, env) = (client(dir), Real::default());
    let start = Instant::now();
    let mut commits = 0;
    while start.elapsed() < TIME {
        let key = format!("client {number} row {}", commits % 1000);
        put(&client, &env, key.as_bytes(), &[1; 100]).expect("the commit is done");
        commits += 1;
    }
    println!("{commits}");
}
