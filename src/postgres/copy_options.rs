//! COPY's options, from the two ways a statement may spell them.

use datafusion::sql::sqlparser::ast::{CopyLegacyCsvOption, CopyLegacyOption, CopyOption, Ident};

use super::copy::{CopyClauses, CopyOptions, ForceQuote};
use crate::engine::session::CopyRequest;
use crate::engine::statement::copy_words::unknown_option;
use crate::engine::statement::tokens::ALL_COLUMNS;
use crate::error::{Error, Result};

/// The checked options of a COPY.
pub(crate) fn copy_options(request: &CopyRequest) -> Result<CopyOptions> {
    let mut clauses = CopyClauses::default();
    for option in &request.options {
        match option {
            CopyOption::Format(format) => clauses.format = Some(format.value.clone()),
            CopyOption::Delimiter(letter) => clauses.delimiter = Some(letter.to_string()),
            CopyOption::Null(text) => clauses.null = Some(text.clone()),
            CopyOption::Header(header) => clauses.header = *header,
            CopyOption::Quote(letter) => clauses.quote = Some(letter.to_string()),
            CopyOption::Escape(letter) => clauses.escape = Some(letter.to_string()),
            CopyOption::ForceQuote(columns) => {
                clauses.force_quote = force_quote(columns);
            }
            CopyOption::Encoding(name) => match unknown_option(name) {
                Some((option, word)) => apply_unknown(option, word, &mut clauses)?,
                None => clauses.encoding = Some(name.clone()),
            },
            // Rows of a COPY are visible all at once anyway.
            CopyOption::Freeze(_) => {}
            CopyOption::ForceNotNull(columns) => clauses.force_not_null = force_quote(columns),
            CopyOption::ForceNull(columns) => clauses.force_null = force_quote(columns),
        }
    }
    for option in &request.legacy {
        legacy(option, &mut clauses)?;
    }
    CopyOptions::try_from(clauses)
}

/// An option that the parser does not know.
fn apply_unknown(option: &str, word: &str, clauses: &mut CopyClauses) -> Result<()> {
    match (option, word) {
        ("header", _) => (clauses.header, clauses.header_match) = (true, true),
        ("force_null", _) => clauses.force_null = ForceQuote::All,
        ("force_not_null", _) => clauses.force_not_null = ForceQuote::All,
        ("on_error", "stop") => clauses.skips_errors = false,
        ("on_error", "ignore") => clauses.skips_errors = true,
        ("log_verbosity", "default" | "verbose" | "silent") => {}
        ("on_error", word) => {
            return Err(Error::invalid_parameter_value(format!(
                "COPY ON_ERROR \"{word}\" not recognized"
            )));
        }
        ("log_verbosity", word) => {
            return Err(Error::invalid_parameter_value(format!(
                "COPY LOG_VERBOSITY \"{word}\" not recognized"
            )));
        }
        (option, _) => {
            return Err(Error::feature_not_supported(format!(
                "COPY option {option} is not supported"
            )));
        }
    }
    Ok(())
}

fn force_quote(columns: &[Ident]) -> ForceQuote {
    match columns {
        [all] if all.quote_style.is_none() && all.value == ALL_COLUMNS => ForceQuote::All,
        columns => ForceQuote::Columns(columns.iter().map(|name| name.value.clone()).collect()),
    }
}

fn legacy(option: &CopyLegacyOption, clauses: &mut CopyClauses) -> Result<()> {
    match option {
        CopyLegacyOption::Binary => clauses.format = Some("binary".to_owned()),
        CopyLegacyOption::Delimiter(letter) => clauses.delimiter = Some(letter.to_string()),
        CopyLegacyOption::Null(text) => clauses.null = Some(text.clone()),
        CopyLegacyOption::Header => clauses.header = true,
        CopyLegacyOption::Csv(options) => {
            clauses.format = Some("csv".to_owned());
            for option in options {
                legacy_csv(option, clauses);
            }
        }
        other => {
            return Err(Error::syntax_error(format!(
                "COPY option {other} is not recognized"
            )));
        }
    }
    Ok(())
}

fn legacy_csv(option: &CopyLegacyCsvOption, clauses: &mut CopyClauses) {
    match option {
        CopyLegacyCsvOption::Header => clauses.header = true,
        CopyLegacyCsvOption::Quote(letter) => clauses.quote = Some(letter.to_string()),
        CopyLegacyCsvOption::Escape(letter) => clauses.escape = Some(letter.to_string()),
        CopyLegacyCsvOption::ForceQuote(columns) => {
            clauses.force_quote = force_quote(columns);
        }
        CopyLegacyCsvOption::ForceNotNull(columns) => {
            clauses.force_not_null = force_quote(columns);
        }
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::ast::Statement;

    use super::*;
    use crate::engine::statement;

    fn quoted(sql: &str) -> ForceQuote {
        let parsed = statement::parse(sql).unwrap().pop().unwrap();
        let Some(Statement::Copy { options, .. }) = parsed.statement else {
            panic!("{sql}");
        };
        let found = options.iter().find_map(|option| match option {
            CopyOption::ForceQuote(columns) => Some(force_quote(columns)),
            _ => None,
        });
        found.unwrap()
    }

    #[test]
    fn all_columns_may_be_quoted() {
        let all = quoted("COPY t TO STDOUT (FORMAT csv, FORCE_QUOTE *)");
        assert!(matches!(all, ForceQuote::All));
        let one = quoted("copy t to stdout (format csv, force_quote (\"*\"))");
        assert!(matches!(one, ForceQuote::Columns(names) if names == ["*"]));
    }
}
