//! Values as PostgreSQL has them: types and their OIDs, text and binary forms both ways.

pub mod decode;
pub mod digits;
pub mod encode;
pub mod json;
pub mod types;

use crate::error::{Error, Result};

/// Text from the client, checked; 22021 with the first bytes that are wrong, as PostgreSQL words it.
pub fn utf8(bytes: &[u8]) -> Result<&str> {
    /// Bytes shown of a sequence that is not UTF-8.
    const SHOWN_MAX: usize = 4;
    str::from_utf8(bytes).map_err(|error| {
        let wrong = &bytes[error.valid_up_to()..];
        let len = error.error_len().unwrap_or(wrong.len()).clamp(1, SHOWN_MAX);
        let shown: Vec<String> = wrong
            .iter()
            .take(len)
            .map(|b| format!("0x{b:02x}"))
            .collect();
        Error::character_not_in_repertoire(format!(
            "invalid byte sequence for encoding \"UTF8\": {}",
            shown.join(" ")
        ))
    })
}
