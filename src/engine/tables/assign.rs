//! Rows of a query as rows of a table: the casts that PostgreSQL makes when values are assigned.

use std::borrow::Cow;
use std::sync::Arc;

use datafusion::arrow::array::{AsArray, RecordBatch, StringViewArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::Column;
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use crate::catalog::pg_type::{format_type, pg_type_of_field};
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;
use crate::values::digits::PG_TYPMOD_METADATA;
use crate::values::types::{self as pg, PgType};
use crate::warehouse::{DEFAULT_METADATA, IDENTITY_METADATA};

/// Keys of a column's metadata that are of the column, not of its values' type.
const COLUMN_KEYS: [&str; 3] = [DEFAULT_METADATA, IDENTITY_METADATA, "comment"];

/// Bytes that PostgreSQL adds to the length in a type modifier.
const HEADER_BYTES: i32 = 4;

/// The table that a query's rows are for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::engine) struct Assignment {
    /// Columns of the query that are passed on as they are, before those of the table.
    pub(in crate::engine) passed: usize,
    /// Columns of the table, in their order.
    pub(in crate::engine) columns: SchemaRef,
    /// Where the value of each of them comes from.
    pub(in crate::engine) sources: Vec<Source>,
    /// Whether columns of the query behind those of the table are passed on too.
    pub(in crate::engine) trailing: bool,
}

/// Where the value of a column comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::engine) enum Source {
    /// From a column of the query, counted behind those that are passed on.
    Given(usize),
    /// From the column's DEFAULT, of the column's type already.
    Default(Expr),
}

impl Assignment {
    /// Of a query that gives every column, behind those that are `passed` on.
    pub(super) fn of_all(columns: &SchemaRef, passed: usize) -> Self {
        Self {
            passed,
            columns: Arc::clone(columns),
            sources: (0..columns.fields().len()).map(Source::Given).collect(),
            trailing: false,
        }
    }

    /// The plan with each column cast to that of the table. 42601 for another number of columns, 42804 for
    /// a type that is not assigned to the column's.
    pub(in crate::engine) fn apply(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let named = self
            .sources
            .iter()
            .filter(|source| matches!(source, Source::Given(_)));
        let (given, wanted) = (plan.schema().fields().len(), self.passed + named.count());
        // Of DEFAULT VALUES only that there is one row is of use.
        let fits = given == wanted || (self.trailing && given > wanted) || wanted == 0;
        if !fits {
            return Err(wrong_width(given, wanted));
        }
        let column = |place: usize| {
            let (qualifier, field) = plan.schema().qualified_field(place);
            (
                Expr::Column(Column::new(qualifier.cloned(), field.name())),
                field,
            )
        };
        let mut casts: Vec<Expr> = (0..self.passed).map(|place| column(place).0).collect();
        for (target, source) in self.columns.fields().iter().zip(&self.sources) {
            let place = match source {
                Source::Given(place) => self.passed + place,
                Source::Default(value) => {
                    casts.push(value.clone());
                    continue;
                }
            };
            let (source, field) = column(place);
            check_assignable(field, target)?;
            let target = value_field(target);
            let same =
                field.data_type() == target.data_type() && field.metadata() == target.metadata();
            casts.push(match same {
                true => source,
                false => Expr::Cast(Cast::new_from_field(Box::new(source), target)),
            });
        }
        // Numbered names: a table may have a column of any name.
        let named = casts.into_iter().enumerate();
        let named = named.map(|(place, cast)| cast.alias(format!("column {place}")));
        let trailing = match self.trailing {
            true => wanted..given,
            false => given..given,
        };
        let named = named.chain(trailing.map(|place| {
            let (column, field) = column(place);
            column.alias(format!("{TRAILING} {place} {}", field.name()))
        }));
        let named: Vec<Expr> = named.collect();
        let plan = LogicalPlanBuilder::from(plan).project(named)?.build()?;
        Ok(plan)
    }
}

/// What stands before the names of columns that are passed on behind those of the table.
const TRAILING: &str = "trailing";

/// The name that a column behind those of the table had.
pub(super) fn trailing_name(column: &str) -> Option<&str> {
    let (_, name) = column
        .strip_prefix(TRAILING)?
        .trim_start()
        .split_once(' ')?;
    Some(name)
}

/// 42601 for more or fewer values than columns.
pub(super) fn wrong_width(given: usize, wanted: usize) -> Error {
    let (more, fewer) = match given > wanted {
        true => ("expressions", "target columns"),
        false => ("target columns", "expressions"),
    };
    Error::syntax_error(format!("INSERT has more {more} than {fewer}"))
}

/// The type that values of a column have in a statement. Texts of limited length are checked when they are
/// written: a cast would cut them.
pub(super) fn value_field(column: &Field) -> FieldRef {
    let oid = pg_type_of_field(column).0;
    if [pg::VARCHAR.oid, pg::BPCHAR.oid].contains(&oid) {
        return Arc::new(Field::new("", DataType::Utf8View, true));
    }
    let mut metadata = column.metadata().clone();
    metadata.retain(|key, _| !COLUMN_KEYS.contains(&key.as_str()));
    Arc::new(Field::new("", column.data_type().clone(), true).with_metadata(metadata))
}

/// The type of [`value_field`] as SQL spells it.
pub(super) fn sql_type(column: &Field) -> Result<ast::DataType> {
    let field = value_field(column);
    let oid = pg_type_of_field(&field).0;
    let typmod = field.metadata().get(PG_TYPMOD_METADATA);
    let typmod = typmod.and_then(|text| text.parse().ok()).unwrap_or(-1);
    let text = format_type(oid, typmod).unwrap_or_else(|| "text".to_owned());
    let dialect = PostgreSqlDialect {};
    Parser::new(&dialect)
        .try_with_sql(&text)
        .and_then(|mut parser| parser.parse_data_type())
        .map_err(|error| Error::internal("the type of a column was not parsed").with_source(error))
}

/// 42804 where PostgreSQL has no cast that an assignment may make.
fn check_assignable(source: &Field, target: &Field) -> Result<()> {
    let (from, to) = (pg_type_of_field(source).0, pg_type_of_field(target).0);
    let assignable = match (pg::by_oid(from), pg::by_oid(to)) {
        _ if from == to || source.data_type().is_null() => true,
        (Some(from), Some(to)) => is_assignable(from, to),
        _ => true,
    };
    if assignable {
        return Ok(());
    }
    let name = |oid| format_type(oid, -1).unwrap_or_else(|| "text".to_owned());
    Err(Error::datatype_mismatch(format!(
        "column \"{}\" is of type {} but expression is of type {}",
        target.name(),
        name(to),
        name(from)
    ))
    .with_hint("You will need to rewrite or cast the expression."))
}

fn is_assignable(from: PgType, to: PgType) -> bool {
    let texts = [pg::TEXT, pg::VARCHAR, pg::BPCHAR, pg::NAME];
    let times = [pg::DATE, pg::TIMESTAMP, pg::TIMESTAMPTZ];
    let clocks = [pg::TIME, pg::TIMESTAMP, pg::TIMESTAMPTZ, pg::INTERVAL];
    let json = [pg::JSON, pg::JSONB];
    let within = |kinds: &[PgType]| kinds.contains(&from) && kinds.contains(&to);
    let to_clock = to == pg::TIME || (to == pg::INTERVAL && from == pg::TIME);
    texts.contains(&to)
        || within(pg::NUMBERS)
        || within(&times)
        || (to_clock && clocks.contains(&from))
        || within(&json)
        // Arrays are assigned as their elements are; the cast itself refuses the others.
        || (pg::element_of(from).is_some() && pg::element_of(to).is_some())
}

/// The columns of a table whose texts have a limited length.
#[derive(Debug)]
pub(super) struct TextLimits(Vec<TextLimit>);

#[derive(Debug)]
struct TextLimit {
    column: usize,
    /// Characters.
    length: usize,
    /// Whether shorter texts are filled with spaces.
    padded: bool,
}

impl TextLimits {
    pub(super) fn of(columns: &Schema) -> Self {
        let limited = columns
            .fields()
            .iter()
            .enumerate()
            .filter_map(|(column, field)| {
                let oid = pg_type_of_field(field).0;
                let typmod: i32 = field.metadata().get(PG_TYPMOD_METADATA)?.parse().ok()?;
                let is_text = [pg::VARCHAR.oid, pg::BPCHAR.oid].contains(&oid);
                let length = usize::try_from(typmod.checked_sub(HEADER_BYTES)?).ok()?;
                is_text.then_some(TextLimit {
                    column,
                    length,
                    padded: oid == pg::BPCHAR.oid,
                })
            });
        Self(limited.collect())
    }

    /// The rows with texts as their columns keep them; 22001 for one that is too long.
    pub(super) fn apply(&self, batch: RecordBatch) -> Result<RecordBatch> {
        if self.0.is_empty() {
            return Ok(batch);
        }
        let mut columns = batch.columns().to_vec();
        for limit in &self.0 {
            let Some(column) = columns.get_mut(limit.column) else {
                continue;
            };
            let texts = datafusion::arrow::compute::cast(column, &DataType::Utf8View)
                .map_err(|error| Error::internal("a text is none").with_source(error))?;
            let fitted: StringViewArray = texts
                .as_string_view()
                .iter()
                .map(|text| text.map(|text| limit.fit(text)).transpose())
                .collect::<Result<_>>()?;
            *column = Arc::new(fitted);
        }
        RecordBatch::try_from_iter_with_nullable(
            batch
                .schema()
                .fields()
                .iter()
                .map(|field| field.name())
                .zip(columns)
                .map(|(name, column)| (name, column, true)),
        )
        .map_err(|error| Error::internal("rows with texts were not built").with_source(error))
    }
}

impl TextLimit {
    /// Spaces beyond the length are cut, as in PostgreSQL; anything else is an error.
    fn fit<'a>(&self, text: &'a str) -> Result<Cow<'a, str>> {
        let Some((end, _)) = text.char_indices().nth(self.length) else {
            let missing = match self.padded {
                true => self.length - text.chars().count(),
                false => 0,
            };
            return Ok(match missing {
                0 => Cow::Borrowed(text),
                spaces => Cow::Owned(format!("{text}{}", " ".repeat(spaces))),
            });
        };
        if text[end..].chars().all(|letter| letter == ' ') {
            return Ok(Cow::Borrowed(&text[..end]));
        }
        let name = if self.padded {
            "character"
        } else {
            "character varying"
        };
        Err(Error::new(
            SqlState::StringDataRightTruncation,
            format!("value too long for type {name}({})", self.length),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_are_those_of_postgresql() {
        for (from, to, allowed) in [
            (pg::INT8, pg::INT2, true),
            (pg::FLOAT8, pg::NUMERIC, true),
            (pg::TEXT, pg::INT4, false),
            (pg::INT4, pg::TEXT, true),
            (pg::BOOL, pg::INT4, false),
            (pg::INT4, pg::BOOL, false),
            (pg::TIMESTAMPTZ, pg::DATE, true),
            (pg::DATE, pg::TIMESTAMP, true),
            (pg::TIMESTAMP, pg::TIME, true),
            (pg::TIME, pg::TIMESTAMP, false),
            (pg::TEXT, pg::JSONB, false),
            (pg::JSON, pg::JSONB, true),
            (pg::TEXT, pg::UUID, false),
            (pg::UUID, pg::VARCHAR, true),
        ] {
            assert_eq!(
                is_assignable(from, to),
                allowed,
                "{} to {}",
                from.name,
                to.name
            );
        }
    }

    #[test]
    fn limited_texts_are_cast_to_text() {
        let limited = [("pg_type", "varchar"), (PG_TYPMOD_METADATA, "9")];
        let limited = limited.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let column = Field::new("c", DataType::Utf8View, true).with_metadata(limited.into());
        assert_eq!(sql_type(&column).unwrap(), ast::DataType::Text);
        let column = Field::new("c", DataType::Decimal128(10, 2), true);
        assert_eq!(
            sql_type(&column).unwrap().to_string().to_lowercase(),
            "numeric"
        );
    }
}
