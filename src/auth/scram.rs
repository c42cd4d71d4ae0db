//! SCRAM-SHA-256 (RFC 5802, RFC 7677): what is kept of a password, and the server's side of a login.
//!
//! Only a verifier is ever stored: it can check a proof but not make one, so that whoever reads the
//! catalog cannot log in with what stands there.

use std::fmt;
use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::{digest, hmac, pbkdf2};

use crate::error::{Error, Result};

/// The mechanism without channel binding.
pub const SCRAM_SHA_256: &str = "SCRAM-SHA-256";

/// The mechanism that binds the login to the TLS connection.
pub const SCRAM_SHA_256_PLUS: &str = "SCRAM-SHA-256-PLUS";

/// The one kind of channel binding that is offered (RFC 5929).
const BINDING_TYPE: &str = "tls-server-end-point";

/// Rounds of the key derivation for new passwords, PostgreSQL's number.
pub const ITERATIONS: NonZeroU32 = match NonZeroU32::new(4096) {
    Some(iterations) => iterations,
    None => NonZeroU32::MIN,
};

/// Bytes of the salt of a new password.
pub const SALT_BYTES: usize = 16;

/// Random bytes of the server's part of the nonce.
pub const NONCE_BYTES: usize = 18;

/// Bytes of a key.
const KEY_BYTES: usize = digest::SHA256_OUTPUT_LEN;

type Key = [u8; KEY_BYTES];

/// What is kept of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    iterations: NonZeroU32,
    salt: Vec<u8>,
    stored_key: Key,
    server_key: Key,
}

impl Verifier {
    /// The verifier of a password, with a random salt of [`SALT_BYTES`].
    pub fn of_password(password: &str, salt: Vec<u8>, iterations: NonZeroU32) -> Self {
        // As PostgreSQL does: a password that SASLprep refuses is taken as its bytes.
        let prepared = stringprep::saslprep(password);
        let text = prepared.as_deref().unwrap_or(password);
        let mut salted: Key = [0; KEY_BYTES];
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            iterations,
            &salt,
            text.as_bytes(),
            &mut salted,
        );
        Self {
            iterations,
            salt,
            stored_key: hash(&mac(&salted, b"Client Key")),
            server_key: mac(&salted, b"Server Key"),
        }
    }

    /// Reads PostgreSQL's text form, `SCRAM-SHA-256$4096:salt$stored:server`.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(SCRAM_SHA_256)?.strip_prefix('$')?;
        let (parameters, keys) = rest.split_once('$')?;
        let (iterations, salt) = parameters.split_once(':')?;
        let (stored, server) = keys.split_once(':')?;
        let key = |text: &str| -> Option<Key> { BASE64.decode(text).ok()?.try_into().ok() };
        Some(Self {
            iterations: iterations.parse().ok()?,
            salt: BASE64.decode(salt).ok().filter(|salt| !salt.is_empty())?,
            stored_key: key(stored)?,
            server_key: key(server)?,
        })
    }

    /// A verifier that no password fits, the same for a name each time: what a login is checked
    /// against when there is no such user, so that it takes the same course.
    pub fn mock(name: &str, secret: &[u8]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let part = |label: &str| {
            let tag = hmac::sign(&key, format!("{label} {name}").as_bytes());
            let mut part: Key = [0; KEY_BYTES];
            part.copy_from_slice(tag.as_ref());
            part
        };
        Self {
            iterations: ITERATIONS,
            salt: part("salt")[..SALT_BYTES].to_vec(),
            stored_key: part("stored key"),
            server_key: part("server key"),
        }
    }

    /// Whether `password` is the one this was made from.
    pub fn fits(&self, password: &str) -> bool {
        let other = Self::of_password(password, self.salt.clone(), self.iterations);
        equal(&other.stored_key, &self.stored_key)
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{SCRAM_SHA_256}${}:{}${}:{}",
            self.iterations,
            BASE64.encode(&self.salt),
            BASE64.encode(self.stored_key),
            BASE64.encode(self.server_key)
        )
    }
}

/// Never in a log.
impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(…)")
    }
}

/// What the server knows of the connection that a login comes over.
#[derive(Debug, Clone, Copy)]
pub struct ChannelBinding<'a> {
    /// The hash of the server's certificate; `None` without TLS.
    pub endpoint: Option<&'a [u8]>,
}

impl ChannelBinding<'_> {
    /// The mechanisms offered, the best first.
    pub fn mechanisms(&self) -> &'static [&'static str] {
        match self.endpoint {
            Some(_) => &[SCRAM_SHA_256_PLUS, SCRAM_SHA_256],
            None => &[SCRAM_SHA_256],
        }
    }
}

/// A login after the server's first message: it waits for the client's proof.
#[derive(Debug)]
pub struct Exchange {
    verifier: Verifier,
    nonce: String,
    /// What the client's last message must repeat in `c=`.
    binding: Vec<u8>,
    client_first_bare: String,
    /// The server's first message, to be sent.
    pub server_first: String,
}

impl Exchange {
    /// Takes the client's first message for `mechanism`; `nonce` is random, [`NONCE_BYTES`] long.
    pub fn start(
        mechanism: &str,
        client_first: &[u8],
        channel: ChannelBinding<'_>,
        verifier: Verifier,
        nonce: &[u8],
    ) -> Result<Self> {
        let message = text(client_first)?;
        let (flag, rest) = message.split_once(',').ok_or_else(malformed)?;
        let (authorization, bare) = rest.split_once(',').ok_or_else(malformed)?;
        let endpoint = match (mechanism, flag, channel.endpoint) {
            (SCRAM_SHA_256_PLUS, flag, Some(endpoint)) => {
                let kind = flag.strip_prefix("p=").ok_or_else(malformed)?;
                if kind != BINDING_TYPE {
                    return Err(Error::protocol_violation(
                        "unsupported SCRAM channel-binding type",
                    ));
                }
                endpoint
            }
            (SCRAM_SHA_256, "n", _) | (SCRAM_SHA_256, "y", None) => &[],
            // The client can bind but was told that the server cannot: somebody stands between.
            (SCRAM_SHA_256, "y", Some(_)) => {
                return Err(Error::invalid_authorization(
                    "SCRAM channel binding negotiation error",
                )
                .with_detail(
                    "The client supports SCRAM channel binding but thinks the server does \
                             not.  However, this server does support channel binding.",
                ));
            }
            (SCRAM_SHA_256, _, _) => return Err(malformed()),
            _ => {
                return Err(Error::protocol_violation(
                    "client selected an invalid SASL authentication mechanism",
                ));
            }
        };
        if !authorization.is_empty() {
            return Err(Error::feature_not_supported(
                "client uses authorization identity, but it is not supported",
            ));
        }
        let client_nonce = first_nonce(bare)?;
        let nonce = format!("{client_nonce}{}", BASE64.encode(nonce));
        let server_first = format!(
            "r={nonce},s={},i={}",
            BASE64.encode(&verifier.salt),
            verifier.iterations
        );
        let mut binding = format!("{flag},,").into_bytes();
        binding.extend_from_slice(endpoint);
        Ok(Self {
            verifier,
            nonce,
            binding,
            client_first_bare: bare.to_owned(),
            server_first,
        })
    }

    /// Checks the client's last message. `Ok(None)` is a wrong password; else the server's last
    /// message, which proves to the client that the server knows the verifier.
    pub fn finish(&self, client_final: &[u8]) -> Result<Option<String>> {
        let message = text(client_final)?;
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or_else(malformed)?;
        let mut fields = without_proof.split(',');
        let binding = fields.next().and_then(|field| field.strip_prefix("c="));
        let nonce = fields.next().and_then(|field| field.strip_prefix("r="));
        let (binding, nonce) = binding.zip(nonce).ok_or_else(malformed)?;
        if BASE64.decode(binding).ok().as_deref() != Some(&self.binding) {
            return Err(Error::invalid_authorization(
                "SCRAM channel binding check failed",
            ));
        }
        if nonce != self.nonce {
            return Err(Error::protocol_violation("invalid SCRAM response")
                .with_detail("Nonce does not match."));
        }
        let proof: Key = BASE64
            .decode(proof)
            .ok()
            .and_then(|proof| proof.try_into().ok())
            .ok_or_else(malformed)?;
        let signed = format!(
            "{},{},{without_proof}",
            self.client_first_bare, self.server_first
        );
        let signature = mac(&self.verifier.stored_key, signed.as_bytes());
        let mut client_key = proof;
        for (byte, mask) in client_key.iter_mut().zip(signature) {
            *byte ^= mask;
        }
        let answer = mac(&self.verifier.server_key, signed.as_bytes());
        Ok(equal(&hash(&client_key), &self.verifier.stored_key)
            .then(|| format!("v={}", BASE64.encode(answer))))
    }
}

/// The nonce of `n=user,r=nonce`. The user's name is that of the start-up packet, as in PostgreSQL.
fn first_nonce(bare: &str) -> Result<&str> {
    let mut fields = bare.split(',');
    let name = fields.next().ok_or_else(malformed)?;
    if name.starts_with("m=") {
        return Err(Error::feature_not_supported(
            "client requires an unsupported SCRAM extension",
        ));
    }
    if !name.starts_with("n=") {
        return Err(malformed());
    }
    fields
        .next()
        .and_then(|field| field.strip_prefix("r="))
        .filter(|nonce| {
            !nonce.is_empty() && nonce.bytes().all(|byte| (0x21..=0x7e).contains(&byte))
        })
        .ok_or_else(malformed)
}

fn text(message: &[u8]) -> Result<&str> {
    str::from_utf8(message)
        .ok()
        .filter(|text| !text.contains('\0'))
        .ok_or_else(malformed)
}

fn malformed() -> Error {
    Error::protocol_violation("malformed SCRAM message")
}

fn mac(key: &[u8], message: &[u8]) -> Key {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message);
    let mut bytes: Key = [0; KEY_BYTES];
    bytes.copy_from_slice(tag.as_ref());
    bytes
}

fn hash(message: &[u8]) -> Key {
    let sum = digest::digest(&digest::SHA256, message);
    let mut bytes: Key = [0; KEY_BYTES];
    bytes.copy_from_slice(sum.as_ref());
    bytes
}

/// Compares without a shortcut at the first difference.
fn equal(left: &Key, right: &Key) -> bool {
    left.iter()
        .zip(right)
        .fold(0, |difference, (a, b)| difference | (a ^ b))
        == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677, whose password is `pencil`.
    const SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";
    const NONCE_OF_CLIENT: &str = "rOprNGfwEbeRWgbNEkqO";
    const NONCE_OF_SERVER: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const SERVER_SIGNATURE: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
    const PROOF: &str = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

    fn pencil() -> Verifier {
        Verifier::of_password("pencil", BASE64.decode(SALT).unwrap(), ITERATIONS)
    }

    #[test]
    fn the_example_of_rfc_7677_passes() {
        let exchange = Exchange {
            verifier: pencil(),
            nonce: format!("{NONCE_OF_CLIENT}{NONCE_OF_SERVER}"),
            binding: b"n,,".to_vec(),
            client_first_bare: format!("n=user,r={NONCE_OF_CLIENT}"),
            server_first: format!("r={NONCE_OF_CLIENT}{NONCE_OF_SERVER},s={SALT},i=4096"),
        };
        let last = format!("c=biws,r={NONCE_OF_CLIENT}{NONCE_OF_SERVER},p={PROOF}");
        assert_eq!(
            exchange.finish(last.as_bytes()).unwrap().as_deref(),
            Some(SERVER_SIGNATURE)
        );
        let wrong = last.replace("p=d", "p=e");
        assert_eq!(exchange.finish(wrong.as_bytes()).unwrap(), None);
    }

    #[test]
    fn a_verifier_survives_its_text_and_says_nothing_in_a_log() {
        let verifier = pencil();
        assert_eq!(
            Verifier::parse(&verifier.to_string()),
            Some(verifier.clone())
        );
        assert!(verifier.fits("pencil") && !verifier.fits("pencil "));
        assert_eq!(format!("{verifier:?}"), "Verifier(…)");
        for wrong in [
            "",
            "secret",
            "md5a4f5b1c3a5d1e4f5b1c3a5d1e4f5b1c3",
            "SCRAM-SHA-256$0:c2FsdA==$c3RvcmVk:c2VydmVy",
            "SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy",
        ] {
            assert_eq!(Verifier::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn names_of_nobody_get_steady_salts_that_differ() {
        let mock = |name| Verifier::mock(name, b"secret of this server");
        assert_eq!(mock("a"), mock("a"));
        assert_ne!(mock("a").salt, mock("b").salt);
        assert_ne!(mock("a").salt, Verifier::mock("a", b"another").salt);
        assert_eq!(mock("a").salt.len(), SALT_BYTES);
    }

    #[test]
    fn downgrades_and_other_mechanisms_are_refused() {
        let bound = ChannelBinding {
            endpoint: Some(b"hash"),
        };
        let open = ChannelBinding { endpoint: None };
        let start = |mechanism: &str, first: &str, channel| {
            Exchange::start(mechanism, first.as_bytes(), channel, pencil(), b"nonce")
        };
        assert!(start(SCRAM_SHA_256, "n,,n=,r=abc", bound).is_ok());
        assert!(start(SCRAM_SHA_256, "y,,n=,r=abc", open).is_ok());
        assert!(
            start(
                SCRAM_SHA_256_PLUS,
                "p=tls-server-end-point,,n=,r=abc",
                bound
            )
            .is_ok()
        );
        for (mechanism, first, channel) in [
            (SCRAM_SHA_256, "y,,n=,r=abc", bound),
            (SCRAM_SHA_256, "p=tls-server-end-point,,n=,r=abc", bound),
            (SCRAM_SHA_256_PLUS, "p=tls-server-end-point,,n=,r=abc", open),
            (SCRAM_SHA_256_PLUS, "p=tls-unique,,n=,r=abc", bound),
            (SCRAM_SHA_256_PLUS, "n,,n=,r=abc", bound),
            (SCRAM_SHA_256_PLUS, "y,,n=,r=abc", bound),
            ("PLAIN", "n,,n=,r=abc", bound),
            (SCRAM_SHA_256, "n,a=admin,n=,r=abc", bound),
            (SCRAM_SHA_256, "n,,m=x,n=,r=abc", bound),
            (SCRAM_SHA_256, "n,,n=,r=", bound),
            (SCRAM_SHA_256, "n,,n=,r=a\u{e9}", bound),
            (SCRAM_SHA_256, "", bound),
            (SCRAM_SHA_256, "n", bound),
        ] {
            assert!(
                start(mechanism, first, channel).is_err(),
                "{mechanism} {first}"
            );
        }
    }

    #[test]
    fn a_last_message_for_another_channel_or_nonce_is_refused() {
        let channel = ChannelBinding {
            endpoint: Some(b"hash"),
        };
        let first = b"p=tls-server-end-point,,n=,r=abc";
        let exchange =
            Exchange::start(SCRAM_SHA_256_PLUS, first, channel, pencil(), b"nonce").unwrap();
        let proof = BASE64.encode([0; KEY_BYTES]);
        let last = |binding: &[u8], nonce: &str| {
            let binding = BASE64.encode(binding);
            exchange.finish(format!("c={binding},r={nonce},p={proof}").as_bytes())
        };
        let own = b"p=tls-server-end-point,,hash";
        assert_eq!(last(own, &exchange.nonce).unwrap(), None);
        assert!(last(b"p=tls-server-end-point,,hush", &exchange.nonce).is_err());
        assert!(last(b"n,,", &exchange.nonce).is_err());
        assert!(last(own, "abc").is_err());
        for garbage in ["", "p=", "c=,r=,p=", "c=biws"] {
            assert!(exchange.finish(garbage.as_bytes()).is_err(), "{garbage}");
        }
    }
}
