//! Backend messages as bytes: everything the server sends but rows and COPY output.

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::{Error, Result};
use crate::postgres::encode::message;
use crate::postgres::types::Format;

/// How bad an error or notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The statement fails.
    Error,
    /// The session ends.
    Fatal,
    /// All sessions end.
    Panic,
    /// Something the user should look at.
    Warning,
    /// Something the user may like to know.
    Notice,
    /// For developers.
    Debug,
    /// What the user asked for.
    Info,
    /// For the server's log.
    Log,
}

impl Severity {
    /// The word in the fields `S` and `V`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
            Self::Panic => "PANIC",
            Self::Warning => "WARNING",
            Self::Notice => "NOTICE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Log => "LOG",
        }
    }
}

/// The state of the transaction block in ReadyForQuery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionStatus {
    /// Not in a block.
    Idle,
    /// In a block.
    Active,
    /// In a block that failed; statements are refused until it ends.
    Failed,
}

impl TransactionStatus {
    /// The byte in ReadyForQuery.
    pub const fn code(self) -> u8 {
        match self {
            Self::Idle => b'I',
            Self::Active => b'T',
            Self::Failed => b'E',
        }
    }
}

/// Bytes of a message's text fields; longer ones are cut, at a character.
const FIELD_BYTES_MAX: usize = 1 << 20;

/// ErrorResponse.
pub fn error_response(severity: Severity, error: &Error) -> Bytes {
    report(b'E', severity, error.state().code(), error)
}

/// NoticeResponse. `code` is the SQLSTATE: `00000` for a notice, `01000` for a plain warning.
pub fn notice_response(severity: Severity, code: &str, notice: &Error) -> Bytes {
    report(b'N', severity, code, notice)
}

fn report(tag: u8, severity: Severity, code: &str, error: &Error) -> Bytes {
    build(tag, |out| {
        let mut field = |tag: u8, text: &str| {
            out.put_u8(tag);
            put_string(text, out);
        };
        field(b'S', severity.word());
        field(b'V', severity.word());
        field(b'C', code);
        field(b'M', error.message());
        if let Some(detail) = error.detail() {
            field(b'D', detail);
        }
        if let Some(hint) = error.hint() {
            field(b'H', hint);
        }
        if let Some(position) = error.position() {
            field(b'P', &position.to_string());
        }
        out.put_u8(0);
    })
}

/// AuthenticationOk.
pub fn authentication_ok() -> Bytes {
    build(b'R', |out| out.put_i32(0))
}

/// AuthenticationSASL with the mechanisms in order of preference.
pub fn authentication_sasl(mechanisms: &[&str]) -> Bytes {
    build(b'R', |out| {
        out.put_i32(10);
        for mechanism in mechanisms {
            put_string(mechanism, out);
        }
        out.put_u8(0);
    })
}

/// AuthenticationSASLContinue.
pub fn authentication_sasl_continue(body: &[u8]) -> Bytes {
    build(b'R', |out| {
        out.put_i32(11);
        out.put_slice(body);
    })
}

/// AuthenticationSASLFinal.
pub fn authentication_sasl_final(body: &[u8]) -> Bytes {
    build(b'R', |out| {
        out.put_i32(12);
        out.put_slice(body);
    })
}

/// BackendKeyData; `secret` has 4 bytes, up to 256 from protocol 3.2 on.
pub fn backend_key_data(pid: i32, secret: &[u8]) -> Bytes {
    build(b'K', |out| {
        out.put_i32(pid);
        out.put_slice(secret);
    })
}

/// NegotiateProtocolVersion: the newest minor version served (as `3 << 16 | minor`) and the
/// `_pq_.` options that were not recognised.
pub fn negotiate_protocol_version(minor: u16, unrecognised: &[String]) -> Bytes {
    build(b'v', |out| {
        out.put_u32((3 << 16) | u32::from(minor));
        out.put_i32(unrecognised.len() as i32);
        for option in unrecognised {
            put_string(option, out);
        }
    })
}

/// ParameterStatus.
pub fn parameter_status(name: &str, value: &str) -> Bytes {
    build(b'S', |out| {
        put_string(name, out);
        put_string(value, out);
    })
}

/// ReadyForQuery.
pub fn ready_for_query(status: TransactionStatus) -> Bytes {
    build(b'Z', |out| out.put_u8(status.code()))
}

/// CommandComplete with a tag such as `SELECT 5`.
pub fn command_complete(tag: &str) -> Bytes {
    build(b'C', |out| put_string(tag, out))
}

/// EmptyQueryResponse.
pub fn empty_query_response() -> Bytes {
    build(b'I', |_| {})
}

/// ParseComplete.
pub fn parse_complete() -> Bytes {
    build(b'1', |_| {})
}

/// BindComplete.
pub fn bind_complete() -> Bytes {
    build(b'2', |_| {})
}

/// CloseComplete.
pub fn close_complete() -> Bytes {
    build(b'3', |_| {})
}

/// NoData.
pub fn no_data() -> Bytes {
    build(b'n', |_| {})
}

/// PortalSuspended.
pub fn portal_suspended() -> Bytes {
    build(b's', |_| {})
}

/// ParameterDescription. A statement has at most 65,535 parameters, as Bind counts them in 16 bits;
/// 54000 beyond.
pub fn parameter_description(oids: &[u32]) -> Result<Bytes> {
    let count = u16::try_from(oids.len()).map_err(|_| {
        Error::program_limit_exceeded("a statement can have at most 65535 parameters")
    })?;
    Ok(build(b't', |out| {
        out.put_u16(count);
        for oid in oids {
            out.put_u32(*oid);
        }
    }))
}

/// CopyOutResponse: one format for all of `columns`.
pub fn copy_out_response(format: Format, columns: u16) -> Bytes {
    build(b'H', |out| put_copy_formats(format, columns, out))
}

/// CopyInResponse: one format for all of `columns`.
pub fn copy_in_response(format: Format, columns: u16) -> Bytes {
    build(b'G', |out| put_copy_formats(format, columns, out))
}

fn put_copy_formats(format: Format, columns: u16, out: &mut BytesMut) {
    out.put_u8(format.code() as u8);
    out.put_u16(columns);
    for _ in 0..columns {
        out.put_i16(format.code());
    }
}

/// CopyDone, after the last CopyData.
pub fn copy_done() -> Bytes {
    build(b'c', |_| {})
}

/// NotificationResponse to LISTEN.
pub fn notification_response(pid: i32, channel: &str, payload: &str) -> Bytes {
    build(b'A', |out| {
        out.put_i32(pid);
        put_string(channel, out);
        put_string(payload, out);
    })
}

fn build(tag: u8, body: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::new();
    // The body cannot fail, and bounded fields keep it far below 2 GB.
    let _ = message(tag, &mut out, |out| {
        body(out);
        Ok(())
    });
    out.freeze()
}

/// A NUL-terminated string; cut at a NUL of its own, which would end the field early.
fn put_string(text: &str, out: &mut BytesMut) {
    let text = text.split('\0').next().unwrap_or_default();
    out.put_slice(&text.as_bytes()[..text.floor_char_boundary(FIELD_BYTES_MAX)]);
    out.put_u8(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_their_fields_in_order() {
        let error = Error::syntax_error("syntax error at or near \"x\"")
            .with_detail("D.")
            .with_hint("H.")
            .with_position(7);
        assert_eq!(
            error_response(Severity::Error, &error),
            &b"E\0\0\0\x42SERROR\0VERROR\0C42601\0Msyntax error at or near \"x\"\0DD.\0HH.\0P7\0\0"
                [..]
        );
        let plain = Error::internal("a\0b");
        assert_eq!(
            error_response(Severity::Fatal, &plain),
            &b"E\0\0\0\x1dSFATAL\0VFATAL\0CXX000\0Ma\0\0"[..]
        );
        assert_eq!(
            notice_response(Severity::Warning, "01000", &plain),
            &b"N\0\0\0\x21SWARNING\0VWARNING\0C01000\0Ma\0\0"[..]
        );
    }

    #[test]
    fn messages_have_the_protocols_layout() {
        assert_eq!(authentication_ok(), &b"R\0\0\0\x08\0\0\0\0"[..]);
        assert_eq!(
            authentication_sasl(&["SCRAM-SHA-256"]),
            &b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0"[..]
        );
        assert_eq!(
            authentication_sasl_continue(b"r=x"),
            &b"R\0\0\0\x0b\0\0\0\x0br=x"[..]
        );
        assert_eq!(
            authentication_sasl_final(b"v=x"),
            &b"R\0\0\0\x0b\0\0\0\x0cv=x"[..]
        );
        assert_eq!(
            backend_key_data(1, b"abcd"),
            &b"K\0\0\0\x0c\0\0\0\x01abcd"[..]
        );
        assert_eq!(
            negotiate_protocol_version(2, &["_pq_.x".into()]),
            &b"v\0\0\0\x13\0\x03\0\x02\0\0\0\x01_pq_.x\0"[..]
        );
        assert_eq!(parameter_status("a", "b"), &b"S\0\0\0\x08a\0b\0"[..]);
        assert_eq!(
            ready_for_query(TransactionStatus::Idle),
            &b"Z\0\0\0\x05I"[..]
        );
        assert_eq!(
            ready_for_query(TransactionStatus::Active),
            &b"Z\0\0\0\x05T"[..]
        );
        assert_eq!(
            ready_for_query(TransactionStatus::Failed),
            &b"Z\0\0\0\x05E"[..]
        );
        assert_eq!(command_complete("SELECT 5"), &b"C\0\0\0\x0dSELECT 5\0"[..]);
        assert_eq!(empty_query_response(), &b"I\0\0\0\x04"[..]);
        assert_eq!(parse_complete(), &b"1\0\0\0\x04"[..]);
        assert_eq!(bind_complete(), &b"2\0\0\0\x04"[..]);
        assert_eq!(close_complete(), &b"3\0\0\0\x04"[..]);
        assert_eq!(no_data(), &b"n\0\0\0\x04"[..]);
        assert_eq!(portal_suspended(), &b"s\0\0\0\x04"[..]);
        assert_eq!(copy_done(), &b"c\0\0\0\x04"[..]);
        assert_eq!(
            parameter_description(&[23, 25]).unwrap(),
            &b"t\0\0\0\x0e\0\x02\0\0\0\x17\0\0\0\x19"[..]
        );
        assert_eq!(
            parameter_description(&vec![0; 65_536])
                .unwrap_err()
                .state()
                .code(),
            "54000"
        );
        assert_eq!(
            copy_out_response(Format::Binary, 2),
            &b"H\0\0\0\x0b\x01\0\x02\0\x01\0\x01"[..]
        );
        assert_eq!(
            copy_in_response(Format::Text, 1),
            &b"G\0\0\0\x09\0\0\x01\0\0"[..]
        );
        assert_eq!(
            notification_response(9, "c", "p"),
            &b"A\0\0\0\x0c\0\0\0\x09c\0p\0"[..]
        );
    }

    #[test]
    fn long_fields_are_cut_at_a_character() {
        let long = "é".repeat(FIELD_BYTES_MAX);
        let status = parameter_status("a", &long);
        assert!(status.len() < FIELD_BYTES_MAX + 10);
        assert!(str::from_utf8(&status[7..]).is_ok());
    }
}
