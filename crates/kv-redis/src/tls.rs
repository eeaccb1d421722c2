//! TLS over a socket that does not block.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use kv::{Environment, Error, Result};
use rustix::event::PollFlags;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::address::Tls;
use crate::patience::Patience;
use crate::socket::Socket;

/// An encrypted connection.
pub(crate) type Encrypted = StreamOwned<ClientConnection, Socket>;

/// Agrees on keys with the server and sees that it is the one that was asked for.
pub(crate) fn connect(
    socket: Socket,
    host: &str,
    tls: &Tls,
    patience: &mut Patience,
    env: &dyn Environment,
) -> Result<Encrypted> {
    let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(name)
        .map_err(|_| Error::Misconfigured("the host has no name that a certificate can".into()))?;
    let connection = ClientConnection::new(Arc::new(config(tls)?), name).map_err(refused)?;
    let mut stream = StreamOwned::new(connection, socket);
    while stream.conn.is_handshaking() {
        match stream.conn.complete_io(&mut stream.sock) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let out = if stream.conn.wants_write() { PollFlags::OUT } else { PollFlags::IN };
                patience.wait(stream.sock.as_fd(), out, env)?;
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(Error::Misconfigured(format!("TLS: {error}")));
            }
            Err(error) => return Err(Error::Unavailable(format!("TLS: {error}"))),
        }
    }
    Ok(stream)
}

fn config(tls: &Tls) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(refused)?
        .with_root_certificates(roots(tls)?);
    match (&tls.certificate, &tls.key) {
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(certificate), Some(key)) => {
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unread(key, &error))?;
            builder.with_client_auth_cert(certificates(certificate)?, key).map_err(refused)
        }
        _ => Err(Error::Misconfigured("the options cert and key belong together".into())),
    }
}

fn roots(tls: &Tls) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let found = match &tls.ca {
        Some(path) => certificates(path)?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    roots.add_parsable_certificates(found);
    match roots.is_empty() {
        true => Err(Error::Misconfigured(
            "there is no certificate to trust; the option cacert names a file".into(),
        )),
        false => Ok(roots),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    found.map_err(|error| unread(path, &error))
}

fn unread(path: &Path, error: &rustls::pki_types::pem::Error) -> Error {
    Error::Misconfigured(format!("cannot read {}: {error}", path.display()))
}

fn refused(error: rustls::Error) -> Error {
    Error::Misconfigured(format!("TLS: {error}"))
}
