//! The shape of every system relation: PostgreSQL 15's names, order and types of columns.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use datafusion::arrow::datatypes::{DataType, Field, IntervalUnit, Schema, SchemaRef, TimeUnit};

use super::pg_type::{self, PG_TYPE_METADATA};

/// The columns of one system relation.
#[derive(Debug)]
pub struct Layout {
    /// `pg_catalog` or `information_schema`.
    pub schema_name: &'static str,
    /// The relation's name.
    pub name: &'static str,
    /// PostgreSQL 15's OID of the relation.
    pub oid: u32,
    /// `r` for tables, `v` for views.
    pub kind: char,
    /// OID of the type of its rows.
    pub row_type: u32,
    /// OID of the type of arrays of its rows.
    pub array_type: u32,
    /// The columns, in PostgreSQL's order.
    pub columns: Vec<Column>,
    /// The Arrow schema of the columns; each field carries its PostgreSQL type as metadata.
    pub arrow: SchemaRef,
    positions: HashMap<&'static str, usize>,
}

/// One column of a system relation.
#[derive(Debug)]
pub struct Column {
    /// The column's name.
    pub name: &'static str,
    /// OID of the PostgreSQL type.
    pub type_oid: u32,
    /// Whether PostgreSQL declares it NOT NULL; unset cells are then zero or empty.
    pub not_null: bool,
}

impl Layout {
    /// The position of a column.
    pub fn position(&self, column: &str) -> Option<usize> {
        self.positions.get(column).copied()
    }
}

static LAYOUTS: LazyLock<BTreeMap<(&'static str, &'static str), Arc<Layout>>> =
    LazyLock::new(|| parse(include_str!("postgres15/relations.txt")));

/// The layout of `schema.name`, if PostgreSQL 15 has such a relation.
pub fn layout(schema: &str, name: &str) -> Option<Arc<Layout>> {
    LAYOUTS.get(&(schema, name)).map(Arc::clone)
}

/// All relations of one system schema, by name.
pub fn layouts(schema: &str) -> impl Iterator<Item = &'static Arc<Layout>> {
    LAYOUTS
        .values()
        .filter(move |layout| layout.schema_name == schema)
}

/// Whether `name` is a relation of pg_catalog.
pub fn is_pg_catalog_relation(name: &str) -> bool {
    LAYOUTS.contains_key(&("pg_catalog", name))
}

/// The internal name of the type that every column of pg_catalog with this name has; none if no column
/// has the name, or two of them differ.
pub fn type_of_columns(column: &str) -> Option<&'static str> {
    let mut found = None;
    for layout in layouts("pg_catalog") {
        if let Some(position) = layout.position(column) {
            let type_oid = layout.columns.get(position)?.type_oid;
            let name = pg_type::by_oid(type_oid)?.name;
            if found.is_some_and(|found| found != name) {
                return None;
            }
            found = Some(name);
        }
    }
    found
}

/// The element type of the array columns of pg_catalog that have this name; none if no column has
/// the name or one of them holds no array.
pub fn array_element(column: &str) -> Option<&'static str> {
    let mut found = None;
    for layout in layouts("pg_catalog") {
        if let Some(position) = layout.position(column) {
            let type_oid = layout.columns.get(position)?.type_oid;
            found = Some(match pg_type::by_oid(type_oid)?.name {
                "int2vector" => "int2",
                "oidvector" => "oid",
                name => name.strip_prefix('_')?,
            });
        }
    }
    found
}

fn parse(text: &'static str) -> BTreeMap<(&'static str, &'static str), Arc<Layout>> {
    let mut relations: Vec<(&'static str, Vec<&'static str>)> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if line.starts_with(' ') {
            if let Some((_, columns)) = relations.last_mut() {
                columns.extend(line.split_whitespace());
            }
        } else {
            relations.push((line, Vec::new()));
        }
    }
    relations
        .into_iter()
        .filter_map(|(head, columns)| parse_relation(head, &columns))
        .map(|layout| ((layout.schema_name, layout.name), Arc::new(layout)))
        .collect()
}

fn parse_relation(head: &'static str, columns: &[&'static str]) -> Option<Layout> {
    let mut words = head.split(' ');
    let (schema_name, name) = words.next()?.split_once('.')?;
    let oid = words.next()?.parse().ok()?;
    let kind = words.next()?.chars().next()?;
    let row_type = words.next()?.parse().ok()?;
    let array_type = words.next()?.parse().ok()?;
    let mut parsed = Vec::with_capacity(columns.len());
    let mut fields = Vec::with_capacity(columns.len());
    for column in columns {
        let (name, type_name) = column.split_once(':')?;
        let type_name_bare = type_name.trim_end_matches('!');
        let not_null = type_name.len() != type_name_bare.len();
        let type_oid = pg_type::oid_of_name(base_type(type_name_bare))?;
        // A join or a filter may still make a NULL of it, and no plan depends on the flag.
        let field = Field::new(name, arrow_type(base_type(type_name_bare)), true).with_metadata(
            HashMap::from([(
                PG_TYPE_METADATA.to_owned(),
                base_type(type_name_bare).to_owned(),
            )]),
        );
        parsed.push(Column {
            name,
            type_oid,
            not_null,
        });
        fields.push(field);
    }
    let positions = parsed
        .iter()
        .enumerate()
        .map(|(index, column)| (column.name, index))
        .collect();
    let arrow = Arc::new(Schema::new(fields));
    Some(Layout {
        schema_name,
        name,
        oid,
        kind,
        row_type,
        array_type,
        columns: parsed,
        arrow,
        positions,
    })
}

/// The base type of information_schema's domains.
fn base_type(name: &'static str) -> &'static str {
    match name {
        "sql_identifier" => "name",
        "character_data" | "yes_or_no" => "varchar",
        "cardinal_number" => "int4",
        "time_stamp" => "timestamptz",
        "_pg_statistic" | "anyarray" => "_text",
        other => other,
    }
}

/// How a column of a PostgreSQL type is stored here.
fn arrow_type(name: &str) -> DataType {
    let list = |item| DataType::List(Arc::new(Field::new_list_field(item, true)));
    match name {
        "bool" => DataType::Boolean,
        "int2" => DataType::Int16,
        "int4" => DataType::Int32,
        "int8" => DataType::Int64,
        "oid" | "regproc" | "regtype" | "xid" => DataType::UInt32,
        "float4" => DataType::Float32,
        "float8" => DataType::Float64,
        "numeric" => DataType::Int64,
        "bytea" => DataType::Binary,
        "timestamptz" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        "interval" => DataType::Interval(IntervalUnit::MonthDayNano),
        "int2vector" | "_int2" => list(DataType::Int16),
        "oidvector" | "_oid" | "_regtype" => list(DataType::UInt32),
        "_bool" => list(DataType::Boolean),
        "_float4" => list(DataType::Float32),
        "_float8" => list(DataType::Float64),
        name if name.starts_with('_') => list(DataType::Utf8),
        _ => DataType::Utf8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_relation_of_the_list_is_read() {
        let heads = include_str!("postgres15/relations.txt")
            .lines()
            .filter(|line| !line.starts_with([' ', '#']))
            .count();
        assert_eq!(LAYOUTS.len(), heads);
        assert!(heads > 180);
    }

    #[test]
    fn pg_class_has_postgresqls_columns() {
        let layout = layout("pg_catalog", "pg_class").unwrap();
        assert_eq!(layout.oid, 1259);
        assert_eq!(layout.columns.len(), 33);
        assert_eq!(layout.position("relkind"), Some(16));
        assert_eq!(layout.columns[0].type_oid, 26);
        assert!(layout.columns[0].not_null);
        assert!(!layout.columns[32].not_null);
    }
}
