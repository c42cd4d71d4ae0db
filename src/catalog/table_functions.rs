//! Functions of pg_catalog that are read in FROM: `pg_get_keywords()` with PostgreSQL 15's keywords
//! (`postgres15/keywords.txt`), and those behind system views.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray};
use datafusion::catalog::{TableFunctionImpl, TableProvider};
use datafusion::datasource::MemTable;
use datafusion::error::Result;
use datafusion::logical_expr::Expr;

use super::relation_table::RelationTable;
use super::{PG_CATALOG, SystemCatalog, layout};

/// Functions whose rows are those of a view of pg_catalog.
const OF_VIEWS: &[(&str, &str)] = &[
    ("pg_available_extensions", "pg_available_extensions"),
    ("pg_cursor", "pg_cursors"),
    ("pg_prepared_statement", "pg_prepared_statements"),
    ("pg_show_all_settings", "pg_settings"),
    ("pg_timezone_abbrevs", "pg_timezone_abbrevs"),
    ("pg_timezone_names", "pg_timezone_names"),
];

/// The functions by name.
pub fn table_functions(
    catalog: &Arc<SystemCatalog>,
) -> Vec<(&'static str, Arc<dyn TableFunctionImpl>)> {
    let keywords: Arc<dyn TableFunctionImpl> = Arc::new(Keywords);
    let views = OF_VIEWS.iter().filter_map(|(function, view)| {
        let layout = layout::layout(PG_CATALOG, view)?;
        let rows = OfView(Arc::new(RelationTable::new(layout, Arc::clone(catalog))));
        Some((*function, Arc::new(rows) as Arc<dyn TableFunctionImpl>))
    });
    std::iter::once(("pg_get_keywords", keywords))
        .chain(views)
        .collect()
}

#[derive(Debug)]
struct OfView(Arc<RelationTable>);

impl TableFunctionImpl for OfView {
    fn call(&self, _: &[Expr]) -> Result<Arc<dyn TableProvider>> {
        Ok(Arc::clone(&self.0) as Arc<dyn TableProvider>)
    }
}

#[derive(Debug)]
struct Keywords;

impl TableFunctionImpl for Keywords {
    fn call(&self, _: &[Expr]) -> Result<Arc<dyn TableProvider>> {
        let batch = rows()?;
        Ok(Arc::new(MemTable::try_new(
            batch.schema(),
            vec![vec![batch]],
        )?))
    }
}

fn rows() -> Result<RecordBatch> {
    let lines = include_str!("postgres15/keywords.txt").lines();
    let words: Vec<(&str, &str, bool)> = lines
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let mut words = line.split(' ');
            Some((words.next()?, words.next()?, words.next()? == "t"))
        })
        .collect();
    let texts = |text: &dyn Fn(&(&'static str, &'static str, bool)) -> &'static str| {
        Arc::new(
            words
                .iter()
                .map(|word| Some(text(word)))
                .collect::<StringArray>(),
        ) as ArrayRef
    };
    let bare: BooleanArray = words.iter().map(|word| Some(word.2)).collect();
    Ok(RecordBatch::try_from_iter([
        ("word", texts(&|word| word.0)),
        ("catcode", texts(&|word| word.1)),
        ("barelabel", Arc::new(bare) as ArrayRef),
        ("catdesc", texts(&|word| category(word.1))),
        (
            "baredesc",
            texts(&|word| {
                if word.2 {
                    "can be bare label"
                } else {
                    "requires AS"
                }
            }),
        ),
    ])?)
}

fn category(code: &str) -> &'static str {
    match code {
        "U" => "unreserved",
        "C" => "unreserved (cannot be function or type name)",
        "T" => "reserved (can be function or type name)",
        _ => "reserved",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_keyword_is_there() {
        assert_eq!(rows().unwrap().num_rows(), 460);
    }
}
