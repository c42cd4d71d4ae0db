//! TLS: the certificate and key of this server, read at start and again on request.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use ring::digest;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::NoServerSessionStorage;

use crate::error::{Error, Result};

/// The protocol that direct TLS must name (ALPN).
pub const PROTOCOL: &[u8] = b"postgresql";

/// Mode bits of a key file that anybody could read or write.
const WORLD: u32 = 0o007;

/// The certificate that is served now.
#[derive(Debug)]
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<Served>>,
}

/// One certificate with its key.
pub struct Served {
    /// Does the handshakes.
    pub acceptor: TlsAcceptor,
    /// The certificate's hash for channel binding; `None` if its signature has no hash of its own.
    pub endpoint: Option<Vec<u8>>,
}

impl std::fmt::Debug for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Served").finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files. What is wrong with them is one clear error, and nothing is served.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self> {
        let served = read(certificate, key)?;
        Ok(Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            current: RwLock::new(Arc::new(served)),
        })
    }

    /// What new connections are served with.
    pub fn current(&self) -> Arc<Served> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the files again, for new connections; after an error the old ones stay in use.
    pub fn reload(&self) -> Result<()> {
        let served = Arc::new(read(&self.certificate, &self.key)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = served;
        Ok(())
    }
}

fn read(certificate: &Path, key: &Path) -> Result<Served> {
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unreadable("certificate", certificate, &error.to_string()))?;
    let Some(leaf) = chain.first() else {
        let what = "it holds no CERTIFICATE section";
        return Err(unreadable("certificate", certificate, what));
    };
    let endpoint = endpoint_hash(leaf.as_ref());
    let mode = fs::metadata(key)
        .map_err(|error| unreadable("key", key, &error.to_string()))?
        .permissions()
        .mode();
    if mode & WORLD != 0 {
        return Err(unreadable(
            "key",
            key,
            "everybody on this machine may read or change it",
        )
        .with_hint(format!("Run `chmod 600 {}`.", key.display())));
    }
    let secret = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| unreadable("key", key, &error.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::internal("TLS has no protocol version").with_source(error))?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|error| {
            Error::invalid_parameter_value(format!(
                "TLS certificate {} and key {} cannot be used: {error}",
                certificate.display(),
                key.display()
            ))
            .with_hint("Give a PEM certificate (its chain behind it) and the key it was made for.")
        })?;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    // As in PostgreSQL, every connection does a full handshake.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Served {
        acceptor: TlsAcceptor::from(Arc::new(config)),
        endpoint,
    })
}

fn unreadable(what: &str, path: &Path, why: &str) -> Error {
    Error::undefined_file(format!(
        "could not read the TLS {what} {}: {why}",
        path.display()
    ))
}

/// The certificate's hash by RFC 5929: with the hash of its own signature, but SHA-256 for the weak
/// MD5 and SHA-1.
fn endpoint_hash(certificate: &[u8]) -> Option<Vec<u8>> {
    let algorithm = match signature_hash(certificate)? {
        Hash::Sha256 => &digest::SHA256,
        Hash::Sha384 => &digest::SHA384,
        Hash::Sha512 => &digest::SHA512,
    };
    Some(digest::digest(algorithm, certificate).as_ref().to_vec())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

/// Object identifiers as they stand in a certificate, and the hash each stands for.
const SIGNATURES: &[(&[u8], Hash)] = &[
    // RSA (PKCS #1) with MD5, SHA-1, SHA-256, SHA-384, SHA-512.
    (
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x04],
        Hash::Sha256,
    ),
    (
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05],
        Hash::Sha256,
    ),
    (
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b],
        Hash::Sha256,
    ),
    (
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c],
        Hash::Sha384,
    ),
    (
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d],
        Hash::Sha512,
    ),
    // ECDSA with SHA-1, SHA-256, SHA-384, SHA-512.
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01], Hash::Sha256),
    (
        &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02],
        Hash::Sha256,
    ),
    (
        &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03],
        Hash::Sha384,
    ),
    (
        &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04],
        Hash::Sha512,
    ),
];

/// RSASSA-PSS, whose hash stands among its parameters.
const PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];

/// SHA-256, SHA-384 and SHA-512 as parameters.
const HASHES: &[(&[u8], Hash)] = &[
    (
        &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01],
        Hash::Sha256,
    ),
    (
        &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02],
        Hash::Sha384,
    ),
    (
        &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03],
        Hash::Sha512,
    ),
];

/// The hash of a certificate's signature: SEQUENCE { body, SEQUENCE { algorithm, … }, … } in DER.
fn signature_hash(certificate: &[u8]) -> Option<Hash> {
    const SEQUENCE: u8 = 0x30;
    const OBJECT_IDENTIFIER: u8 = 0x06;
    let (whole, _) = element(certificate, SEQUENCE)?;
    let (_, rest) = element(whole, SEQUENCE)?;
    let (algorithm, _) = element(rest, SEQUENCE)?;
    let (identifier, parameters) = element(algorithm, OBJECT_IDENTIFIER)?;
    let (table, sought) = match identifier == PSS {
        false => (SIGNATURES, identifier.to_vec()),
        true => {
            let named = HASHES
                .iter()
                .find(|(hash, _)| parameters.windows(hash.len()).any(|window| window == *hash));
            // Without parameters the hash is SHA-1, which counts as SHA-256.
            return Some(named.map_or(Hash::Sha256, |(_, hash)| *hash));
        }
    };
    table
        .iter()
        .find(|(known, _)| *known == sought)
        .map(|(_, hash)| *hash)
}

/// The contents of the DER element at the start of `bytes`, and what stands behind it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let [first, length, rest @ ..] = bytes else {
        return None;
    };
    if *first != tag {
        return None;
    }
    let (length, rest) = match *length {
        short @ 0..=0x7f => (usize::from(short), rest),
        long => {
            let (digits, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            if digits.is_empty() || digits.len() > 4 {
                return None;
            }
            let length = digits
                .iter()
                .fold(0, |length, digit| length << 8 | usize::from(*digit));
            (length, rest)
        }
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate of that signature algorithm, as far as it is looked at.
    fn certificate(algorithm: &[u8]) -> Vec<u8> {
        let body = [0x30, 0x81, 0x80].into_iter().chain([0; 0x80]);
        let inner: Vec<u8> = body
            .chain([0x30, algorithm.len() as u8])
            .chain(algorithm.iter().copied())
            .chain([0x03, 0x01, 0x00])
            .collect();
        let mut whole = vec![0x30, 0x82];
        whole.extend((inner.len() as u16).to_be_bytes());
        whole.extend(inner);
        whole
    }

    #[test]
    fn the_hash_for_channel_binding_is_that_of_the_signature() {
        for (identifier, hash) in SIGNATURES {
            let mut algorithm = vec![0x06, identifier.len() as u8];
            algorithm.extend_from_slice(identifier);
            assert_eq!(signature_hash(&certificate(&algorithm)), Some(*hash));
        }
        // Ed25519 has no hash of its own.
        assert_eq!(
            signature_hash(&certificate(&[0x06, 0x03, 0x2b, 0x65, 0x70])),
            None
        );
        let mut pss = vec![0x06, PSS.len() as u8];
        pss.extend_from_slice(PSS);
        pss.extend_from_slice(HASHES[2].0);
        assert_eq!(signature_hash(&certificate(&pss)), Some(Hash::Sha512));
    }

    #[test]
    fn what_is_no_certificate_has_no_hash() {
        let whole = certificate(&[0x06, 0x03, 0x2b, 0x65, 0x70]);
        for end in 0..whole.len() {
            assert_eq!(signature_hash(&whole[..end]), None);
        }
        assert_eq!(signature_hash(&[0x30, 0x85, 1, 1, 1, 1, 1, 1]), None);
    }
}
