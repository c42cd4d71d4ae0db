//! What storage says when a file or a store fails: the name, what happened, never a credential.

use std::any::Any;
use std::error::Error as StdError;

use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use object_store::Error as StoreError;

use crate::error::Error;

/// Characters of a store's own words that go into a DETAIL.
const STORE_WORDS_CHARS_MAX: usize = 300;

const HINT_AGAIN: &str = "Run the statement again: it will read the files that are there now.";
const HINT_CHECK: &str =
    "Write the file again or move it out of the folder; \"loyalhouse check\" lists all such files.";

/// 58030 (or 58P01 where nothing is there) for a store that could not be read.
pub(super) fn store_failed(place: &str, error: &StoreError) -> Error {
    let message = format!("could not read \"{place}\"");
    let words = store_words(error);
    match error {
        StoreError::NotFound { .. } => {
            Error::undefined_file(format!("\"{place}\" does not exist")).with_detail(words)
        }
        StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => {
            Error::io_error(message)
                .with_detail(words)
                .with_hint("Check the credentials in the environment and what they may read.")
        }
        _ => Error::io_error(message).with_detail(words),
    }
}

/// 58030 for a local path the operating system would not read.
pub(super) fn local_failed(place: &str, error: &std::io::Error) -> Error {
    if error.kind() == std::io::ErrorKind::NotFound {
        return Error::undefined_file(format!("\"{place}\" does not exist"));
    }
    Error::io_error(format!("could not read \"{place}\"")).with_detail(format!("{error}."))
}

/// XX001 for a file that is gone since the statement was planned.
pub(super) fn file_deleted(name: &str) -> Error {
    Error::data_corrupted(format!("data file \"{name}\" is gone"))
        .with_detail("The file was deleted or renamed after the statement was planned.")
        .with_hint(HINT_AGAIN)
}

/// XX001 for a file that is no longer the one the statement was planned on.
pub(super) fn file_replaced(name: &str, planned_bytes: u64, found_bytes: u64) -> Error {
    let sizes = if planned_bytes == found_bytes {
        format!("it has {found_bytes} bytes as before, but was written again")
    } else {
        format!("it had {planned_bytes} bytes and now has {found_bytes}")
    };
    Error::data_corrupted(format!("data file \"{name}\" changed under the statement"))
        .with_detail(format!(
            "The file was replaced after the statement was planned: {sizes}."
        ))
        .with_hint(HINT_AGAIN)
}

/// XX001 for a file that is not what its name claims.
pub(super) fn file_corrupt(name: &str, why: &str) -> Error {
    Error::data_corrupted(format!("data file \"{name}\" cannot be read as Parquet"))
        .with_detail(sentence(why))
        .with_hint(HINT_CHECK)
}

/// XX001 for a file on which the decoder gave up in a way it should not.
pub(super) fn decoder_panicked(name: &str, panic: &(dyn Any + Send)) -> Error {
    let words = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    file_corrupt(
        name,
        &format!("the Parquet decoder stopped on it: {}", first_line(&words)),
    )
}

/// Names the file in an error that came up while it was being read.
///
/// An error of ours inside is brought to the surface, a fault of the Parquet decoder becomes
/// XX001; everything else (a cast, memory, cancellation) passes unchanged.
pub(super) fn name_the_file(name: &str, error: DataFusionError) -> DataFusionError {
    if let Some(ours) = find_ours(&error) {
        return ours.into();
    }
    match parquet_words(&error) {
        Some(words) => file_corrupt(name, &words).into(),
        None => error,
    }
}

/// A copy of our own error if one is anywhere in the chain of causes.
pub(super) fn find_ours(error: &(dyn StdError + 'static)) -> Option<Error> {
    let mut cause = Some(error);
    while let Some(current) = cause {
        if let Some(ours) = current.downcast_ref::<Error>() {
            return Some(copy(ours));
        }
        cause = current.source();
    }
    None
}

/// The same condition and words again; the cause stays with the original.
pub(super) fn copy(error: &Error) -> Error {
    let mut twin = Error::new(error.state(), error.message());
    if let Some(detail) = error.detail() {
        twin = twin.with_detail(detail);
    }
    if let Some(hint) = error.hint() {
        twin = twin.with_hint(hint);
    }
    twin
}

fn parquet_words(error: &DataFusionError) -> Option<String> {
    match error {
        DataFusionError::ParquetError(error) => Some(error.to_string()),
        DataFusionError::ArrowError(error, _) => match error.as_ref() {
            ArrowError::ParquetError(words) => Some(words.clone()),
            _ => None,
        },
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
            parquet_words(inner)
        }
        _ => None,
    }
}

/// What the store said, cut before anything that may carry a signature or a body.
fn store_words(error: &StoreError) -> String {
    let text = error.to_string();
    let safe = text
        .split(['?', '<', '\n', '\r'])
        .next()
        .unwrap_or_default();
    sentence(&format!("the store said: {safe}"))
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn sentence(text: &str) -> String {
    let line: String = first_line(text)
        .chars()
        .take(STORE_WORDS_CHARS_MAX)
        .collect();
    let mut chars = line.trim_end_matches([' ', '.', ':']).chars();
    let mut text: String = chars
        .next()
        .map(|c| c.to_uppercase().collect())
        .unwrap_or_default();
    text.extend(chars);
    text.push('.');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_in_a_url_never_reaches_the_text() {
        let error = StoreError::Generic {
            store: "MicrosoftAzure",
            source: "Error performing GET https://a.example/c?sig=TOPSECRET in 3ms".into(),
        };
        let error = store_failed("az://c", &error);
        assert!(!format!("{error:?}").contains("TOPSECRET"), "{error:?}");
        assert!(error.detail().unwrap().contains("a.example"), "{error:?}");
    }

    #[test]
    fn our_error_surfaces_from_any_depth() {
        let parquet = parquet::errors::ParquetError::External(Box::new(file_deleted("/a.parquet")));
        let error = name_the_file("/b.parquet", parquet.into());
        let ours = find_ours(&error).unwrap();
        assert_eq!(ours.state().code(), "XX001");
        assert!(ours.message().contains("/a.parquet"), "{ours}");
    }

    #[test]
    fn a_cast_error_is_not_blamed_on_the_file() {
        let error = DataFusionError::ArrowError(Box::new(ArrowError::DivideByZero), None);
        let error = name_the_file("/b.parquet", error);
        assert!(matches!(error, DataFusionError::ArrowError(..)), "{error}");
    }
}
