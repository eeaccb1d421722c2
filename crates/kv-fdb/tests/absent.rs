//! A machine without a client library, and a session that ends. One test, because a process has one
//! network thread.

mod server;

use kv::{Error, Store};
use kv_fdb::{Address, Fdb, FdbOptions, stop_network};
use server::{Real, Server};

#[test]
fn the_network_thread_begins_and_ends_once() {
    let env = Real::default();
    let server = Server::start();
    let with = |address: Address, library: &str| {
        let options = FdbOptions { client_library: Some(library.into()), ..FdbOptions::default() };
        Fdb::connect(address, "test", options).expect("a handle needs nothing")
    };
    let absent = with(server.address(), "/nowhere/libfdb_c.so").read_version(&env);
    match absent {
        Err(Error::Missing(why)) => assert!(why.contains("/nowhere/libfdb_c.so"), "{why}"),
        answer => panic!("{answer:?}"),
    }
    let libc = std::fs::read_to_string("/proc/self/maps").expect("this is Linux");
    let libc = libc.lines().filter_map(|line| line.split_whitespace().nth(5));
    let libc = libc.into_iter().find(|path| path.contains("libc.so")).expect("libc is loaded");
    let unfit = with(server.address(), libc).read_version(&env);
    assert!(matches!(unfit, Err(Error::Misconfigured(_))), "{unfit:?}");

    let client = server.client();
    client.read_version(&env).expect("the stand-in is there");
    let masks = std::fs::read_dir("/proc/self/task").expect("this is Linux").map(|task| {
        let path = task.expect("a thread").path();
        let name = std::fs::read_to_string(path.join("comm")).unwrap_or_default();
        let status = std::fs::read_to_string(path.join("status")).unwrap_or_default();
        let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:\t"));
        (name.trim().to_owned(), blocked.unwrap_or_default().to_owned())
    });
    let masks: Vec<(String, String)> = masks.collect();
    let network = masks.iter().find(|(name, _)| name == "fdb-network");
    let (_, blocked) = network.expect("the network thread has its name");
    let blocked = u64::from_str_radix(blocked, 16).expect("it is hexadecimal");
    // Everything but SIGKILL, SIGSTOP and two that the C library keeps for itself.
    assert!(blocked.count_ones() >= 60, "{blocked:x}");

    let missing = Address::parse("fdb:///nowhere/fdb.cluster").expect("an address");
    let library = server::library();
    let library = library.to_str().expect("UTF-8");
    let told = with(missing, library).read_version(&env);
    assert!(matches!(told, Err(Error::Misconfigured(_))), "{told:?}");
    let other = with(server.address(), "/another/libfdb_c.so").read_version(&env);
    assert!(matches!(other, Err(Error::Misconfigured(_))), "{other:?}");

    stop_network();
    stop_network();
    let ended = server.client().read_version(&env);
    assert!(matches!(ended, Err(Error::Unavailable(_))), "{ended:?}");
}
