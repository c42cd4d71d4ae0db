//! COPY's options, from the two ways a statement may spell them.

use datafusion::sql::sqlparser::ast::{CopyLegacyCsvOption, CopyLegacyOption, CopyOption, Ident};

use super::copy::{CopyClauses, CopyOptions, ForceQuote};
use crate::engine::session::CopyRequest;
use crate::engine::statement::tokens::ALL_COLUMNS;
use crate::error::{Error, Result};

/// The checked options of a COPY TO.
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
            CopyOption::Encoding(name) => clauses.encoding = Some(name.clone()),
            CopyOption::Freeze(_) | CopyOption::ForceNotNull(_) | CopyOption::ForceNull(_) => {
                return Err(Error::feature_not_supported(format!(
                    "COPY option {option} is not available with COPY TO"
                )));
            }
        }
    }
    for option in &request.legacy {
        legacy(option, &mut clauses)?;
    }
    CopyOptions::try_from(clauses)
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
                legacy_csv(option, clauses)?;
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

fn legacy_csv(option: &CopyLegacyCsvOption, clauses: &mut CopyClauses) -> Result<()> {
    match option {
        CopyLegacyCsvOption::Header => clauses.header = true,
        CopyLegacyCsvOption::Quote(letter) => clauses.quote = Some(letter.to_string()),
        CopyLegacyCsvOption::Escape(letter) => clauses.escape = Some(letter.to_string()),
        CopyLegacyCsvOption::ForceQuote(columns) => {
            clauses.force_quote = force_quote(columns);
        }
        CopyLegacyCsvOption::ForceNotNull(_) => {
            return Err(Error::feature_not_supported(
                "FORCE NOT NULL is not available with COPY TO",
            ));
        }
    }
    Ok(())
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
