//! What a person wants to know about the cluster.

use kv::{Environment, Status, Version};
use serde_json::Value;

use crate::address::Address;
use crate::client::Client;
use crate::wait::{Patience, wait};

/// What the cluster tells of itself, in JSON.
const STATUS: &[u8] = b"\xff\xff/status/json";

/// How long to wait for it, in milliseconds: it is nice to have.
const WAIT: u32 = 2000;

/// The report of a cluster that answered with `version` in `micros`.
pub(crate) fn report(
    client: &Client,
    address: &Address,
    version: Version,
    micros: u128,
    env: &dyn Environment,
) -> Status {
    let json = wait(ask(client), &mut Patience::millis(WAIT), env).ok().flatten();
    let cluster = json.as_ref().map_or(&Value::Null, |json| &json["cluster"]);
    let configuration = &cluster["configuration"];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let mode = text(&configuration["redundancy_mode"]);
    let mut details = vec![
        ("address".to_owned(), address.to_string()),
        ("reachable".into(), "yes".into()),
        ("read version".into(), version.0.to_string()),
        ("latency of a read version".into(), format!("{}.{:03} ms", micros / 1000, micros % 1000)),
    ];
    if let Some(library) = fdb_loader::loaded() {
        details.push(("client library".into(), library.display().to_string()));
    }
    let named = [
        ("redundancy mode", mode.clone()),
        ("storage engine", text(&configuration["storage_engine"])),
        (
            "database available",
            json.as_ref().and_then(|json| {
                json["client"]["database_status"]["available"].as_bool().map(|yes| yes.to_string())
            }),
        ),
    ];
    details.extend(named.into_iter().filter_map(|(name, text)| Some((name.into(), text?))));
    Status {
        engine: "fdb".into(),
        server_version: server_version(cluster).unwrap_or_else(|| {
            format!("unknown; API version {}", foundationdb::api::get_max_api_version())
        }),
        durability: durability(mode.as_deref()),
        bytes: cluster["data"]["total_kv_size_bytes"].as_u64(),
        details,
    }
}

async fn ask(client: &Client) -> Option<Value> {
    let transaction = client.plain_transaction().ok()?;
    let json = transaction.get(STATUS, true).await.ok()??;
    serde_json::from_slice(&json).ok()
}

/// The lowest version of any server process.
fn server_version(cluster: &Value) -> Option<String> {
    let processes = cluster["processes"].as_object()?;
    processes.values().filter_map(|process| process["version"].as_str()).min().map(str::to_owned)
}

fn durability(mode: Option<&str>) -> String {
    let kept = match mode {
        Some("single") => "of one machine",
        Some("double") => "of two machines",
        Some("triple") => "of three machines",
        Some(mode) => {
            return format!(
                "an acknowledged commit is on the disks that the redundancy mode {mode} demands"
            );
        }
        None => "of as many machines as the cluster's redundancy mode says",
    };
    format!("an acknowledged commit is on the disks {kept}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_server_counts() {
        let cluster = serde_json::json!({ "processes": {
            "a": { "version": "7.3.42" }, "b": { "version": "7.3.27" }, "c": {}
        }});
        assert_eq!(server_version(&cluster).as_deref(), Some("7.3.27"));
        assert_eq!(server_version(&Value::Null), None);
    }

    #[test]
    fn durability_follows_the_redundancy_mode() {
        assert!(durability(Some("double")).contains("two machines"));
        assert!(durability(Some("three_data_hall")).contains("three_data_hall"));
        assert!(durability(None).contains("redundancy mode"));
    }
}
