//! What a server says of itself: its version, and what an acknowledged commit survives there.

use redis::Value;

/// What an acknowledged commit survives.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Durability {
    /// Whether nothing that was acknowledged can be lost while the server's disk is not: every
    /// commit is synced before it is acknowledged, and nothing is evicted.
    pub durable: bool,
    /// What is in force, in words.
    pub text: String,
    /// What to change for more; empty if it is durable.
    pub hint: String,
}

/// What is asked of a server when a connection is made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// Names and values of `INFO` and of `CONFIG GET`.
    said: Vec<(String, String)>,
    /// Whether `CONFIG GET` was answered.
    configured: bool,
}

/// The settings that matter.
pub(crate) const SETTINGS: [&str; 4] =
    ["appendonly", "appendfsync", "maxmemory-policy", "maxmemory"];

impl Facts {
    /// Out of the replies to `INFO` and to `CONFIG GET`; the latter is often forbidden.
    pub(crate) fn new(info: &Value, config: &Value) -> Facts {
        let mut said: Vec<_> = text(info)
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let configured = matches!(config, Value::Array(values) if !values.is_empty());
        if let Value::Array(values) = config {
            said.extend(values.chunks_exact(2).map(|pair| (text(&pair[0]), text(&pair[1]))));
        }
        Facts { said, configured }
    }

    /// One thing that the server said.
    pub(crate) fn get(&self, name: &str) -> &str {
        let found = self.said.iter().find(|(said, _)| said == name);
        found.map_or("", |(_, value)| value)
    }

    /// The first number of the version, and which program it is.
    pub(crate) fn version(&self) -> (u32, String) {
        let (program, version) = match self.get("valkey_version") {
            "" => ("Redis", self.get("redis_version")),
            version => ("Valkey", version),
        };
        let major = version.split('.').next().and_then(|number| number.parse().ok());
        (major.unwrap_or(0), format!("{program} {version}"))
    }

    /// Whether it takes writes.
    pub(crate) fn is_master(&self) -> bool {
        self.get("role") != "slave"
    }

    /// What a person may want to see of it.
    pub(crate) fn details(&self) -> impl Iterator<Item = (String, String)> {
        const SHOWN: [(&str, &str); 8] = [
            ("run id", "run_id"),
            ("uptime in seconds", "uptime_in_seconds"),
            ("connected replicas", "connected_slaves"),
            ("maxmemory", "maxmemory"),
            ("maxmemory policy", "maxmemory_policy"),
            ("appendonly", "appendonly"),
            ("appendfsync", "appendfsync"),
            ("last snapshot", "rdb_last_bgsave_status"),
        ];
        let said = SHOWN.into_iter().map(|(shown, name)| (shown.into(), self.get(name).into()));
        said.filter(|(_, value): &(String, String)| !value.is_empty())
    }

    /// What a commit survives here.
    pub(crate) fn durability(&self) -> Durability {
        let (log, kept) = (self.log(), self.eviction());
        let durable = log.is_none() && kept.is_none();
        let problems: Vec<_> = [log, kept].into_iter().flatten().collect();
        let first = "every commit is synced to the server's disk before it is acknowledged";
        let join = |part: fn(&(&'static str, &'static str)) -> &'static str| {
            problems.iter().map(part).collect::<Vec<_>>().join("; ")
        };
        Durability {
            durable,
            text: if durable { first.into() } else { join(|problem| problem.0) },
            hint: join(|problem| problem.1),
        }
    }

    /// What is wrong with the log of commits, and what to do about it.
    fn log(&self) -> Option<(&'static str, &'static str)> {
        let always = "set appendonly yes and appendfsync always";
        match (self.configured, self.get("appendonly"), self.get("appendfsync")) {
            (false, ..) if self.get("aof_enabled") == "1" => Some((
                "commits are logged, and how often the log is synced the server does not say",
                "allow CONFIG GET to this user",
            )),
            (true, "yes", "always") => None,
            (true, "yes", "everysec") => {
                Some(("a crash of the server may lose the commits of the last seconds", always))
            }
            (true, "yes", _) => Some((
                "a crash of the server's machine may lose what its system had not written yet",
                always,
            )),
            _ => Some(("commits since the last snapshot are lost with the server", always)),
        }
    }

    fn eviction(&self) -> Option<(&'static str, &'static str)> {
        let policy = match self.get("maxmemory-policy") {
            "" => self.get("maxmemory_policy"),
            policy => policy,
        };
        (policy != "noeviction").then_some((
            "the server may evict data when memory is short",
            "set maxmemory-policy noeviction",
        ))
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::VerbatimString { text, .. } | Value::SimpleString(text) => text.clone(),
        _ => String::new(),
    }
}
