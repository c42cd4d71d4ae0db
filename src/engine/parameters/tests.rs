//! The analysis against what PostgreSQL 15 answered for the same statements.

use super::*;
use crate::engine::statement;

fn relations() -> Relations {
    let table = "b:bool i2:int2 i4:int4 i8:int8 f4:float4 f8:float8 n:numeric x:text v:varchar \
                 d:date ti:time ts:timestamp tz:timestamptz iv:interval u:uuid j:json jb:jsonb \
                 by:bytea ia:_int4 xa:_text";
    let class = "oid:oid relname:name relnamespace:oid relkind:char";
    let attribute = "attrelid:oid attname:name attnum:int2";
    [
        (&["t"][..], table),
        (&["pg_class"], class),
        (&["pg_catalog", "pg_class"], class),
        (&["pg_attribute"], attribute),
        (
            &["information_schema", "tables"],
            "table_schema:name table_name:name",
        ),
    ]
    .into_iter()
    .map(|(name, columns)| {
        let columns = columns.split_whitespace().map(|column| {
            let (name, kind) = column.split_once(':').unwrap();
            (name.to_owned(), pg_type::oid_of_name(kind).unwrap())
        });
        (
            name.iter().map(|part| (*part).to_owned()).collect(),
            columns.collect(),
        )
    })
    .collect()
}

fn found(sql: &str, declared: &[Option<u32>]) -> String {
    let parsed = statement::parse(sql).unwrap().pop().unwrap();
    let statement = parsed.statement.unwrap();
    let count = count(&statement).unwrap();
    let own = OwnFunctions::default();
    match infer(&statement, count, declared, &relations(), &own) {
        Ok(types) => (0..types.len())
            .map(|index| types.get(index).and_then(pg_type::by_oid))
            .map(|found| found.map_or("?", |found| found.name))
            .collect::<Vec<_>>()
            .join(" "),
        Err(error) => format!("!{}", error.state().code()),
    }
}

#[test]
fn parameters_have_the_types_that_postgresql_finds() {
    let lines = include_str!("postgres15/expected.txt").lines();
    let mut wrong = Vec::new();
    for line in lines.filter(|line| !line.starts_with('#')) {
        let (expected, sql) = line.split_once(" | ").unwrap();
        // That no operator or function fits is for the planner to say.
        if expected == "!42883" {
            continue;
        }
        let found = found(sql, &[]);
        if found != expected {
            wrong.push(format!("{sql}\n    expected {expected}, found {found}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn declared_types_stand() {
    let int8 = Some(20);
    assert_eq!(found("select * from t where i4 = $1", &[int8]), "int8");
    assert_eq!(found("select $1 + $2", &[int8, None]), "int8 int8");
    assert_eq!(found("select 1", &[int8]), "int8");
    assert_eq!(found("select $2::int", &[None]), "!42P18");
}

#[test]
fn unknown_relations_and_functions_are_left_to_the_planner() {
    assert_eq!(found("select * from nowhere where a = $1", &[]), "?");
    assert_eq!(found("select no_such_function($1)", &[]), "?");
}
