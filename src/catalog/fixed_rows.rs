//! Rows of catalogs that are the same in every database of PostgreSQL 15: operators, casts, operator
//! classes, conversions, access methods (`postgres15/static.txt`).

use std::collections::HashMap;
use std::sync::LazyLock;

use datafusion::error::Result;

use super::cells::{Cell, Rows};
use super::layout::{self, Layout};
use super::relation_table::{Producer, Scope};

struct Section {
    columns: Vec<&'static str>,
    lines: Vec<&'static str>,
}

static SECTIONS: LazyLock<HashMap<&'static str, Section>> = LazyLock::new(|| {
    let mut sections = HashMap::new();
    let mut current: Option<(&'static str, Section)> = None;
    let lines = include_str!("postgres15/static.txt").lines();
    for line in lines.filter(|line| !line.starts_with('#')) {
        match line.strip_prefix("= ") {
            Some(head) => {
                sections.extend(current.take());
                let mut words = head.split(' ');
                let name = words.next().unwrap_or_default();
                let (columns, lines) = (words.collect(), Vec::new());
                current = Some((name, Section { columns, lines }));
            }
            None => {
                if let Some((_, section)) = &mut current {
                    section.lines.push(line);
                }
            }
        }
    }
    sections.extend(current);
    sections
});

pub(crate) fn producer(name: &str) -> Option<Producer> {
    macro_rules! producers {
        ($($relation:ident)*) => {
            match name {
                $(stringify!($relation) => Some(|_: &Scope<'_>, rows: &mut Rows| add(stringify!($relation), rows)),)*
                _ => None,
            }
        };
    }
    producers! {
        pg_aggregate pg_am pg_cast pg_conversion pg_language pg_opclass pg_operator pg_opfamily
        pg_range pg_ts_parser pg_ts_template
    }
}

/// The cells of one fixed relation by column, for those who look a row up.
pub(crate) fn cells(relation: &str) -> impl Iterator<Item = HashMap<&'static str, &'static str>> {
    let section = SECTIONS.get(relation);
    section.into_iter().flat_map(|section| {
        section.lines.iter().map(|line| {
            section
                .columns
                .iter()
                .copied()
                .zip(line.split('\t'))
                .collect()
        })
    })
}

fn add(relation: &str, rows: &mut Rows) -> Result<()> {
    let (Some(section), Some(layout)) = (
        SECTIONS.get(relation),
        layout::layout("pg_catalog", relation),
    ) else {
        return Ok(());
    };
    for line in &section.lines {
        let cells = section.columns.iter().zip(line.split('\t'));
        rows.push(
            cells
                .map(|(column, text)| (*column, cell(&layout, column, text)))
                .collect(),
        )?;
    }
    Ok(())
}

fn cell(layout: &Layout, column: &str, text: &str) -> Cell {
    let type_oid = layout
        .position(column)
        .and_then(|position| layout.columns.get(position))
        .map_or(0, |column| column.type_oid);
    match (text, type_oid) {
        ("\\N", _) => Cell::Null,
        (text, 16) => Cell::Bool(text == "t"),
        (text, 20 | 21 | 23 | 24 | 26 | 2206) => text.parse().map_or(Cell::Null, Cell::Int),
        (text, _) => Cell::from(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_fits_its_relation() {
        for (name, section) in SECTIONS.iter() {
            let mut rows = Rows::new(layout::layout("pg_catalog", name).unwrap());
            add(name, &mut rows).unwrap();
            let batch = rows.finish().unwrap();
            assert_eq!(batch.num_rows(), section.lines.len(), "{name}");
            assert!(producer(name).is_some(), "{name}");
        }
        assert_eq!(cells("pg_operator").count(), 799);
    }
}
