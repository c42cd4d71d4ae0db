//! Frontend messages: bounded, checked decoding of what a client sends.
//!
//! A message is framed by its declared length first ([`frame_length`]) and decoded from its body
//! alone, so that no field can reach into the next message. Every count and length is checked
//! against the bytes that are left before anything is allocated for it.

use bytes::{Buf, Bytes};

use crate::error::{Error, Result};
use crate::values::utf8;

/// Bytes of a message's tag and length.
pub const HEADER_BYTES: usize = 5;

/// Bytes of a startup packet, its length word included (PostgreSQL's MAX_STARTUP_PACKET_LENGTH).
pub const STARTUP_BYTES_MAX: usize = 10_000;

/// Bytes of a startup packet, its length word included, at the least: length and code.
const STARTUP_BYTES_MIN: usize = 8;

/// Bytes of a cancel key at the most (protocol 3.2).
const CANCEL_SECRET_BYTES_MAX: usize = 256;

/// Request codes that stand in place of a protocol version: 1234 in the high half.
const CANCEL_REQUEST: u32 = 80_877_102;
const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;

/// A message after startup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frontend {
    /// `Q`
    Query {
        /// One or more statements.
        sql: String,
    },
    /// `P`
    Parse {
        /// The prepared statement; empty for the unnamed one.
        name: String,
        /// One statement.
        sql: String,
        /// OIDs of the first parameters; 0 leaves one open.
        parameter_types: Vec<u32>,
    },
    /// `B`
    Bind {
        /// The portal; empty for the unnamed one.
        portal: String,
        /// The prepared statement; empty for the unnamed one.
        statement: String,
        /// Format codes by Bind's rule (none, one, or one each).
        parameter_formats: Vec<i16>,
        /// Values; None for NULL.
        parameters: Vec<Option<Bytes>>,
        /// Format codes of the result columns, by Bind's rule.
        result_formats: Vec<i16>,
    },
    /// `D`
    Describe {
        /// Statement or portal.
        kind: Target,
        /// Its name.
        name: String,
    },
    /// `E`
    Execute {
        /// The portal.
        portal: String,
        /// Rows at the most; 0 or below for all.
        max_rows: i32,
    },
    /// `C`
    Close {
        /// Statement or portal.
        kind: Target,
        /// Its name.
        name: String,
    },
    /// `S`
    Sync,
    /// `H`
    Flush,
    /// `X`
    Terminate,
    /// `d`: a piece of COPY input, cut anywhere.
    CopyData(Bytes),
    /// `c`
    CopyDone,
    /// `f`: the client gives up, and why.
    CopyFail(String),
    /// `p`: a password or SASL message, whose form depends on the state of authentication.
    Password(Bytes),
    /// `F`: the obsolete fast path, recognised to be refused.
    FunctionCall,
}

/// What Describe and Close are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// `S`
    Statement,
    /// `P`
    Portal,
}

/// The first packet of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartupPacket {
    /// SSLRequest
    Ssl,
    /// GSSENCRequest
    Gss,
    /// CancelRequest
    Cancel {
        /// Which backend.
        pid: i32,
        /// Its key, as sent: 4 to 256 bytes.
        secret: Bytes,
    },
    /// StartupMessage
    Startup {
        /// Protocol major version; only 3 is known.
        major: u16,
        /// Protocol minor version.
        minor: u16,
        /// `user`, `database`, `application_name` and other settings, in order.
        parameters: Vec<(String, String)>,
    },
}

/// The tag and the number of body bytes that follow a header of [`HEADER_BYTES`].
///
/// `max` limits the body. 08P01 for a short header, a length below 4 or negative, or a body over
/// `max`.
pub fn frame_length(header: &[u8], max: usize) -> Result<(u8, usize)> {
    let [tag, length @ ..] = header else {
        return Err(Error::protocol_violation("message header is too short"));
    };
    let length: [u8; 4] = length
        .try_into()
        .map_err(|_| Error::protocol_violation("message header is not of 5 bytes"))?;
    body_length(length, max).map(|length| (*tag, length))
}

fn body_length(length: [u8; 4], max: usize) -> Result<usize> {
    let invalid = || Error::protocol_violation("invalid message length");
    let length = usize::try_from(i32::from_be_bytes(length)).map_err(|_| invalid())?;
    let body = length.checked_sub(4).ok_or_else(invalid)?;
    if body > max {
        return Err(
            invalid().with_detail(format!("The message has {body} bytes; the limit is {max}."))
        );
    }
    Ok(body)
}

/// The number of bytes that follow the length word of a startup packet.
///
/// 08P01 unless the packet has 8 to [`STARTUP_BYTES_MAX`] bytes in all.
pub fn startup_length(length: [u8; 4]) -> Result<usize> {
    let invalid = || Error::protocol_violation("invalid length of startup packet");
    let length = usize::try_from(i32::from_be_bytes(length)).map_err(|_| invalid())?;
    if (STARTUP_BYTES_MIN..=STARTUP_BYTES_MAX).contains(&length) {
        Ok(length - 4)
    } else {
        Err(invalid())
    }
}

/// Decodes a startup packet from what follows its length word.
///
/// 08P01 for a malformed packet; the version is for the caller to judge.
pub fn decode_startup(body: Bytes) -> Result<StartupPacket> {
    let mut body = Body {
        rest: body,
        message: "startup packet",
    };
    let code = body.u32()?;
    let packet = match code {
        SSL_REQUEST => StartupPacket::Ssl,
        GSS_REQUEST => StartupPacket::Gss,
        CANCEL_REQUEST => {
            let pid = body.i32()?;
            let secret = body.rest.split_off(0);
            if !(4..=CANCEL_SECRET_BYTES_MAX).contains(&secret.len()) {
                return Err(Error::protocol_violation(
                    "invalid length of cancel request packet",
                ));
            }
            StartupPacket::Cancel { pid, secret }
        }
        version => StartupPacket::Startup {
            major: (version >> 16) as u16,
            minor: (version & 0xffff) as u16,
            // Another major version may have another layout; it is refused by its number alone.
            parameters: if version >> 16 == 3 {
                startup_parameters(&mut body)?
            } else {
                vec![]
            },
        },
    };
    if !matches!(packet, StartupPacket::Startup { major, .. } if major != 3) {
        body.end()?;
    }
    Ok(packet)
}

fn startup_parameters(body: &mut Body) -> Result<Vec<(String, String)>> {
    let mut parameters = vec![];
    loop {
        let name = body.string()?;
        if name.is_empty() {
            return Ok(parameters);
        }
        parameters.push((name, body.string()?));
    }
}

/// Whether a message type exists. After one that does not, nothing behind it can be trusted.
pub fn is_known(tag: u8) -> bool {
    b"QPBDECSHXdcfpF".contains(&tag)
}

/// Decodes a message from its tag and its whole body.
///
/// 08P01 for an unknown tag, a count or length that goes beyond the body, a missing terminator or
/// trailing bytes; 22021 for text that is not UTF-8.
pub fn decode(tag: u8, body: Bytes) -> Result<Frontend> {
    let mut body = Body {
        rest: body,
        message: name(tag),
    };
    let message = match tag {
        b'Q' => Frontend::Query {
            sql: body.string()?,
        },
        b'P' => Frontend::Parse {
            name: body.string()?,
            sql: body.string()?,
            parameter_types: body.list(4, Body::u32)?,
        },
        b'B' => Frontend::Bind {
            portal: body.string()?,
            statement: body.string()?,
            parameter_formats: body.list(2, Body::i16)?,
            parameters: body.list(4, Body::value)?,
            result_formats: body.list(2, Body::i16)?,
        },
        b'D' => Frontend::Describe {
            kind: body.target()?,
            name: body.string()?,
        },
        b'E' => Frontend::Execute {
            portal: body.string()?,
            max_rows: body.i32()?,
        },
        b'C' => Frontend::Close {
            kind: body.target()?,
            name: body.string()?,
        },
        b'S' => Frontend::Sync,
        b'H' => Frontend::Flush,
        b'X' => Frontend::Terminate,
        b'd' => Frontend::CopyData(body.rest.split_off(0)),
        b'c' => Frontend::CopyDone,
        b'f' => Frontend::CopyFail(body.string()?),
        b'p' => Frontend::Password(body.rest.split_off(0)),
        b'F' => {
            body.rest.clear();
            Frontend::FunctionCall
        }
        tag => {
            return Err(Error::protocol_violation(format!(
                "invalid frontend message type {tag}"
            )));
        }
    };
    body.end()?;
    Ok(message)
}

fn name(tag: u8) -> &'static str {
    match tag {
        b'Q' => "Query",
        b'P' => "Parse",
        b'B' => "Bind",
        b'D' => "Describe",
        b'E' => "Execute",
        b'C' => "Close",
        b'S' => "Sync",
        b'H' => "Flush",
        b'X' => "Terminate",
        b'c' => "CopyDone",
        b'f' => "CopyFail",
        _ => "frontend",
    }
}

/// What is left of a message.
struct Body {
    rest: Bytes,
    /// For error messages.
    message: &'static str,
}

impl Body {
    fn too_short(&self) -> Error {
        Error::protocol_violation("insufficient data left in message")
            .with_detail(format!("The {} message ends too early.", self.message))
    }

    fn take(&mut self, len: usize) -> Result<Bytes> {
        if len > self.rest.len() {
            return Err(self.too_short());
        }
        Ok(self.rest.split_to(len))
    }

    fn u8(&mut self) -> Result<u8> {
        self.rest.try_get_u8().map_err(|_| self.too_short())
    }

    fn i16(&mut self) -> Result<i16> {
        self.rest.try_get_i16().map_err(|_| self.too_short())
    }

    fn i32(&mut self) -> Result<i32> {
        self.rest.try_get_i32().map_err(|_| self.too_short())
    }

    fn u32(&mut self) -> Result<u32> {
        self.rest.try_get_u32().map_err(|_| self.too_short())
    }

    /// A NUL-terminated string.
    fn string(&mut self) -> Result<String> {
        let Some(len) = self.rest.iter().position(|byte| *byte == 0) else {
            return Err(Error::protocol_violation("invalid string in message")
                .with_detail(format!("The {} message lacks a terminator.", self.message)));
        };
        let text = utf8(&self.rest[..len])?.to_owned();
        self.rest.advance(len + 1);
        Ok(text)
    }

    /// A 16-bit count and that many elements, each of at least `size` bytes.
    fn list<T>(&mut self, size: usize, element: impl Fn(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let count = usize::from(self.i16()?.cast_unsigned());
        if count * size > self.rest.len() {
            return Err(self.too_short());
        }
        (0..count).map(|_| element(self)).collect()
    }

    /// A length and a value, or -1 for NULL.
    fn value(&mut self) -> Result<Option<Bytes>> {
        match self.i32()? {
            -1 => Ok(None),
            len => {
                let len = usize::try_from(len).map_err(|_| self.too_short())?;
                self.take(len).map(Some)
            }
        }
    }

    fn target(&mut self) -> Result<Target> {
        match self.u8()? {
            b'S' => Ok(Target::Statement),
            b'P' => Ok(Target::Portal),
            other => Err(Error::protocol_violation(format!(
                "invalid {} message subtype {other}",
                self.message.to_uppercase()
            ))),
        }
    }

    fn end(&self) -> Result<()> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(
            Error::protocol_violation("invalid message format").with_detail(format!(
                "The {} message has {} bytes too many.",
                self.message,
                self.rest.len()
            )),
        )
    }
}

/// The mechanism and the first message of a SASLInitialResponse.
pub fn sasl_initial(body: Bytes) -> Result<(String, Bytes)> {
    let mut body = Body {
        rest: body,
        message: "SASLInitialResponse",
    };
    let mechanism = body.string()?;
    let first = body.value()?.unwrap_or_default();
    body.end()?;
    Ok((mechanism, first))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ok(tag: u8, body: &'static [u8]) -> Frontend {
        decode(tag, Bytes::from_static(body)).unwrap()
    }

    fn state(tag: u8, body: &'static [u8]) -> &'static str {
        decode(tag, Bytes::from_static(body))
            .unwrap_err()
            .state()
            .code()
    }

    #[test]
    fn messages_decode_from_their_bodies() {
        assert_eq!(
            ok(b'Q', b"select 1\0"),
            Frontend::Query {
                sql: "select 1".into()
            }
        );
        assert_eq!(
            ok(b'P', b"s\0select $1\0\0\x02\0\0\0\x17\0\0\0\0"),
            Frontend::Parse {
                name: "s".into(),
                sql: "select $1".into(),
                parameter_types: vec![23, 0]
            }
        );
        assert_eq!(
            ok(
                b'B',
                b"p\0s\0\0\x01\0\x01\0\x03\0\0\0\x02ab\xff\xff\xff\xff\0\0\0\0\0\x01\0\0"
            ),
            Frontend::Bind {
                portal: "p".into(),
                statement: "s".into(),
                parameter_formats: vec![1],
                parameters: vec![Some(Bytes::from_static(b"ab")), None, Some(Bytes::new())],
                result_formats: vec![0],
            }
        );
        assert_eq!(
            ok(b'D', b"Sx\0"),
            Frontend::Describe {
                kind: Target::Statement,
                name: "x".into()
            }
        );
        assert_eq!(
            ok(b'C', b"P\0"),
            Frontend::Close {
                kind: Target::Portal,
                name: String::new()
            }
        );
        assert_eq!(
            ok(b'E', b"\0\0\0\0\x05"),
            Frontend::Execute {
                portal: String::new(),
                max_rows: 5
            }
        );
        assert_eq!(ok(b'S', b""), Frontend::Sync);
        assert_eq!(ok(b'H', b""), Frontend::Flush);
        assert_eq!(ok(b'X', b""), Frontend::Terminate);
        assert_eq!(
            ok(b'd', b"1\t2\n"),
            Frontend::CopyData(Bytes::from_static(b"1\t2\n"))
        );
        assert_eq!(ok(b'c', b""), Frontend::CopyDone);
        assert_eq!(ok(b'f', b"no\0"), Frontend::CopyFail("no".into()));
        assert_eq!(
            ok(b'p', b"x\0"),
            Frontend::Password(Bytes::from_static(b"x\0"))
        );
        assert_eq!(ok(b'F', b"anything"), Frontend::FunctionCall);
    }

    #[test]
    fn malformed_messages_are_protocol_violations() {
        for (tag, body) in [
            (b'Q', &b"select 1"[..]),
            (b'Q', b""),
            (b'Q', b"select 1\0x"),
            (b'P', b"\0\0"),
            (b'P', b"\0\0\0\x02\0\0\0\x17"),
            (b'P', b"\0\0\xff\xff"),
            (b'B', b"\0\0\0\0\0\x01\0\0\0\x05abcd\0\0"),
            (b'B', b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0"),
            (b'B', b"\0\0\0\0\0\x01\x7f\xff\xff\xff\0\0"),
            (b'B', b"\0\0\0\0\x7f\xff\0\0"),
            (b'B', b"\0\0\0\0\0\0"),
            (b'B', b"\0\0\0\0\0\0\0\0\0"),
            (b'D', b"Tx\0"),
            (b'D', b""),
            (b'E', b"\0\0\0"),
            (b'S', b"x"),
            (b'X', b"x"),
            (b'f', b""),
            (b'z', b""),
            (0, b""),
        ] {
            assert_eq!(state(tag, body), "08P01", "{} {body:?}", tag as char);
        }
    }

    #[test]
    fn text_that_is_not_utf8_is_named() {
        let error = decode(b'Q', Bytes::from_static(b"select '\xc3\x28'\0")).unwrap_err();
        assert_eq!(error.state().code(), "22021");
        assert_eq!(
            error.message(),
            "invalid byte sequence for encoding \"UTF8\": 0xc3"
        );
        assert_eq!(state(b'B', b"\xff\0\0\0\0\0\0\0\0"), "22021");
    }

    #[test]
    fn frames_are_bounded() {
        let frame = |length: i32, max| {
            let mut header = vec![b'Q'];
            header.extend(length.to_be_bytes());
            frame_length(&header, max).map_err(|e| e.state().code())
        };
        assert_eq!(frame(4, 0), Ok((b'Q', 0)));
        assert_eq!(frame(104, 100), Ok((b'Q', 100)));
        for length in [0, 3, -1, i32::MIN, 105, i32::MAX] {
            assert_eq!(frame(length, 100), Err("08P01"), "{length}");
        }
        assert!(frame_length(b"", 100).is_err());
        assert!(frame_length(b"Q\0\0\0", 100).is_err());
    }

    #[test]
    fn startup_packets() {
        let packet = |body: &'static [u8]| {
            decode_startup(Bytes::from_static(body)).map_err(|e| e.state().code())
        };
        assert_eq!(packet(b"\x04\xd2\x16\x2f"), Ok(StartupPacket::Ssl));
        assert_eq!(packet(b"\x04\xd2\x16\x30"), Ok(StartupPacket::Gss));
        assert_eq!(
            packet(b"\x04\xd2\x16\x2e\0\0\0\x07abcd"),
            Ok(StartupPacket::Cancel {
                pid: 7,
                secret: Bytes::from_static(b"abcd")
            })
        );
        assert_eq!(
            packet(b"\0\x03\0\x02user\0ann\0database\0\0\0"),
            Ok(StartupPacket::Startup {
                major: 3,
                minor: 2,
                parameters: vec![
                    ("user".into(), "ann".into()),
                    ("database".into(), String::new())
                ],
            })
        );
        assert_eq!(
            packet(b"\0\x02\0\0anything"),
            Ok(StartupPacket::Startup {
                major: 2,
                minor: 0,
                parameters: vec![]
            })
        );
        for body in [
            &b"\0\x03\0"[..],
            b"\0\x03\0\0",
            b"\0\x03\0\0user\0ann\0",
            b"\0\x03\0\0user\0",
            b"\0\x03\0\0\0x",
            b"\x04\xd2\x16\x2fx",
            b"\x04\xd2\x16\x2e\0\0\0\x07abc",
        ] {
            assert_eq!(packet(body), Err("08P01"), "{body:?}");
        }
        assert_eq!(packet(b"\0\x03\0\0user\0\xff\0\0"), Err("22021"));
        assert_eq!(startup_length(8_i32.to_be_bytes()).unwrap(), 4);
        assert_eq!(startup_length(10_000_i32.to_be_bytes()).unwrap(), 9_996);
        for length in [7, 10_001, 0, -1, i32::MIN] {
            assert!(startup_length(length.to_be_bytes()).is_err(), "{length}");
        }
    }

    proptest! {
        #[test]
        fn decoding_never_panics(tag in any::<u8>(), body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(tag, body.clone().into());
            let _ = decode_startup(body.clone().into());
            let _ = frame_length(&body, 100);
        }

        #[test]
        fn known_tags_with_small_counts_never_panic(
            tag in prop::sample::select(b"QPBDECSHXdcfpF".to_vec()),
            body in prop::collection::vec(prop::sample::select(b"\0\0\0\x01\x02\xffSPa".to_vec()), 0..60),
        ) {
            let _ = decode(tag, body.into());
        }
    }
}
