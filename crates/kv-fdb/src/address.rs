//! Which cluster it is, and how it is reached.
//!
//! `fdb:///path/to/fdb.cluster`, with options behind `?`: `namespace`, `api_version`, and for TLS,
//! as FoundationDB's own tools name them, `tls_certificate_file`, `tls_key_file`, `tls_ca_file`,
//! `tls_verify_peers` and `tls_password`. Parts may have %-escapes.
//!
//! Nothing of this type prints the password, nor the text that was parsed.

use std::fmt;
use std::path::{Path, PathBuf};

use kv::{Error, Result};
use percent_encoding::percent_decode_str;
use url::Url;

/// The versions of the interface that this engine knows. A library of 7.3 offers all of them, an older
/// one lacks functions that are needed.
pub(crate) const API_VERSIONS: std::ops::RangeInclusive<i32> = 710..=730;

/// The options of TLS, where there are any.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Tls {
    pub(crate) certificate: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) ca: Option<String>,
    pub(crate) verify_peers: Option<String>,
    pub(crate) password: Option<String>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("certificate", &self.certificate)
            .field("key", &self.key)
            .field("ca", &self.ca)
            .field("verify_peers", &self.verify_peers)
            .field("password", &self.password.as_ref().map(|_| "****"))
            .finish()
    }
}

/// A parsed address. It prints without the password.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    pub(crate) cluster_file: PathBuf,
    pub(crate) namespace: Option<String>,
    pub(crate) api_version: Option<i32>,
    pub(crate) tls: Tls,
}

impl Address {
    /// Parses an address. `Misconfigured` if it makes no sense; the error says why and quotes
    /// nothing of it.
    pub fn parse(text: &str) -> Result<Address> {
        let url = Url::parse(text).map_err(|error| senseless(&error.to_string()))?;
        if url.scheme() != "fdb" {
            return Err(senseless("it begins with fdb://"));
        }
        if url.host_str().is_some_and(|host| !host.is_empty()) {
            return Err(senseless("the path of the cluster file begins with a slash: fdb:///path"));
        }
        if url.fragment().is_some() {
            return Err(senseless("a # is written %23"));
        }
        if matches!(url.path(), "" | "/") {
            return Err(senseless("it names no cluster file: fdb:///etc/foundationdb/fdb.cluster"));
        }
        let mut address = Address {
            cluster_file: decode(url.path())?.into(),
            namespace: None,
            api_version: None,
            tls: Tls::default(),
        };
        for option in url.query().into_iter().flat_map(|query| query.split('&')) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            address.set_option(name, decode(value)?)?;
        }
        Ok(address)
    }

    /// The file that names the cluster's coordinators.
    pub fn cluster_file(&self) -> &Path {
        &self.cluster_file
    }

    /// The namespace, if the address names one.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    fn set_option(&mut self, name: &str, value: String) -> Result<()> {
        match name {
            "namespace" if value.is_empty() => return Err(senseless("its namespace has no name")),
            "namespace" => self.namespace = Some(value),
            "api_version" => {
                let version = value.parse().ok().filter(|version| API_VERSIONS.contains(version));
                self.api_version = Some(version.ok_or_else(|| {
                    let (first, last) = (API_VERSIONS.start(), API_VERSIONS.end());
                    senseless(&format!("its api_version is none of {first} to {last}"))
                })?);
            }
            "tls_certificate_file" => self.tls.certificate = Some(value),
            "tls_key_file" => self.tls.key = Some(value),
            "tls_ca_file" => self.tls.ca = Some(value),
            "tls_verify_peers" => self.tls.verify_peers = Some(value),
            "tls_password" => self.tls.password = Some(value),
            "" if value.is_empty() => {}
            _ => return Err(senseless("it has an option that is none of ours")),
        }
        Ok(())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fdb://{}", self.cluster_file.display())
    }
}

fn decode(part: &str) -> Result<String> {
    let decoded = percent_decode_str(part).decode_utf8();
    Ok(decoded.map_err(|_| senseless("its %-escapes are no UTF-8"))?.into_owned())
}

fn senseless(why: &str) -> Error {
    Error::Misconfigured(format!("the address of the FoundationDB cluster makes no sense: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Address {
        Address::parse(text).expect("an address")
    }

    #[test]
    fn a_path_is_enough() {
        let address = parse("fdb:///etc/foundationdb/fdb.cluster");
        assert_eq!(address.cluster_file(), Path::new("/etc/foundationdb/fdb.cluster"));
        assert_eq!((address.namespace(), address.api_version), (None, None));
        assert_eq!(address.tls, Tls::default());
        assert_eq!(address.to_string(), "fdb:///etc/foundationdb/fdb.cluster");
    }

    #[test]
    fn every_part_can_be_said() {
        let address = parse(
            "fdb:///my%20file?namespace=n&api_version=710&tls_certificate_file=/c&tls_key_file=/k\
             &tls_ca_file=/a&tls_verify_peers=Check.Valid%3D1&tls_password=hush%26",
        );
        assert_eq!(address.cluster_file(), Path::new("/my file"));
        assert_eq!((address.namespace(), address.api_version), (Some("n"), Some(710)));
        assert_eq!(address.tls.certificate.as_deref(), Some("/c"));
        assert_eq!(address.tls.key.as_deref(), Some("/k"));
        assert_eq!(address.tls.ca.as_deref(), Some("/a"));
        assert_eq!(address.tls.verify_peers.as_deref(), Some("Check.Valid=1"));
        assert_eq!(address.tls.password.as_deref(), Some("hush&"));
        assert!(!format!("{address:?} {address}").contains("hush"));
    }

    #[test]
    fn what_makes_no_sense_is_refused_without_being_quoted() {
        for text in [
            "hush",
            "redis:///hush",
            "fdb://hush/path",
            "fdb://",
            "fdb:///",
            "fdb:///path?hush=1",
            "fdb:///path?api_version=hush",
            "fdb:///path?api_version=520",
            "fdb:///path?namespace=",
            "fdb:///path#hush",
            "fdb:///path?tls_password=hush%ff",
        ] {
            match Address::parse(text) {
                Err(Error::Misconfigured(reason)) => assert!(!reason.contains("hush"), "{reason}"),
                answer => panic!("{text}: {answer:?}"),
            }
        }
    }
}
