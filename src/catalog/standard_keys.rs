//! Keys as information_schema shows them.

use datafusion::error::Result;

use super::cells::{Rows, row};
use super::information_schema::tables_and_views;
use super::keys::{Key, is_users};
use super::relation_table::{Producer, Scope};
use super::snapshot::{Attribute, Relation};

pub(crate) fn producer(name: &str) -> Option<Producer> {
    Some(match name {
        "check_constraints" => check_constraints,
        "constraint_column_usage" => constraint_column_usage,
        "constraint_table_usage" => constraint_table_usage,
        "key_column_usage" => key_column_usage,
        "referential_constraints" => referential_constraints,
        "table_constraints" => table_constraints,
        _ => return None,
    })
}

/// The keys with their tables.
fn keys<'a>(scope: &'a Scope<'_>) -> impl Iterator<Item = (&'a Key, &'a Relation)> {
    scope
        .snapshot
        .keys()
        .iter()
        .filter_map(|key| Some((key, scope.snapshot.relation(key.relation_oid)?)))
}

/// The columns that hold no NULL, which the standard calls checks: table, name of the check, column.
fn not_null<'a>(
    scope: &'a Scope<'_>,
) -> impl Iterator<Item = (&'a Relation, String, &'a Attribute)> {
    tables_and_views(scope)
        .filter(|relation| is_users(relation) && relation.kind == 'r')
        .flat_map(|relation| {
            let columns = relation.columns.iter().enumerate();
            columns
                .filter(|(_, column)| column.not_null)
                .map(move |(index, column)| {
                    let (schema, table) = (relation.schema_oid, relation.oid);
                    let name = format!("{schema}_{table}_{}_not_null", index + 1);
                    (relation, name, column)
                })
        })
}

fn table_constraints(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    let database = &scope.session.database;
    let mut add = |relation: &Relation, name: &str, kind: &'static str| {
        row!(
            rows,
            constraint_catalog: database,
            constraint_schema: &relation.schema,
            constraint_name: name,
            table_catalog: database,
            table_schema: &relation.schema,
            table_name: &relation.name,
            constraint_type: kind,
            is_deferrable: "NO",
            initially_deferred: "NO",
            enforced: "YES",
            nulls_distinct: (kind == "UNIQUE").then_some("YES"),
        )
    };
    for (key, relation) in keys(scope) {
        let kind = match key.kind {
            'p' => "PRIMARY KEY",
            'u' => "UNIQUE",
            _ => "FOREIGN KEY",
        };
        add(relation, &key.name, kind)?;
    }
    for (relation, name, _) in not_null(scope) {
        add(relation, &name, "CHECK")?;
    }
    Ok(())
}

fn check_constraints(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    for (relation, name, column) in not_null(scope) {
        row!(
            rows,
            constraint_catalog: &scope.session.database,
            constraint_schema: &relation.schema,
            constraint_name: name,
            check_clause: format!("{} IS NOT NULL", column.name),
        )?;
    }
    Ok(())
}

fn column(relation: &Relation, number: i16) -> Option<&Attribute> {
    let index = usize::try_from(number).ok()?.checked_sub(1)?;
    relation.columns.get(index)
}

fn key_column_usage(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    let database = &scope.session.database;
    for (key, relation) in keys(scope) {
        for (index, number) in key.columns.iter().enumerate() {
            let position = i32::try_from(index + 1).unwrap_or(i32::MAX);
            row!(
                rows,
                constraint_catalog: database,
                constraint_schema: &relation.schema,
                constraint_name: &key.name,
                table_catalog: database,
                table_schema: &relation.schema,
                table_name: &relation.name,
                column_name: column(relation, *number).map(|column| &column.name),
                ordinal_position: position,
                position_in_unique_constraint: key.references.as_ref().map(|_| position),
            )?;
        }
    }
    Ok(())
}

fn referential_constraints(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    let database = &scope.session.database;
    for (key, relation) in keys(scope) {
        let Some(reference) = &key.references else {
            continue;
        };
        let target = scope.snapshot.relation(reference.relation_oid);
        let named = reference.key_name.as_ref().and(target);
        row!(
            rows,
            constraint_catalog: database,
            constraint_schema: &relation.schema,
            constraint_name: &key.name,
            unique_constraint_catalog: named.map(|_| database),
            unique_constraint_schema: named.map(|target| &target.schema),
            unique_constraint_name: reference.key_name.as_ref(),
            match_option: "NONE",
            update_rule: "NO ACTION",
            delete_rule: "NO ACTION",
        )?;
    }
    Ok(())
}

/// For a foreign key the columns it points to, as PostgreSQL shows them.
fn constraint_column_usage(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    let database = &scope.session.database;
    let mut add = |relation: &Relation, column: &Attribute, schema: &str, name: &str| {
        row!(
            rows,
            table_catalog: database,
            table_schema: &relation.schema,
            table_name: &relation.name,
            column_name: &column.name,
            constraint_catalog: database,
            constraint_schema: schema,
            constraint_name: name,
        )
    };
    for (key, relation) in keys(scope) {
        let (used, numbers) = match &key.references {
            Some(reference) => (
                scope.snapshot.relation(reference.relation_oid),
                &reference.columns,
            ),
            None => (Some(relation), &key.columns),
        };
        let Some(used) = used else { continue };
        for column in numbers.iter().filter_map(|number| column(used, *number)) {
            add(used, column, &relation.schema, &key.name)?;
        }
    }
    Ok(())
}

fn constraint_table_usage(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    let database = &scope.session.database;
    for (key, relation) in keys(scope) {
        let used = match &key.references {
            Some(reference) => scope.snapshot.relation(reference.relation_oid),
            None => Some(relation),
        };
        let Some(used) = used else { continue };
        row!(
            rows,
            table_catalog: database,
            table_schema: &used.schema,
            table_name: &used.name,
            constraint_catalog: database,
            constraint_schema: &relation.schema,
            constraint_name: &key.name,
        )?;
    }
    Ok(())
}
