//! Where the server is and who we are there.
//!
//! `redis://[user[:password]@]host[:port][/db]`, `rediss://…` with TLS, and
//! `redis+unix:///path/to/socket` (`unix://…` for short), each with options behind `?`: `db`,
//! `user`, `password`, and for TLS `cacert`, `cert` and `key`, which name PEM files. Parts may have
//! %-escapes.
//!
//! Nothing of this type prints the password, nor the text that was parsed: an address that cannot
//! be parsed may have its secret anywhere.

use std::fmt;
use std::path::PathBuf;

use kv::{Error, Result};
use percent_encoding::percent_decode_str;
use url::Url;

/// The port of a server that says nothing else.
const PORT: u16 = 6379;

/// A password, which is not shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("****")
    }
}

/// How the server is reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Endpoint {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

/// The files of TLS, where the system's own are not meant.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Tls {
    pub(crate) ca: Option<PathBuf>,
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
}

/// A parsed address. It prints without the password.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    pub(crate) endpoint: Endpoint,
    pub(crate) tls: Option<Tls>,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Secret>,
    pub(crate) database: u32,
}

impl Address {
    /// Parses an address. `Misconfigured` if it makes no sense; the error says why and quotes
    /// nothing of it but the name of an option.
    pub fn parse(text: &str) -> Result<Address> {
        let url = Url::parse(text).map_err(|error| senseless(&error.to_string()))?;
        let (endpoint, tls) = match url.scheme() {
            "redis" => (tcp(&url)?, None),
            "rediss" => (tcp(&url)?, Some(Tls::default())),
            "redis+unix" | "unix" => (unix(&url)?, None),
            _ => return Err(senseless("it begins with redis://, rediss:// or redis+unix://")),
        };
        if url.fragment().is_some() {
            return Err(senseless("a # in a password is written %23"));
        }
        let user = Some(decode(url.username())?).filter(|user| !user.is_empty());
        let password = url.password().map(decode).transpose()?.map(Secret);
        let mut address = Address { endpoint, tls, user, password, database: 0 };
        if matches!(address.endpoint, Endpoint::Tcp { .. }) {
            address.set_database(url.path().trim_matches('/'))?;
        }
        for option in url.query().into_iter().flat_map(|query| query.split('&')) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            address.set_option(name, &decode(value)?)?;
        }
        match (&address.user, &address.password) {
            (Some(_), None) => Err(senseless("a user needs a password")),
            _ => Ok(address),
        }
    }

    /// Which database of which server it is, whoever we are there and however we get there.
    pub fn place(&self) -> String {
        match &self.endpoint {
            Endpoint::Tcp { host, port } => format!("{host}:{port}/{}", self.database),
            Endpoint::Unix(path) => format!("{}?db={}", path.display(), self.database),
        }
    }

    fn set_option(&mut self, name: &str, value: &str) -> Result<()> {
        match (name, &mut self.tls) {
            ("db", _) => return self.set_database(value),
            ("user", _) => self.user = Some(value.into()),
            ("password" | "pass", _) => self.password = Some(Secret(value.into())),
            ("cacert", Some(tls)) => tls.ca = Some(value.into()),
            ("cert", Some(tls)) => tls.certificate = Some(value.into()),
            ("key", Some(tls)) => tls.key = Some(value.into()),
            ("cacert" | "cert" | "key", None) => {
                return Err(senseless(&format!("the option {name} is for rediss://")));
            }
            // What stands behind a ? that belongs to a password is no option.
            _ => return Err(senseless("it has an option that is none of ours")),
        }
        Ok(())
    }

    fn set_database(&mut self, number: &str) -> Result<()> {
        if !number.is_empty() {
            let parsed = number.parse();
            self.database = parsed.map_err(|_| senseless("the database is a number"))?;
        }
        Ok(())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        match &self.endpoint {
            Endpoint::Tcp { host, port } => {
                let scheme = if self.tls.is_some() { "rediss" } else { "redis" };
                write!(f, "{scheme}://{user}{host}:{port}/{}", self.database)
            }
            Endpoint::Unix(path) => {
                write!(f, "redis+unix://{user}{}?db={}", path.display(), self.database)
            }
        }
    }
}

fn tcp(url: &Url) -> Result<Endpoint> {
    let host = url.host_str().filter(|host| !host.is_empty());
    let host = decode(host.ok_or_else(|| senseless("it names no host"))?)?;
    Ok(Endpoint::Tcp { host, port: url.port().unwrap_or(PORT) })
}

fn unix(url: &Url) -> Result<Endpoint> {
    if url.host_str().is_some_and(|host| !host.is_empty()) {
        return Err(senseless("the path of a socket begins with a slash: redis+unix:///path"));
    }
    match url.path() {
        "" | "/" => Err(senseless("it names no socket")),
        path => Ok(Endpoint::Unix(decode(path)?.into())),
    }
}

fn decode(part: &str) -> Result<String> {
    let decoded = percent_decode_str(part).decode_utf8();
    Ok(decoded.map_err(|_| senseless("its %-escapes are no UTF-8"))?.into_owned())
}

fn senseless(why: &str) -> Error {
    Error::Misconfigured(format!("the address of the Redis server makes no sense: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Address {
        Address::parse(text).expect("an address")
    }

    fn tcp(host: &str, port: u16) -> Endpoint {
        Endpoint::Tcp { host: host.into(), port }
    }

    fn password(address: &Address) -> Option<&str> {
        address.password.as_ref().map(|secret| secret.0.as_str())
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let address = parse("redis://host");
        assert_eq!(address.endpoint, tcp("host", 6379));
        assert_eq!((address.user, address.password, address.database), (None, None, 0));
        assert_eq!(address.tls, None);
    }

    #[test]
    fn every_part_can_be_said() {
        let address = parse("rediss://me:secret@host:7000/3?cacert=/ca.pem&cert=/c&key=/k%20");
        assert_eq!(address.endpoint, tcp("host", 7000));
        assert_eq!(address.user.as_deref(), Some("me"));
        assert_eq!(password(&address), Some("secret"));
        assert_eq!(address.database, 3);
        let tls = address.tls.expect("it is encrypted");
        assert_eq!(tls.ca, Some("/ca.pem".into()));
        assert_eq!((tls.certificate, tls.key), (Some("/c".into()), Some("/k ".into())));
    }

    #[test]
    fn escapes_are_undone() {
        let address = parse("redis://a%40b:p%3a%2f%23%25+@host");
        assert_eq!(address.user.as_deref(), Some("a@b"));
        assert_eq!(password(&address), Some("p:/#%+"));
        let address = parse("redis+unix:///run/my%20redis/s?db=2&user=u&password=p+%26");
        assert_eq!(address.endpoint, Endpoint::Unix("/run/my redis/s".into()));
        assert_eq!((address.database, password(&address)), (2, Some("p+&")));
    }

    #[test]
    fn a_password_needs_no_user_and_hosts_may_be_numbers() {
        let address = parse("redis://:secret@[::1]:1");
        assert_eq!((address.user.as_deref(), password(&address)), (None, Some("secret")));
        assert_eq!(address.endpoint, tcp("[::1]", 1));
    }

    #[test]
    fn nothing_shows_the_password() {
        let address = parse("rediss://me:hush@host?cacert=/ca");
        assert!(!format!("{address:?} {address}").contains("hush"));
        assert_eq!(address.to_string(), "rediss://me@host:6379/0");
        assert!(format!("{address:?}").contains("****"));
        assert_eq!(address.place(), "host:6379/0");
    }

    #[test]
    fn what_makes_no_sense_is_refused_without_being_quoted() {
        for text in [
            "hush",
            "http://:hush@host",
            "redis://:hush@",
            "redis://:hush@host/x",
            "redis://:hush@host/99999999999",
            "redis://:hush@host:notaport",
            "redis://:hush@host#x",
            "redis://hush@host",
            "redis://:hush@host?hush=1",
            "redis://:hush@host?cacert=/hush",
            "redis://:hush%ff@host",
            "redis+unix://hush/path",
            "redis+unix://",
        ] {
            match Address::parse(text) {
                Err(Error::Misconfigured(reason)) => assert!(!reason.contains("hush"), "{reason}"),
                answer => panic!("{text}: {answer:?}"),
            }
        }
    }
}
